"""The pipeline from picture to picture, and loading it from every kind of place."""

from __future__ import annotations

import io
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import EulerDiscreteScheduler
from PIL import Image

import xpsr
from xpsr.autoencoder import decode, distribution, draw, encode
from xpsr.errors import NotEnoughMemoryError, XPSRError
from xpsr.image import pixel_sha256, to_tensor
from xpsr.pipeline import Restored, XPSRPipeline
from xpsr.preview import Preview
from xpsr.prompts import Prompts
from xpsr.sampling import Step
from xpsr.schedule import Noise, Solver, start_latents
from xpsr.settings import CHOICES, Settings

QUICK = Settings(num_inference_steps=2, upscale=2, process_size=0, seed=3)


def run(pipe: XPSRPipeline, image: Image.Image, **changes) -> Restored:
    *_, last = pipe.stream(image, Prompts(prompt="a wall"), replace(QUICK, **changes))
    assert isinstance(last, Restored)
    return last


@pytest.fixture
def residual_pipeline(tiny_pipeline) -> XPSRPipeline:
    """The same networks diffusing the residual latent."""
    return XPSRPipeline(**tiny_pipeline.components, residual_latents=True)


def test_steps_come_one_by_one_and_the_result_last(tiny_pipeline, picture):
    *steps, last = tiny_pipeline.stream(
        picture(24, 20), Prompts(), replace(QUICK, num_inference_steps=3)
    )
    assert all(isinstance(step, Step) for step in steps) and isinstance(last, Restored)
    assert [(step.index, step.total, step.timestep) for step in steps] == [
        (0, 3, 667),
        (1, 3, 334),
        (2, 3, 1),
    ]
    assert steps[0].latents.shape == steps[0].predicted.shape == (1, 4, 5, 6)
    assert last.image.size == (48, 40) and last.seconds > 0


@pytest.mark.parametrize(
    ("size", "upscale"),
    [((17, 33), 1), ((16, 16), 1), ((50, 33), 1), ((16, 90), 1), ((17, 33), 3), ((16, 16), 4)],
)
def test_result_is_exactly_upscale_times_the_input(tiny_pipeline, picture, size, upscale):
    result = run(tiny_pipeline, picture(*size), upscale=upscale, num_inference_steps=1)
    assert result.image.size == (size[0] * upscale, size[1] * upscale)
    assert result.image.mode == "RGB"


def test_small_pictures_are_worked_on_at_process_size(tiny_pipeline, picture):
    *steps, last = tiny_pipeline.stream(
        picture(17, 33), Prompts(), replace(QUICK, process_size=70, num_inference_steps=1)
    )
    assert steps[0].latents.shape[-2:] == (17, 9)  # 136 x 70 pixels, padded to multiples of 8
    assert last.image.size == (34, 66)


@pytest.mark.parametrize("scheduler", CHOICES["scheduler"])
@pytest.mark.parametrize("start", CHOICES["start"])
def test_every_solver_runs_from_every_start(tiny_pipeline, picture, scheduler, start):
    *steps, last = tiny_pipeline.stream(
        picture(16, 17), Prompts(), replace(QUICK, scheduler=scheduler, start=start)
    )
    assert all(torch.isfinite(step.latents).all() for step in steps)
    assert np.asarray(last.image).std() > 1


def test_same_recipe_same_pixels_whatever_ran_before(tiny_pipeline, picture):
    first = run(tiny_pipeline, picture(24, 17))
    torch.manual_seed(99)
    run(tiny_pipeline, picture(33, 20), seed=5, scheduler="dpm++")
    again = run(tiny_pipeline, picture(24, 17))
    assert first.recipe == again.recipe
    assert first.recipe.output_sha256 == pixel_sha256(again.image)
    assert run(tiny_pipeline, picture(24, 17), seed=4).recipe.output_sha256 != (
        first.recipe.output_sha256
    )


def test_a_list_equals_single_runs(tiny_pipeline, picture):
    images = [picture(17, 20), picture(24, 16)]
    options = {"num_inference_steps": 2, "upscale": 2, "process_size": 0, "seed": 8}
    together = tiny_pipeline(images, prompt=["a wall", "a roof"], **options)
    alone = [
        tiny_pipeline(image, prompt=text, **options)
        for image, text in zip(images, ["a wall", "a roof"], strict=True)
    ]
    assert together.recipes == [one.recipe for one in alone]
    assert [pixel_sha256(image) for image in together.images] == [
        one.recipe.output_sha256 for one in alone
    ]
    assert together.recipe is together.recipes[0]


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ("nowhere.png", "no file"),
        ({"cut": -100}, "damaged or incomplete"),
        ((16, 2000), "process_size"),
        ("", "unprintable"),
    ],
)
def test_one_bad_picture_is_told_before_the_first_step(
    tiny_pipeline, picture, tmp_path, monkeypatch, bad, words
):
    monkeypatch.setattr(tiny_pipeline.unet, "forward", None)  # no step can be made
    texts, image = ["a wall", "a roof"], bad
    if isinstance(bad, dict):
        picture(64, 64).save(tmp_path / "whole.png")
        image = io.BytesIO((tmp_path / "whole.png").read_bytes()[: bad["cut"]])
    elif isinstance(bad, tuple):
        image = Image.new("RGB", bad)
    elif not bad:
        image, texts = picture(16, 16), ["a wall", "\x00"]
    with pytest.raises(XPSRError, match=words):
        tiny_pipeline([picture(16, 16), image], prompt=texts, upscale=1, process_size=4096)


def test_a_list_may_hold_sources_of_every_kind(tiny_pipeline, picture, tmp_path):
    path = tmp_path / "a.png"
    picture(20, 16).save(path)
    with path.open("rb") as file:
        sources = [path, str(path), path.read_bytes(), file, picture(20, 16)]
        made = tiny_pipeline(sources, num_inference_steps=1, upscale=1, process_size=0)
    assert len({recipe.output_sha256 for recipe in made.recipes}) == 1


PLAIN = {"num_inference_steps": 1, "upscale": 2, "process_size": 0, "prompt": "a wall"}


@pytest.fixture(scope="module")
def plain_hash(tiny_pipeline, picture) -> str:
    return tiny_pipeline(picture(36, 32), **PLAIN).recipe.output_sha256


@pytest.mark.parametrize(
    "change",
    [
        {"prompt": "another thing"},
        {"lowlevel_prompt": "blurred"},
        {"negative_prompt": "noise"},
        {"lowlevel_negative_prompt": "sharp"},
        {"added_prompt": ""},
        {"guidance_scale": 1.0},
        {"controlnet_conditioning_scale": 0.5},
        {"negative": "high"},
        {"start": "lr"},
        {"added_noise_level": 100},
        {"color_fix": "none"},
        {"color_fix": "wavelet"},
        {"tile_size": 64, "tile_overlap": 8},
        {"process_size": 96},
    ],
)
def test_every_word_and_setting_has_an_effect(tiny_pipeline, picture, plain_hash, change):
    after = tiny_pipeline(picture(36, 32), **{**PLAIN, **change})
    assert after.recipe.output_sha256 != plain_hash


def test_negatives_do_nothing_without_guidance(tiny_pipeline, picture):
    options = {"num_inference_steps": 1, "upscale": 1, "process_size": 0, "guidance_scale": 1.0}
    one, other = (
        tiny_pipeline(
            picture(16, 16), negative_prompt=text, lowlevel_negative_prompt=text, **options
        )
        for text in ("noise", "grain")
    )
    assert one.recipe.output_sha256 == other.recipe.output_sha256


def test_tiles_of_the_whole_size_change_nothing(tiny_pipeline, picture):
    whole, one_tile, many = (
        run(tiny_pipeline, picture(40, 32), tile_size=size, tile_overlap=8).recipe.output_sha256
        for size in (0, 80, 64)
    )
    assert whole == one_tile != many


def test_closing_the_stream_stops_within_a_step(tiny_pipeline, picture, monkeypatch):
    calls = []
    forward = tiny_pipeline.unet.forward
    monkeypatch.setattr(
        tiny_pipeline.unet, "forward", lambda *a, **k: calls.append(1) or forward(*a, **k)
    )
    stream = tiny_pipeline.stream(picture(16, 16), settings=replace(QUICK, num_inference_steps=9))
    next(stream), next(stream)
    stream.close()
    assert len(calls) == 2
    assert torch.is_grad_enabled()


def test_once_an_image_work_is_done_once(tiny_pipeline, picture, monkeypatch):
    """Neither the picture's embedding nor the texts depend on the timestep."""
    counts = {"hint": 0, "text": 0, "heads": 0}

    def counted(name, function):
        def call(*args, **kwargs):
            counts[name] += 1
            return function(*args, **kwargs)

        return call

    controlnet = tiny_pipeline.controlnet
    hooks = {
        "hint": (controlnet.controlnet_cond_embedding, "forward"),
        "text": (tiny_pipeline.text_encoder, "forward"),
        "heads": (controlnet.conv_degradation_mid, "forward"),
    }
    for name, (module, attribute) in hooks.items():
        monkeypatch.setattr(module, attribute, counted(name, getattr(module, attribute)))
    run(tiny_pipeline, picture(16, 16), num_inference_steps=5)
    assert counts == {"hint": 1, "text": 2, "heads": 0}


class MixedColours:
    """An autoencoder whose latents are four fixed mixtures of the reduced picture's colours."""

    config = SimpleNamespace(scaling_factor=0.5)
    dtype = torch.float32
    mixture = torch.tensor([[1.0, 2, 0], [0, 1, -1], [3, 0, 1], [1, 1, 1]])

    def encode(self, x: torch.Tensor) -> SimpleNamespace:
        small = torch.nn.functional.interpolate(x, scale_factor=1 / 8, mode="area")
        return SimpleNamespace(latents=torch.einsum("cr,brhw->bchw", self.mixture, small))


@pytest.mark.parametrize("offset", [None, 1.5])
def test_preview_of_a_heavy_autoencoder_reads_the_colours(picture, offset):
    """The linear map is fitted to one picture and must hold for another latent of its kind."""
    vae, image, other = MixedColours(), to_tensor(picture(64, 48)), to_tensor(picture(48, 48))
    other = torch.cat([other, 1 - other[..., :16]], dim=-1)
    latents = 0.5 * vae.encode(2 * other - 1).latents
    base = None if offset is None else torch.full_like(latents, offset)
    preview = Preview(vae, image, base, 8, (64, 44))
    shown = preview(latents if base is None else latents - base)
    assert shown.size == (8, 6)
    reduced = torch.nn.functional.interpolate(other, scale_factor=1 / 8, mode="area")
    assert (to_tensor(shown) - reduced).abs().max() < 0.02


def test_preview_while_sampling_with_a_heavy_autoencoder(tiny_pipeline, picture):
    for step in tiny_pipeline.stream(picture(33, 20), settings=QUICK):
        if isinstance(step, Step):
            assert tiny_pipeline.preview(step).size == (9, 5)


def test_preview_of_a_light_autoencoder_is_its_decoding(tiny_pipeline, picture):
    from diffusers import AutoencoderTiny

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        vae = AutoencoderTiny(
            encoder_block_out_channels=(8,) * 4, decoder_block_out_channels=(8,) * 4
        )
    pipe = XPSRPipeline(**{**tiny_pipeline.components, "vae": vae.eval()})
    step = next(pipe.stream(picture(21, 18), settings=QUICK))
    assert pipe.preview(step).size == (42, 36)
    assert run(pipe, picture(21, 18)).image.size == (42, 36)


def test_residual_latents_add_the_input_again(residual_pipeline, picture):
    """A network that predicts "no difference" then gives back the input's own decoding."""
    pipe, image = residual_pipeline, picture(32, 24)
    settings = replace(QUICK, upscale=1, color_fix="none")
    preview = next(pipe.stream(image, settings=settings)).preview
    latents = encode(pipe.vae, preview.image)
    assert torch.equal(preview.base, latents)
    *steps, last = pipe.stream(image, settings=settings)
    with torch.no_grad():
        expected = decode(pipe.vae, steps[-1].latents + latents, 8)[0].permute(1, 2, 0)
    assert np.abs(np.asarray(last.image) / 255 - expected.numpy()).max() < 0.51 / 255


def test_residual_start_holds_no_picture(residual_pipeline, picture):
    settings = replace(QUICK, start="lr", scheduler="ddim", num_inference_steps=1)
    starts = []
    unet = residual_pipeline.unet
    handle = unet.register_forward_pre_hook(lambda module, args: starts.append(args[0][:1]))
    try:
        list(residual_pipeline.stream(picture(16, 16), settings=settings))
    finally:
        handle.remove()
    noise = Noise(settings.seed).like(starts[0])
    ratio = starts[0] / noise
    assert torch.allclose(ratio, ratio.mean().expand_as(ratio), atol=1e-4)


@pytest.mark.parametrize("start", CHOICES["start"])
def test_random_numbers_are_drawn_in_the_authors_order(tiny_pipeline, picture, start):
    """One generator: the autoencoder's sample, the start's own noises, then one a step."""
    settings = replace(QUICK, start=start)
    seen: list[torch.Tensor] = []
    handle = tiny_pipeline.unet.register_forward_pre_hook(
        lambda module, args: seen.append(args[0][:1])
    )
    try:
        steps = list(tiny_pipeline.stream(picture(16, 16), settings=settings))[:-1]
    finally:
        handle.remove()

    noise, pipe = Noise(settings.seed), tiny_pipeline
    solver = Solver(pipe.scheduler.config, "ddpm", settings.num_inference_steps)
    with torch.no_grad():
        image = to_tensor(picture(16, 16).resize((32, 32), Image.Resampling.BICUBIC))
        found = distribution(pipe.vae, image)
        low = torch.zeros(1, 4, 4, 4) if start == "noise" else draw(pipe.vae, found, noise)
        latents = start_latents(solver, settings, low, noise)
        assert torch.equal(seen[0], latents)
    assert torch.equal(seen[1], steps[0].latents)
    # What the first step added to the mean is the generator's next draw.
    alpha, alpha_next = (solver.scheduler.alphas_cumprod[t].item() for t in solver.timesteps)
    kept = alpha / alpha_next
    mean = alpha_next**0.5 * (1 - kept) * steps[0].predicted
    mean = (mean + kept**0.5 * (1 - alpha_next) * latents) / (1 - alpha)
    spread = ((1 - alpha_next) / (1 - alpha) * (1 - kept)) ** 0.5
    drawn = (steps[0].latents - mean) / spread
    assert torch.allclose(drawn, noise.like(latents), atol=1e-3)


def test_recipe_repeats_the_run(tiny_pipeline, picture):
    options = {"preset": "fast", "num_inference_steps": 2, "process_size": 0}
    first = tiny_pipeline(picture(20, 16), prompt="a wall", **options)
    recipe = first.recipe
    assert recipe.settings.scheduler == "dpm++" and recipe.output_size == (80, 64)
    *_, again = tiny_pipeline.stream(picture(20, 16), recipe.prompts, recipe.settings)
    assert again.recipe == recipe


def test_defaults_are_the_models_own(tiny_pipeline, picture):
    pipe = XPSRPipeline(**tiny_pipeline.components, default_preset="mini")
    prompts, settings = pipe.defaults()
    assert settings == xpsr.PRESETS["mini"] and prompts.added_prompt == ""
    made = pipe(picture(16, 16), upscale=1, num_inference_steps=1)
    assert made.recipe.settings == settings.changed(upscale=1, num_inference_steps=1)
    assert pipe.defaults("paper")[1] == xpsr.PRESETS["paper"]


def test_cut_words_are_reported(tiny_pipeline, picture):
    result = tiny_pipeline(
        picture(16, 16), prompt="word " * 76, upscale=1, process_size=0, num_inference_steps=1
    )
    assert result.recipe.notes == (
        "The last 16 tokens of the content text were cut: only the first 75 have an effect.",
    )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"steps": 4}, 'no setting or text "steps"'),
        ({"generator": torch.Generator()}, "generator.* seed="),
        ({"callback_on_step_end": print}, r"pipe\.stream\(image, xpsr\.Prompts"),
        ({"return_dict": False}, r"\.images"),
        ({"negative_prompt_embeds": torch.zeros(1)}, "negative_prompt="),
        ({"width": 512, "height": 512}, "height.* upscale="),
        ({"strength": 0.5}, "strength.* not supported"),
        ({"num_images_per_prompt": 2}, "not supported"),
        ({"output_type": "np"}, "not supported"),
        ({"prompt_embeds": torch.zeros(1)}, "not supported"),
        ({"latents": torch.zeros(1)}, "latents.* start= .* seed="),
        ({"cross_attention_kwargs": {"scale": 0.5}}, r"pipe\.set_adapters"),
        ({"prompt": 5}, "prompt must be a text, .* not int"),
        ({"scheduler": "euler"}, r"ddpm, ddim, dpm\+\+, unipc"),
        ({"preset": "best"}, "official, paper, mini, faithful, fast"),
        ({"prompt": ["a", "b"]}, "one for each"),
        ({"prompt": {"a": "b"}}, "one for each picture, not dict"),
        ({"upscale": 0}, "from 1 to 8"),
    ],
)
def test_wrong_options_are_told_in_a_sentence(tiny_pipeline, picture, options, words):
    with pytest.raises(XPSRError, match=words):
        tiny_pipeline(picture(16, 16), **options)


def test_an_empty_list_is_told_in_a_sentence(tiny_pipeline):
    with pytest.raises(XPSRError, match="no picture in the list"):
        tiny_pipeline([])


def test_a_scheduler_put_in_its_place_is_not_ignored(tiny_pipeline, picture):
    pipe = XPSRPipeline(**tiny_pipeline.components)
    trained = pipe.scheduler
    pipe.scheduler = EulerDiscreteScheduler.from_config(trained.config)
    with pytest.raises(XPSRError, match=r'Euler.* PNDM.* scheduler="dpm\+\+" .*ddpm, ddim'):
        run(pipe, picture(16, 16))
    pipe.scheduler = trained
    run(pipe, picture(16, 16))


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory."),
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    ],
)
def test_too_little_memory_is_told_in_a_sentence(tiny_pipeline, picture, monkeypatch, error):
    def forward(*args, **kwargs):
        raise error

    monkeypatch.setattr(tiny_pipeline.unet, "forward", forward)
    with pytest.raises(XPSRError, match="smaller upscale or tile_size"):
        run(tiny_pipeline, picture(16, 16))


@pytest.mark.parametrize("place", ["xpsr.frame.to_tensor", "xpsr.frame.match"])
def test_so_is_too_little_memory_before_and_after_the_networks(
    tiny_pipeline, picture, monkeypatch, place
):
    """Both make several copies of the whole picture."""

    def full(*args, **kwargs):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9")

    monkeypatch.setattr(place, full)
    with pytest.raises(NotEnoughMemoryError, match="smaller upscale or tile_size"):
        run(tiny_pipeline, picture(16, 16))


def test_other_errors_are_not_hidden(tiny_pipeline, picture, monkeypatch):
    def forward(*args, **kwargs):
        raise RuntimeError("a defect of ours")

    monkeypatch.setattr(tiny_pipeline.unet, "forward", forward)
    with pytest.raises(RuntimeError, match="a defect of ours"):
        run(tiny_pipeline, picture(16, 16))


def test_absurd_sizes_are_refused_at_once(tiny_pipeline):
    with pytest.raises(XPSRError, match="upscale can be 2 at most"):
        tiny_pipeline(Image.new("RGB", (3000, 3000)), upscale=8)
    with pytest.raises(XPSRError, match="process_size"):
        tiny_pipeline(Image.new("RGB", (16, 2000)), upscale=1, process_size=4096)
