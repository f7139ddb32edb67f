"""The denoising loop: a generator that yields every step."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from torch import Tensor

from xpsr.autoencoder import encode
from xpsr.guidance import combine
from xpsr.placement import moved_in
from xpsr.schedule import NoiseSource, Solver
from xpsr.tiling import Blend, Tile

if TYPE_CHECKING:
    from xpsr.models import XPSRControlNetModel, XPSRUNet2DConditionModel
    from xpsr.preview import Preview


@dataclass(frozen=True, eq=False)
class Step:
    """What is known after one step.

    Attributes:
        index: 0 for the first step.
        total: number of steps.
        timestep: training timestep (noise level) that the step started from.
        latents: latent after the step (1, C, h, w), float32.
        predicted: the clean latent as the network saw it in this step, likewise. In a model with
            residual latents both are residuals; `preview` knows.
        seconds_left: estimate from the steps so far.
        preview: makes a picture of `predicted`; set by the pipeline.
    """

    index: int
    total: int
    timestep: int
    latents: Tensor
    predicted: Tensor
    seconds_left: float
    preview: Preview | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, eq=False)
class Conditions:
    """What the networks are told besides latent and timestep.

    Attributes:
        high, low: text embeddings (B, L, D), B = 2 for [negative, positive] or 1.
        image: the low-quality picture at working size (1, 3, H, W) in [0, 1].
        guidance_scale, conditioning_scale: as in `Settings`.
    """

    high: Tensor
    low: Tensor
    image: Tensor
    guidance_scale: float
    conditioning_scale: float


# Around every call of the networks: the tile and its number, from 0 in every step.
Watch = Callable[[int, Tile], AbstractContextManager[None]]


def unwatched(_number: int, _tile: Tile) -> AbstractContextManager[None]:
    """What watches where nobody does."""
    return nullcontext()


def embed_tiles(controlnet: XPSRControlNetModel, image: Tensor, blend: Blend) -> list[Tensor]:
    """The embedding of the low-quality picture (1, 3, H, W) in [0, 1], one a tile."""
    image = image.to(controlnet.dtype)
    factor = controlnet.downscale
    embed = moved_in(controlnet).hint
    # A tile sees the picture cut at its own border, as the authors' tiles do.
    return [embed(tile.cut(image, factor)) for tile in blend.tiles]


def base_latent(
    controlnet: XPSRControlNetModel, vae: Any, conditions: Conditions, blend: Blend
) -> Tensor:
    """What residual latents are added to: the ControlNet's degradation-free picture, encoded.

    Scaled, (1, C, h, w). Only the positive texts are read: guidance drives what is diffused away
    from the negative ones, and of this it would turn noise into its own negative.
    """
    if controlnet.degradation_free_predictor is None:
        return encode(vae, conditions.image)
    image = conditions.image.to(controlnet.dtype)
    high, low = conditions.high[-1:], conditions.low[-1:]
    guess = moved_in(controlnet).degradation_free
    factor = controlnet.downscale
    return blend(
        lambda _number, tile: encode(vae, guess(tile.cut(image, factor), high, low).float())
    )


class Denoiser:
    """ControlNet and UNet as one function: latent and timestep → guided prediction.

    The picture's embedding does not depend on the timestep, so it is computed here, once a tile.

    Args:
        unet, controlnet: the networks.
        conditions: see there.
        blend: the tiles of the latent.
        hints: from `embed_tiles`, if another run on the same picture has computed them.
        watch: entered around every call of the networks, to look on.
    """

    def __init__(
        self,
        unet: XPSRUNet2DConditionModel,
        controlnet: XPSRControlNetModel,
        conditions: Conditions,
        blend: Blend,
        hints: list[Tensor] | None = None,
        watch: Watch = unwatched,
    ) -> None:
        self.unet = unet
        self.controlnet = controlnet
        self.conditions = conditions
        self.blend = blend
        self.hints = hints or embed_tiles(controlnet, conditions.image, blend)
        self.watch = watch

    def __call__(self, latents: Tensor, timestep: int) -> Tensor:
        """Latents (1, C, h, w) float32 → prediction of the same shape and type."""

        def predict(number: int, tile: Tile) -> Tensor:
            with self.watch(number, tile):
                return self._networks(tile.cut(latents), timestep, self.hints[number])

        return combine(self.blend(predict), self.conditions.guidance_scale)

    def _networks(self, latents: Tensor, timestep: int, hint: Tensor) -> Tensor:
        told = self.conditions
        sample = latents.to(self.unet.dtype).expand(len(told.high), -1, -1, -1)
        control = self.controlnet(
            sample,
            timestep,
            encoder_hidden_states=told.high,
            lowlevel_encoder_hidden_states=told.low,
            hint=hint,
            conditioning_scale=told.conditioning_scale,
            with_predictions=False,
        )
        prediction = self.unet(
            sample,
            timestep,
            encoder_hidden_states=told.high,
            down_block_additional_residuals=control.down_block_res_samples,
            mid_block_additional_residual=control.mid_block_res_sample,
        ).sample
        return prediction.to(latents.dtype)


def denoise(
    latents: Tensor,
    solver: Solver,
    predict: Callable[[Tensor, int], Tensor],
    noise: NoiseSource,
) -> Iterator[Step]:
    """Walk from the start latents to the clean ones, yielding every step.

    Args:
        latents: start (1, C, h, w), float32.
        solver: fresh, see `Solver`.
        predict: latents and timestep → the network's prediction.
        noise: gives ancestral solvers their noise, one draw a step.
    """
    started = time.perf_counter()
    total = len(solver.timesteps)
    for index, timestep in enumerate(solver.timesteps):
        prediction = predict(latents, timestep)
        predicted = solver.clean(prediction, timestep, latents)
        latents = solver.step(prediction, timestep, latents, noise)
        left = (time.perf_counter() - started) / (index + 1) * (total - index - 1)
        yield Step(index, total, timestep, latents, predicted, left)
