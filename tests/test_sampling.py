"""The denoising loop against the authors' numbers; schedules, start latents, guidance."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Sequence

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler, PNDMScheduler
from safetensors import safe_open

from xpsr.errors import XPSRError
from xpsr.guidance import combine, pair
from xpsr.prompts import Prompts
from xpsr.prompts.text import assemble
from xpsr.sampling import Conditions, Denoiser, Hints, Predict, Step, TileDone, denoise
from xpsr.schedule import Noise, Solver, start_latents
from xpsr.settings import CHOICES, Settings
from xpsr.tiling import Blend, bell, cover


class StoredNoise:
    """Hands out given noises in order; fails when asked for more."""

    def __init__(self, *noises: torch.Tensor) -> None:
        self.left = list(noises)

    def like(self, tensor: torch.Tensor) -> torch.Tensor:
        assert self.left[0].shape == tensor.shape
        return self.left.pop(0)


def load_golden(path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    with safe_open(path, "pt") as file:
        return {key: file.get_tensor(key) for key in file.keys()}, file.metadata()  # noqa: SIM118


@pytest.fixture(scope="module")
def trained(golden):
    return PNDMScheduler.from_pretrained(golden / "tiny" / "scheduler").config


def golden_denoiser(pipe, stored, settings: dict[str, str], blend: Blend) -> Denoiser:
    conditions = Conditions(
        high=torch.cat([stored["in.high_neg"], stored["in.high_pos"]]),
        low=torch.cat([stored["in.low_neg"], stored["in.low_pos"]]),
        image=stored["in.image"],
        guidance_scale=float(settings["guidance_scale"]),
        conditioning_scale=float(settings["conditioning_scale"]),
    )
    hints = Hints(pipe.controlnet, conditions.image, blend)
    return Denoiser(pipe.unet, pipe.controlnet, conditions, blend, hints)


def whole(network: Callable[[torch.Tensor, int], torch.Tensor]) -> Predict:
    """A network that sees the latent in one tile."""

    def predict(
        latents: torch.Tensor, timestep: int, between: Callable[[int], TileDone]
    ) -> Generator[TileDone, None, torch.Tensor]:
        return network(latents, timestep)
        yield

    return predict


def largest_error(steps: Sequence[Step | TileDone], stored: dict[str, torch.Tensor]) -> float:
    expected = stored["latent_after_step"]
    taken = [one for one in steps if isinstance(one, Step)]
    return max((one.latents - expected[one.index]).abs().max().item() for one in taken)


@torch.no_grad()
def test_plain_loop_matches_the_authors(tiny_pipeline, trained, golden):
    stored, settings = load_golden(golden / "sampler_plain_8x8.safetensors")
    steps = int(settings["num_inference_steps"])
    solver = Solver(trained, "ddpm", steps)
    assert solver.timesteps == stored["timesteps"].tolist()

    noise = StoredNoise(stored["noise.first"], stored["noise.added"], *stored["noise.step"])
    start = start_latents(solver, Settings(start="lr_twice"), stored["in.z_lr"], noise)
    assert (start - stored["init_latent"]).abs().max() < 1e-6

    blend = Blend(cover(8, 8, int(settings["latent_tiled_size"]), 8))
    denoiser = golden_denoiser(tiny_pipeline, stored, settings, blend)
    first = denoiser._networks(start, solver.timesteps[0], denoiser.hints[0])
    assert (first - stored["unet_out_step0"]).abs().max() < 1e-4

    done = list(denoise(start, solver, denoiser, noise))
    assert [step.index for step in done] == list(range(steps))
    assert largest_error(done, stored) < 1e-3
    assert (done[-1].latents - stored["final_latent"]).abs().max() < 1e-3
    assert not noise.left


@torch.no_grad()
def test_tiled_loop_matches_the_authors(tiny_pipeline, trained, golden, monkeypatch):
    stored, settings = load_golden(golden / "sampler_tiled_12x18.safetensors")
    size, overlap = int(settings["latent_tiled_size"]), int(settings["latent_tiled_overlap"])
    tiles = cover(12, 18, size, overlap)
    assert [(t.left, t.top) for t in tiles] == [(0, 0), (0, 4), (6, 0), (6, 4), (10, 0), (10, 4)]
    # Their weights are ours but for the middle, which they have half a pixel too low.
    theirs = stored["tile_weights"][0, 0]
    down = (torch.arange(size, dtype=torch.float64) - size / 2) / size
    rows = torch.exp(-(down**2) / 0.02) / (0.02 * torch.pi) ** 0.5
    assert (rows[:, None] * bell(1, size) / bell(1, 1) ** 0.5 - theirs).abs().max() < 1e-12
    monkeypatch.setattr("xpsr.tiling.bell", lambda height, width: theirs)

    solver = Solver(trained, "ddpm", int(settings["num_inference_steps"]))
    denoiser = golden_denoiser(tiny_pipeline, stored, settings, Blend(tiles))
    start = stored["init_latent"]
    for number, tile in enumerate(tiles):
        found = denoiser._networks(tile.cut(start), solver.timesteps[0], denoiser.hints[number])
        assert (found - stored["tile_unet_out_step0"][number]).abs().max() < 1e-4

    noise = StoredNoise(*stored["noise.step"])
    items = list(denoise(start, solver, denoiser, noise, len(tiles)))
    done = [one for one in items if isinstance(one, Step)]
    assert largest_error(items, stored) < 1e-3
    assert not noise.left

    between = [(one.index, one.tile) for one in items if isinstance(one, TileDone)]
    assert between == [(step, tile) for step in range(len(done)) for tile in range(1, 6)]
    assert [one.done for one in items] == sorted({one.done for one in items})
    assert items[-1].done == len(done) and items[-1].seconds_left == 0
    assert all(one.seconds_left is not None and one.seconds_left > 0 for one in items[:-1])


def test_ddpm_schedule_is_the_authors(trained, golden):
    expected = json.loads((golden / "scheduler_ddpm.json").read_text())
    for steps in (4, 6, 20, 50):
        assert Solver(trained, "ddpm", steps).timesteps == expected[f"timesteps_{steps}"]
    solver = Solver(trained, "ddpm", 4)
    for timestep, alpha in expected["alphas_cumprod"].items():
        assert abs(solver.scheduler.alphas_cumprod[int(timestep)].item() - alpha) < 1e-7
    config = solver.scheduler.config
    for key, value in expected["config"].items():
        if key in config:
            assert config[key] == value, key


@pytest.mark.parametrize("name", CHOICES["scheduler"])
@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
@pytest.mark.parametrize("spacing", ["leading", "trailing", "linspace"])
def test_every_solver_finds_a_known_picture(trained, name, kind, spacing):
    """A network that always predicts the truth must end at the truth, whatever it is asked for."""
    solver = Solver({**trained, "prediction_type": kind, "timestep_spacing": spacing}, name, 12)
    truth = Noise(1).like(torch.zeros(1, 4, 6, 5))

    def predict(latents: torch.Tensor, timestep: int) -> torch.Tensor:
        alpha = solver.scheduler.alphas_cumprod[timestep]
        epsilon = (latents - alpha**0.5 * truth) / (1 - alpha) ** 0.5
        v = alpha**0.5 * epsilon - (1 - alpha) ** 0.5 * truth
        return {"epsilon": epsilon, "v_prediction": v, "sample": truth}[kind]

    start = Noise(2).like(truth)
    done = list(denoise(start, solver, whole(predict), Noise(3)))
    assert (start - truth).abs().max() > 1
    assert all((step.predicted - truth).abs().max() < 1e-2 for step in done)
    assert (done[-1].latents - truth).abs().max() < 0.15  # SD's last level is not quite noise-free


@pytest.mark.parametrize("name", CHOICES["scheduler"])
def test_solvers_carry_the_trained_schedule(name):
    """DPM++ and UniPC have other defaults of their own; none of them may come through."""
    trained = DDPMScheduler(
        beta_schedule="linear",
        beta_start=0.001,
        beta_end=0.02,
        num_train_timesteps=500,
        prediction_type="v_prediction",
        timestep_spacing="trailing",
    ).config
    solver = Solver(trained, name, 5)
    assert solver.timesteps == [499, 399, 299, 199, 99]
    assert solver.scheduler.config.prediction_type == "v_prediction"
    betas = torch.linspace(0.001, 0.02, 500)
    assert torch.allclose(solver.scheduler.alphas_cumprod, (1 - betas).cumprod(0), atol=1e-6)


def test_ancestral_step_is_diffusers_own(trained):
    solver = Solver(trained, "ddpm", 20)
    reference = DDPMScheduler(**{k: v for k, v in solver.scheduler.config.items() if k[0] != "_"})
    reference.set_timesteps(20)
    prediction, latents = (Noise(seed).like(torch.zeros(1, 4, 8, 8)) for seed in (1, 2))
    for timestep in (951, 451, 1):
        theirs = reference.step(
            prediction, timestep, latents, generator=torch.Generator().manual_seed(5)
        )
        ours = solver.step(prediction, timestep, latents, Noise(5))
        assert torch.allclose(ours, theirs.prev_sample, atol=1e-5)
        predicted = solver.clean(prediction, timestep, latents)
        assert torch.allclose(predicted, theirs.pred_original_sample, atol=1e-4, rtol=1e-5)


def test_implicit_step_is_diffusers_own_where_that_is_right(trained):
    solver = Solver(trained, "ddim", 20)
    reference = DDIMScheduler(**{k: v for k, v in solver.scheduler.config.items() if k[0] != "_"})
    reference.set_timesteps(20)
    prediction, latents = (Noise(seed).like(torch.zeros(1, 4, 8, 8)) for seed in (1, 2))
    for timestep in (951, 451, 1):
        theirs = reference.step(prediction, timestep, latents).prev_sample
        assert torch.allclose(
            solver.step(prediction, timestep, latents, Noise(0)), theirs, atol=1e-5
        )


def test_deterministic_solvers_draw_nothing(trained):
    for name in ("ddim", "dpm++", "unipc"):
        solver = Solver(trained, name, 4)
        start = Noise(0).like(torch.zeros(1, 4, 4, 4))
        assert len(list(denoise(start, solver, whole(lambda x, t: x * 0.5), StoredNoise()))) == 4


@pytest.mark.parametrize("name", CHOICES["scheduler"])
def test_as_many_steps_as_there_are_noise_levels(trained, name):
    """With the spacing and offset of Stable Diffusion's files it would go beyond the last one."""
    assert (trained["timestep_spacing"], trained["steps_offset"]) == ("leading", 1)
    solver = Solver(trained, name, trained["num_train_timesteps"])
    assert solver.timesteps == list(range(trained["num_train_timesteps"]))[::-1]


@pytest.mark.parametrize("name", CHOICES["scheduler"])
@pytest.mark.parametrize("steps", [1, 260, 600, 999])
def test_every_number_of_steps_begins_near_the_last_level(trained, name, steps):
    """With that spacing some would begin at the lowest level, in the middle, or beyond the last."""
    total = trained["num_train_timesteps"]
    solver = Solver(trained, name, steps * total // 1000 or 1)
    assert 0.85 * total < solver.timesteps[0] < total
    low = torch.zeros(1, 4, 4, 4)
    assert torch.isfinite(start_latents(solver, Settings(), low, Noise(0))).all()


def test_the_usual_numbers_of_steps_keep_the_spacing_of_the_training(trained):
    spaced = [Solver(trained, "ddpm", steps).scheduler.config for steps in (2, 4, 20, 50, 100)]
    assert {config.timestep_spacing for config in spaced} == {"leading"}


def test_too_many_steps_are_refused():
    with pytest.raises(XPSRError, match="fewer steps"):
        Solver(DDIMScheduler(num_train_timesteps=10).config, "ddim", 11)


def test_start_latents_carry_as_much_of_the_picture_as_they_say(trained):
    solver = Solver(trained, "ddpm", 20)
    low = torch.full((1, 4, 64, 64), 100.0)
    means = {
        start: start_latents(solver, Settings(start=start), low, Noise(0)).mean().item() / 100
        for start in CHOICES["start"]
    }
    assert abs(means["noise"]) < 1e-3
    assert means["lr"] == pytest.approx(0.00815**0.5, abs=1e-3)
    assert means["lr_twice"] == pytest.approx(0.0173, abs=1e-3)
    bare = start_latents(solver, Settings(start="lr_bare"), low, Noise(0))
    assert bare.std() == 0 and means["lr_bare"] == pytest.approx(0.00815**0.5, abs=1e-4)


def test_loop_stops_when_closed(trained):
    calls: list[int] = []

    def predict(latents: torch.Tensor, timestep: int) -> torch.Tensor:
        calls.append(timestep)
        return latents

    start, solver = torch.ones(1, 4, 2, 2), Solver(trained, "ddim", 10)
    loop = denoise(start, solver, whole(predict), Noise(0))
    next(loop), next(loop)
    loop.close()
    assert len(calls) == 2


def test_time_left_runs_out(trained):
    start, solver = torch.ones(1, 4, 2, 2), Solver(trained, "ddim", 5)
    steps = list(denoise(start, solver, whole(lambda x, t: x), Noise(0)))
    assert steps[-1].seconds_left == 0 and steps[0].seconds_left > 0


def test_guidance_is_a_batch_of_negative_and_positive(tokenizer):
    texts = assemble(Prompts("h", "l", "nh", "nl", added_prompt=""), Settings(), tokenizer)
    assert pair(texts, True) == (["nh", "h"], ["nl", "l"])
    assert pair(texts, False) == (["h"], ["l"])
    negative, positive = torch.tensor([1.0]), torch.tensor([3.0])
    both = torch.stack([negative, positive]).reshape(2, 1, 1, 1)
    assert combine(both, 6.5).item() == 1.0 + 6.5 * 2.0
    assert combine(both[1:], 6.5).item() == 3.0


def test_noise_depends_on_the_seed_alone():
    first = Noise(7)
    torch.manual_seed(1)
    again = Noise(7)
    like = torch.zeros(1, 2, 3, 3)
    assert torch.equal(first.like(like), again.like(like))
    assert not torch.equal(first.like(like), Noise(7).like(like))  # a second draw is another one
    assert not torch.equal(Noise(7).like(like), Noise(8).like(like))
