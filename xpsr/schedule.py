"""Noise schedules and solvers by name, built from the schedule the networks were trained with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    UniPCMultistepScheduler,
)
from torch import Tensor

from xpsr.errors import XPSRError
from xpsr.settings import Scheduler, Settings

_SCHEDULERS: dict[str, tuple[type, dict[str, Any]]] = {
    "ddpm": (DDPMScheduler, {"variance_type": "fixed_small", "clip_sample": False}),
    "ddim": (DDIMScheduler, {"clip_sample": False}),
    "dpm++": (DPMSolverMultistepScheduler, {"algorithm_type": "dpmsolver++", "solver_order": 2}),
    "unipc": (UniPCMultistepScheduler, {"solver_order": 2}),
}
# What belongs to the training and not to the solver. Passed on one by one with their resolved
# values: `from_config` drops keys that a file left out and puts in the new class's defaults, and
# DPM++ and UniPC have another default spacing than the PNDM file of Stable Diffusion 1.5.
_TRAINED = (
    "num_train_timesteps",
    "beta_start",
    "beta_end",
    "beta_schedule",
    "trained_betas",
    "prediction_type",
    "timestep_spacing",
    "steps_offset",
    "rescale_betas_zero_snr",
)


class NoiseSource(Protocol):
    """Where every random number of one picture comes from, in a fixed order of draws."""

    def like(self, tensor: Tensor) -> Tensor:
        """Standard normal noise with the shape, dtype and device of `tensor`."""
        ...


class Noise:
    """Noise from one fresh CPU generator: the same on every device, whatever ran before."""

    def __init__(self, seed: int) -> None:
        self._generator = torch.Generator("cpu").manual_seed(seed)

    def like(self, tensor: Tensor) -> Tensor:
        """See `NoiseSource`; drawn as float32 on the CPU."""
        return torch.randn(tensor.shape, generator=self._generator).to(tensor)


class Solver:
    """One walk from noise to picture: its timesteps, and a step from one to the next.

    Multistep solvers remember earlier steps, so every picture needs a fresh one. Latents are
    float32 throughout, whatever the networks compute in.

    Args:
        trained: config of the scheduler the networks were trained with.
        name: "ddpm" | "ddim" | "dpm++" | "unipc".
        steps: number of steps.

    Raises:
        XPSRError: more steps than the training had timesteps.
    """

    def __init__(self, trained: Mapping[str, Any], name: Scheduler, steps: int) -> None:
        kind, own = _SCHEDULERS[name]
        kept = {key: trained[key] for key in _TRAINED if trained.get(key) is not None}
        if name == "ddim":
            # The authors' SD file ends at the first noise level instead of at none at all.
            own = {**own, "set_alpha_to_one": trained.get("set_alpha_to_one", True)}
        longest = kept.get("num_train_timesteps", 1000)
        if steps > longest:
            raise XPSRError(
                f"num_inference_steps is {steps}, but this model knows only {longest} noise "
                "levels; use fewer steps."
            )
        self.scheduler = kind(**kept, **own)
        self.scheduler.set_timesteps(steps)
        if not _covers(int(self.scheduler.timesteps[0]), steps, longest):
            self.scheduler = kind(**{**kept, **own, "timestep_spacing": "trailing"})
            self.scheduler.set_timesteps(steps)
        # Plain numbers: asking a tensor for them in the loop would make a GPU wait at every step.
        self.timesteps: list[int] = [int(t) for t in self.scheduler.timesteps]

    def add_noise(self, clean: Tensor, noise: Tensor, timestep: int) -> Tensor:
        """√a·clean + √(1-a)·noise, a = ᾱ at `timestep`."""
        alpha = self._alpha(timestep)
        return alpha**0.5 * clean + (1 - alpha) ** 0.5 * noise

    def clean(self, prediction: Tensor, timestep: int, latents: Tensor) -> Tensor:
        """The clean latent that a network's prediction amounts to."""
        alpha = self._alpha(timestep)
        kind = self.scheduler.config.prediction_type
        if kind == "sample":
            return prediction
        if kind == "v_prediction":
            return alpha**0.5 * latents - (1 - alpha) ** 0.5 * prediction
        return (latents - (1 - alpha) ** 0.5 * prediction) / alpha**0.5

    def step(
        self, prediction: Tensor, timestep: int, latents: Tensor, noise: NoiseSource
    ) -> Tensor:
        """The latent at the next timestep."""
        if isinstance(self.scheduler, DDPMScheduler):
            return self._ancestral_step(prediction, timestep, latents, noise.like(latents))
        if isinstance(self.scheduler, DDIMScheduler):
            return self._implicit_step(prediction, timestep, latents)
        return self.scheduler.step(prediction, timestep, latents, return_dict=False)[0]

    def _ancestral_step(
        self, prediction: Tensor, timestep: int, latents: Tensor, noise: Tensor
    ) -> Tensor:
        """Mean and variance of q(x_next | x_t, x_0) (Ho et al. 2020, eq. 6 and 7).

        Here and not diffusers' own step, which draws its noise inside. Noise is also added in the
        last step, where its factor is 1e-10: one draw a step, without exceptions.
        """
        alpha, alpha_next = self._alpha(timestep), self._next_alpha(timestep, last=1.0)
        clean = self.clean(prediction, timestep, latents)
        kept = alpha / alpha_next
        mean = (alpha_next**0.5 * (1 - kept) * clean + kept**0.5 * (1 - alpha_next) * latents) / (
            1 - alpha
        )
        variance = max((1 - alpha_next) / (1 - alpha) * (1 - kept), 1e-20)
        return mean + variance**0.5 * noise

    def _implicit_step(self, prediction: Tensor, timestep: int, latents: Tensor) -> Tensor:
        """The clean latent, noised again with the noise it was told apart from (Song et al. 2021,
        eq. 12 with σ = 0).

        Here because diffusers' own step takes `t - 1000 // steps` for the next timestep, which it
        is not with every spacing.
        """
        alpha = self._alpha(timestep)
        last = self.scheduler.final_alpha_cumprod.item()
        alpha_next = self._next_alpha(timestep, last)
        clean = self.clean(prediction, timestep, latents)
        told_apart = (latents - alpha**0.5 * clean) / (1 - alpha) ** 0.5
        return alpha_next**0.5 * clean + (1 - alpha_next) ** 0.5 * told_apart

    def _next_alpha(self, timestep: int, last: float) -> float:
        following = self.timesteps.index(timestep) + 1
        return self._alpha(self.timesteps[following]) if following < len(self.timesteps) else last

    def _alpha(self, timestep: int) -> float:
        return self.scheduler.alphas_cumprod[timestep].item()


def _covers(first: int, steps: int, longest: int) -> bool:
    """Whether a walk that begins at `first` goes through the noise levels it is meant to.

    Counted from the other end, as in the files of Stable Diffusion, one step stays at the lowest
    level, many are so short in whole numbers that they reach half of the levels (260 of 3 each),
    and 999 or 1000 can begin beyond the last one.
    """
    return first < longest and steps > 1 and first > 0.9 * (longest - longest / steps)


def start_latents(solver: Solver, settings: Settings, low: Tensor, noise: NoiseSource) -> Tensor:
    """The latent that denoising starts from, (1, C, h, w) like `low`.

    Args:
        solver: gives the noise levels.
        settings: `start` and `added_noise_level`.
        low: the latent of the low-quality picture (only its shape counts for start "noise").
        noise: drawn from once, for "lr_twice" twice.
    """
    if settings.start == "noise":
        return noise.like(low)
    if settings.start == "lr_bare":
        return solver.add_noise(low, torch.zeros_like(low), solver.timesteps[0])
    last = solver.scheduler.config.num_train_timesteps - 1
    first = last if settings.start == "lr_last" else solver.timesteps[0]
    latents = solver.add_noise(low, noise.like(low), first)
    if settings.start == "lr_twice":
        # As the authors' code does: of the picture 1.7 % are left, which is almost pure noise.
        level = min(settings.added_noise_level, last)
        latents = solver.add_noise(latents, noise.like(low), level)
    return latents
