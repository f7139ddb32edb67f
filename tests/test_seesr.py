"""SeeSR as a pipeline: its loop by the authors' numbers, loading, converting, what it reads."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import cpu_offload
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from peft import LoraConfig, get_peft_model_state_dict
from PIL import ImageChops
from safetensors.torch import load_file, save_file
from test_sampling import StoredNoise
from tiny_dape import tiny_dape

import xpsr as library
from xpsr import tiling
from xpsr.errors import XPSRError
from xpsr.inspection import default_preset
from xpsr.models.checkpoint import base_of
from xpsr.pipeline import LORA
from xpsr.prompts import Prompts
from xpsr.prompts.text import assemble
from xpsr.recipe import read_recipe
from xpsr.sampling import Conditions, Denoiser, Hints, Step, denoise
from xpsr.schedule import Solver, start_latents
from xpsr.seesr import ONE_TEXT, SeeSRPipeline
from xpsr.settings import Settings
from xpsr.tiling import Blend, cover

GOLDEN = Path(__file__).parent / "golden" / "seesr"
SCHEDULE = json.loads((GOLDEN / "schedule.json").read_text(encoding="utf-8"))
RUNS = ("lr_cfg", "noise_cfg", "lr_nocfg", "lr_cfg_scale05")
QUICK = Settings.from_preset("seesr", num_inference_steps=2, upscale=2, process_size=0, seed=3)
WORDS = Prompts.from_preset("seesr", prompt="bird, branch,")


@pytest.fixture(scope="module")
def pipe(tiny_seesr) -> SeeSRPipeline:
    return tiny_seesr


@pytest.fixture(scope="module")
def stored():
    return load_file(GOLDEN / "pipeline.safetensors")


def near(found, expected):
    assert (found - expected).abs().max() / expected.abs().max() <= 1e-4


def denoiser(pipe, stored, run, blend, image="in.cond_image") -> Denoiser:
    guided = run != "lr_nocfg"
    texts = [stored["in.negative_prompt_embeds"]] * guided + [stored["in.prompt_embeds"]]
    conditions = Conditions(
        high=torch.cat(texts),
        low=torch.cat(texts),  # read by nobody
        image=stored[image],
        guidance_scale=3.0 if run == "lr_cfg_scale05" else 5.5 if guided else 1.0,
        conditioning_scale=0.5 if run == "lr_cfg_scale05" else 1.0,
        image_tokens=stored["in.image_embeds"],
    )
    hints = Hints(pipe.controlnet, conditions.image, blend)
    return Denoiser(pipe.unet, pipe.controlnet, conditions, blend, hints)


@torch.no_grad()
@pytest.mark.parametrize("run", RUNS)
def test_the_loop_matches_the_authors(pipe, stored, run):
    own = {key.split(".", 1)[1]: v for key, v in stored.items() if key.startswith(f"{run}.")}
    solver = Solver(pipe.scheduler.config, "ddpm", len(own["timesteps"]))
    assert solver.timesteps == own["timesteps"].tolist()
    noise = StoredNoise(own["init_noise"], *own["step_noise"])
    start = "noise" if run == "noise_cfg" else "lr_last"
    low = own.get("z_lr", torch.zeros_like(own["init_noise"]))
    latents = start_latents(solver, Settings(start=start), low, noise)
    assert (latents - own["latent_start"]).abs().max() < 1e-6
    predict = denoiser(pipe, stored, run, Blend(cover(16, 16, 96, 4)))
    for number, step in enumerate(denoise(latents, solver, predict, noise)):
        near(step.latents, own["latents_per_step"][number])
    near(step.latents, own["latents_final"])
    assert not noise.left


@torch.no_grad()
def test_the_tiled_loop_matches_the_authors(pipe, stored, monkeypatch):
    own = {k.split(".", 1)[1]: v for k, v in stored.items() if k.startswith("lr_tiled.")}
    # Their weights are ours but for the middle, which they have half a pixel too low.
    monkeypatch.setattr(tiling, "bell", lambda *_: stored["tiled.gaussian_weights_16"][0, 0])
    tiles = cover(20, 26, 16, 4)
    predict = denoiser(pipe, stored, "lr_tiled", Blend(tiles), "in.cond_image_wide")
    solver = Solver(pipe.scheduler.config, "ddpm", 2)
    noise = StoredNoise(own["init_noise"], *own["step_noise"])
    latents = start_latents(solver, Settings(start="lr_last"), own["z_lr"], noise)
    for number, tile in enumerate(tiles):
        found = predict._networks(tile.cut(latents), solver.timesteps[0], predict.hints[number])
        near(found, own["tile_model_out_step0"][number])
    items = denoise(latents, solver, predict, noise, len(tiles))
    steps = [one.latents for one in items if isinstance(one, Step)]
    for found, expected in zip(steps, own["latents_per_step"], strict=True):
        near(found, expected)


def test_tiles_and_schedule_are_the_authors(pipe):
    for case in json.loads((GOLDEN / "tiles.json").read_text())["cases"]:
        height, width, tile = case["latent_h"], case["latent_w"], case["tile"]
        found = cover(height, width, tile, case["overlap"])
        if case["tiled"] and min(height, width) < tile:
            continue  # theirs get smaller in both directions then, ours in that one
        if not case["tiled"]:
            assert len(found) == 1, case
            continue
        assert [(one.left, one.top) for one in found] == [
            (x, y) for x in case["x_offsets"] for y in case["y_offsets"]
        ], case
    for steps, expected in SCHEDULE["timesteps_leading_offset1"].items():
        assert Solver(pipe.scheduler.config, "ddpm", int(steps)).timesteps == expected


def run(pipe, image, prompts=WORDS, **changes):
    *_, last = pipe.stream(image, prompts, replace(QUICK, **changes))
    return last


def test_it_restores_with_its_own_preset(pipe, picture):
    _, settings = pipe.defaults()
    assert (settings.num_inference_steps, settings.guidance_scale) == (50, 5.5)
    assert settings == Settings.from_preset("seesr") and settings.start == "lr_last"
    done = run(pipe, picture(24, 20))
    assert done.image.size == (48, 40) and done.notes == ()
    assert done.recipe.prompts.negative_prompt == "dotted, noise, blur, lowres, smooth"
    again = run(pipe, picture(24, 20))
    assert again.recipe.output_sha256 == done.recipe.output_sha256
    assert run(pipe, picture(24, 20), seed=4).recipe.output_sha256 != done.recipe.output_sha256


def test_tags_and_added_words_stand_as_in_its_demo(tokenizer):
    known = json.loads((GOLDEN / "prompts.json").read_text(encoding="utf-8"))
    tags = known["training_tag_file"][0]["text"]  # "bird, branch,"
    said = assemble(replace(WORDS, prompt=tags), QUICK, tokenizer)
    assert said.high.sent == "bird, branch, clean, high-resolution, 8k"
    assert known["gradio"][0]["prompt"].startswith(said.high.sent)


def test_what_it_sees_in_the_picture_as_it_came_is_read(pipe, picture, monkeypatch):
    """The tagger gets the input and not the enlarged picture, and what it says has an effect."""
    seen, pixels = [], pipe.tagger.pixels
    monkeypatch.setattr(pipe.tagger, "pixels", lambda image: seen.append(image) or pixels(image))
    before = run(pipe, picture(24, 20))
    assert [image.size for image in seen] == [(24, 20)]

    def levels_apart() -> int:
        changed = ImageChops.difference(run(pipe, picture(24, 20)).image, before.image)
        return max(most for _, most in changed.getextrema())

    embed = pipe.tagger.embed
    monkeypatch.setattr(pipe.tagger, "embed", lambda pixels: embed(pixels).flip(1))
    assert levels_apart() <= 1  # their order has no effect; only the sums round otherwise
    monkeypatch.setattr(pipe.tagger, "embed", lambda pixels: 2 * embed(pixels))
    assert levels_apart() > 50


def test_the_quality_text_is_not_read_and_that_is_said(pipe, picture):
    bare = run(pipe, picture(24, 20))
    told = run(pipe, picture(24, 20), replace(WORDS, lowlevel_prompt="Very noisy. " * 60))
    assert told.notes == told.recipe.notes == (ONE_TEXT,)
    assert told.recipe.output_sha256 == bare.recipe.output_sha256
    words = replace(WORDS, lowlevel_prompt="Very noisy.")
    routed = run(pipe, picture(24, 20), words, lowlevel_route="content")
    assert routed.notes == () and routed.recipe.output_sha256 != bare.recipe.output_sha256


def test_an_ablation_leaves_out_what_has_no_effect_in_it(xpsr, pipe, tmp_path, picture):
    pipe.save_pretrained(tmp_path / "see")
    picture(24, 20).save(photo := tmp_path / "photo.png")
    words = ("--prompt", "bird,", "--lowlevel-prompt", "Very noisy.")
    run = ("--num-inference-steps", 1, "--upscale", 2, "--process-size", 0, "--seeds", 1)

    def ablate(plan, *more):
        out = ("--out", tmp_path / plan)
        model = ("--model", tmp_path / "see", "--device", "cpu")
        return xpsr("ablate", photo, "--plan", plan, *out, *model, *words, *run, *more)

    done = ablate("levels")
    assert [one["variant"] for one in done.records[:-1]] == ["both levels", "no text"]
    said = "This model reads one text: the quality texts are left out, and so are 2 variants."
    assert said in done.err and said in (tmp_path / "levels" / "report.html").read_text("utf-8")
    done = ablate("swap")
    assert done.code == 2 and "it changes only the quality text" in done.err
    assert not (tmp_path / "swap").exists()
    routed = ablate("swap", "--lowlevel-route", "content")
    assert len({one["sha256"] for one in routed.records[:-1]}) == 3 and said[:28] not in routed.err


def test_a_described_quality_is_left_out_and_one_that_is_given_is_told(
    xpsr, pipe, tmp_path, picture
):
    pipe.save_pretrained(tmp_path / "see")
    picture(24, 20).save(photo := tmp_path / "photo.png")
    model = ("--model", tmp_path / "see", "--describer", f"tags:{tmp_path / 'see'}")
    run = ("--num-inference-steps", 1, "--upscale", 2, "--process-size", 0)

    def texts(name, *more):
        done = xpsr("restore", photo, "--out", tmp_path / name, *model, *run, *more)
        return read_recipe(tmp_path / name / "photo.png").prompts, done.err

    described, told = texts("described")
    assert described.prompt.endswith(",") and not described.lowlevel_prompt
    assert ONE_TEXT not in told
    given, told = texts("given", "--lowlevel-prompt", "Noisy.")
    assert given.lowlevel_prompt == "Noisy." and ONE_TEXT in told
    routed, told = texts("routed", "--lowlevel-route", "content")
    assert routed.lowlevel_prompt.startswith("The image is") and ONE_TEXT not in told


def test_offloading_makes_the_same_pixels(pipe, picture, tmp_path):
    """The two things that its attention reads travel through the hooks as one value."""
    pipe.save_pretrained(tmp_path)
    expected = run(pipe, picture(24, 20)).recipe.output_sha256
    model, piece = (library.load(tmp_path, device="cpu") for _ in range(2))
    model.enable_model_cpu_offload(device="cpu")
    for name in ("text_encoder", "tagger", "vae", "unet", "controlnet"):
        cpu_offload(getattr(piece, name), torch.device("cpu"), offload_buffers=True)
    for one in (model, piece):
        assert run(one, picture(24, 20)).recipe.output_sha256 == expected
        assert one.tags(picture(24, 20)) == pipe.tags(picture(24, 20))


def test_a_lora_of_stable_diffusion_lands_in_the_text_attention(pipe, picture, tmp_path):
    config = {k: v for k, v in pipe.unet.config.items() if k != "image_attention_dim"}
    plain = UNet2DConditionModel.from_config(config)
    layers = ["to_q", "to_k", "to_v", "to_out.0", "proj_in", "ff.net.0.proj"]
    plain.add_adapter(LoraConfig(r=2, target_modules=layers, init_lora_weights=False))
    weights: dict[str, Any] = get_peft_model_state_dict(plain)
    StableDiffusionPipeline.save_lora_weights(tmp_path, unet_lora_layers=weights)
    pipe.save_pretrained(tmp_path / "see")
    own = library.load(tmp_path / "see", device="cpu")
    own.load_lora_weights(tmp_path, weight_name="pytorch_lora_weights.safetensors")
    names = [name for name, _ in own.unet.named_parameters() if "lora_" in name]
    assert len(names) == len(weights) > 0 and not any(".image." in name for name in names)
    during, before = (run(one, picture(24, 20)).recipe for one in (own, pipe))
    assert during.output_sha256 != before.output_sha256 and during.notes == (LORA,)


def test_the_text_that_it_does_not_read_is_not_encoded(pipe, picture, monkeypatch):
    forward, read = pipe.text_encoder.forward, []

    def reading(*ids, **options):
        read.append(ids)
        return forward(*ids, **options)

    monkeypatch.setattr(pipe.text_encoder, "forward", reading)
    run(pipe, picture(24, 20), replace(WORDS, lowlevel_prompt="Very noisy."))
    assert len(read) == 1


def test_another_pipeline_refuses_its_networks(pipe, tmp_path):
    pipe.save_pretrained(tmp_path)
    with pytest.raises(XPSRError, match=r"take xpsr.SeeSRPipeline"):
        library.XPSRPipeline.from_pretrained(tmp_path)


def test_tags_are_those_of_the_tagger(pipe):
    from PIL import Image

    values = load_file(GOLDEN / "dape.safetensors")["in.lr_image_40x52"]
    image = Image.fromarray((values[0].permute(1, 2, 0) * 255).round().byte().numpy())
    expected = json.loads((GOLDEN / "tiny" / "dape" / "config.json").read_text())
    assert ", ".join(pipe.tags(image)) == expected["expected_tags_dape"][0]


@pytest.fixture(scope="module")
def base(pipe, tmp_path_factory):
    folder = tmp_path_factory.mktemp("base")
    for name in ("vae", "text_encoder", "tokenizer", "scheduler"):
        getattr(pipe, name).save_pretrained(folder / name)
    return folder


@pytest.fixture
def official(pipe, tmp_path):
    """A download as the authors lay it out; the tagger, which is small here, as `convert` writes
    it, since files of the authors have one size."""
    folder = tmp_path / "models" / "seesr"
    for part in ("unet", "controlnet"):
        shutil.copytree(GOLDEN / "tiny" / part, folder / part)
    pipe.tagger.save_pretrained(folder.parent / "tagger")
    return folder


def pixels(model, picture, **where):
    return run(library.load(model, device="cpu", **where), picture(24, 20)).recipe.output_sha256


def test_every_way_to_load_it_makes_the_same_pixels(xpsr, pipe, official, base, picture, tmp_path):
    expected = run(pipe, picture(24, 20)).recipe.output_sha256
    assert pixels(official, picture, base=base) == expected
    revision = library.load(official, base=base, device="cpu").source.revision
    weights = official.parent / "tagger" / "diffusion_pytorch_model.safetensors"
    changed = load_file(weights)
    changed["label_embed"] += 1  # of tags alone: pixels stay
    save_file(changed, weights, metadata={"format": "pt"})
    assert library.load(official, base=base, device="cpu").source.revision != revision
    pipe.save_pretrained(tmp_path / "saved")
    assert pixels(tmp_path / "saved", picture) == expected
    for part in ("unet", "controlnet", "tagger"):  # without the index of a pipeline
        getattr(pipe, part).save_pretrained(tmp_path / "own" / part)
    assert pixels(tmp_path / "own", picture, base=base) == expected
    done = xpsr("convert", official, tmp_path / "out", "--base", base)
    assert done.code == 0, done.err
    loaded = library.load(tmp_path / "out", device="cpu")
    assert isinstance(loaded, SeeSRPipeline) and loaded.config["default_preset"] == "seesr"
    assert run(loaded, picture(24, 20)).recipe.output_sha256 == expected
    again = type(loaded).from_pipe(loaded)
    assert again.label == "out" and again.tagger is loaded.tagger


@pytest.fixture
def turbo(pipe, base, tmp_path):
    """An SD-Turbo: its own UNet, and a schedule that begins at the last timestep."""
    folder = shutil.copytree(base, tmp_path / "sd-turbo")
    config = folder / "scheduler" / "scheduler_config.json"
    said = {**json.loads(config.read_text()), "_class_name": "EulerDiscreteScheduler"}
    config.write_text(json.dumps({**said, "timestep_spacing": "trailing"}))
    keys = UNet2DConditionModel._get_init_keys(UNet2DConditionModel)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        unet = UNet2DConditionModel(**{k: v for k, v in pipe.unet.config.items() if k in keys})
    unet.save_pretrained(folder / "unet")
    return folder


def test_sd_turbo_as_base_takes_two_steps(xpsr, pipe, official, turbo, picture, tmp_path):
    """As the authors' script: its UNet with SeeSR's image attention; the ControlNet stays."""
    assert default_preset(str(official), str(turbo)) == "seesr-turbo"
    loaded = library.load(official, base=turbo, device="cpu")
    assert loaded.config["default_preset"] == "seesr-turbo"
    plain = UNet2DConditionModel.from_pretrained(turbo / "unet").state_dict()
    theirs, found = pipe.unet.state_dict(), loaded.unet.state_dict()
    for key, value in found.items():
        assert torch.equal(value, theirs[key] if ".image." in key else plain[key]), key
    control = pipe.controlnet.state_dict()
    assert all(torch.equal(v, control[k]) for k, v in loaded.controlnet.state_dict().items())

    _, settings = loaded.defaults()
    assert (settings.num_inference_steps, settings.guidance_scale) == (2, 1.0)
    for steps, expected in SCHEDULE["timesteps_trailing_turbo"].items():
        assert Solver(loaded.scheduler.config, "ddpm", int(steps)).timesteps == expected
    small = {"process_size": 0, "upscale": 2, "prompt": "bird,"}
    done = loaded(picture(24, 20), **small)
    assert done.recipe.settings.num_inference_steps == 2 and done.recipe.base == "sd-turbo"
    code = xpsr("convert", official, tmp_path / "out", "--base", turbo)
    assert code.code == 0, code.err
    whole = library.load(tmp_path / "out", device="cpu")
    assert default_preset(str(tmp_path / "out")) == whole.config["default_preset"] == "seesr-turbo"
    assert whole(picture(24, 20), **small).recipe.output_sha256 == done.recipe.output_sha256
    config = {**UNet2DConditionModel.load_config(turbo / "unet"), "in_channels": 9}
    UNet2DConditionModel.from_config(config).save_pretrained(turbo / "unet")  # one for inpainting
    with pytest.raises(XPSRError, match="is not that of SD-Turbo, which SeeSR's layers fit: 1 of"):
        library.load(official, base=turbo, device="cpu")
    done = xpsr("convert", official, tmp_path / "other", "--base", turbo)
    assert done.code == 2 and "is not that of SD-Turbo" in done.err
    assert not (tmp_path / "other").exists()
    shutil.rmtree(turbo / "unet")
    with pytest.raises(XPSRError, match='it has no "unet"'):
        library.load(official, base=turbo, device="cpu")


def test_a_base_that_predicts_velocities_is_refused(xpsr, official, base, tmp_path):
    """Stable Diffusion 2 for 768 pixels has the same text encoder; its results would be noise."""
    assert base_of(1024) == "Stable Diffusion 2 (base)"  # so it is named where none is given
    other = shutil.copytree(base, tmp_path / "sd2-768")
    config = other / "scheduler" / "scheduler_config.json"
    said = json.loads(config.read_text())
    config.write_text(json.dumps({**said, "prediction_type": "v_prediction"}))
    with pytest.raises(XPSRError, match=r"another kind \(v_prediction\)"):
        library.load(official, base=other, device="cpu")
    done = xpsr("convert", official, tmp_path / "out", "--base", other)
    assert done.code == 2 and "name another base" in done.err and not (tmp_path / "out").exists()


def test_a_whole_checkpoint_is_told(xpsr, official, base):
    done = xpsr("convert", official, "--check")
    record = json.loads(done.out)
    assert done.code == 0 and record["whole"] and record["family"] == "SeeSR"
    assert [part["name"] for part in record["parts"]] == ["unet", "controlnet", "tagger"]
    tagger = tiny_dape().state_dict().values()
    assert record["parts"][2]["weights"] == sum(value.numel() for value in tagger)
    shutil.rmtree(official.parent / "tagger")
    lacking = xpsr("convert", official, "--check")
    assert (
        lacking.code == 1 and "has no tagger. It consists of ram_swin_large_14m.pth" in lacking.err
    )
    with pytest.raises(XPSRError, match="has no tagger"):
        library.load(official, base=base, device="cpu")


def test_its_own_tagger_describes_where_no_other_is_named(xpsr, pipe, tmp_path, picture):
    pipe.save_pretrained(tmp_path / "see")
    (tmp_path / "lr").mkdir()
    picture(24, 20).save(tmp_path / "lr" / "low.png")
    run = ("--num-inference-steps", "1", "--upscale", "1", "--process-size", "0")
    quick = ("--model", tmp_path / "see", *run)

    def texts(command, photo, *more):
        out = tmp_path / f"{command}{len(more)}"
        where = ("--lr", photo) if command == "evaluate" else (photo,)
        done = xpsr(command, *where, "--out", out, *quick, *more)
        assert done.code == 0, done.err
        (*_, png) = sorted(out.rglob("*.png"), key=lambda path: path.name != "input.png")
        return library.read_recipe(png).prompts

    tags = ", ".join(pipe.tags(picture(24, 20))) + ","
    photo = tmp_path / "lr" / "low.png"
    assert texts("restore", photo).prompt == texts("evaluate", tmp_path / "lr").prompt == tags
    assert texts("evaluate", tmp_path / "lr").lowlevel_prompt == ""
    ablated = texts("ablate", photo, "--plan", "negatives", "--seeds", "1")
    assert ablated.prompt == tags
    measured = texts("restore", photo, "--describer", "measured").prompt
    assert measured and measured != tags
