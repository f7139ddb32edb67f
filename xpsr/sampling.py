"""The denoising loop: a generator that yields every step, and between the tiles of each."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
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

    @property
    def done(self) -> float:
        """How many steps are done."""
        return self.index + 1


@dataclass(frozen=True)
class TileDone:
    """What is known between two tiles of a picture that is worked on in several.

    Attributes:
        index: of the step that is under way; -1 while the first one is prepared.
        total: number of steps.
        tile: how many tiles of it are done, at least 1.
        tiles: how many it has.
        seconds_left: estimate from the tiles so far; None before the first step.
        seconds_to_first_step: likewise, while it is prepared; None from then on.
    """

    index: int
    total: int
    tile: int
    tiles: int
    seconds_left: float | None = None
    seconds_to_first_step: float | None = None

    @property
    def done(self) -> float:
        """How many steps are done, with a share of the one that is under way."""
        return max(self.index + self.tile / self.tiles, 0.0)


# From latents and timestep to the network's prediction. On the way it yields what its third
# argument makes of the number of tiles that are done.
Predict = Callable[[Tensor, int, Callable[[int], TileDone]], Generator[TileDone, None, Tensor]]


@dataclass(frozen=True, eq=False)
class Conditions:
    """What the networks are told besides latent and timestep.

    Attributes:
        high, low: text embeddings (B, L, D), B = 2 for [negative, positive] or 1.
        image_tokens: what SeeSR's tagger sees in the picture (1, N, D), read in place of `low`;
            None in XPSR.
        image: the low-quality picture at working size (1, 3, H, W) in [0, 1].
        guidance_scale, conditioning_scale: as in `Settings`.
    """

    high: Tensor
    low: Tensor
    image: Tensor
    guidance_scale: float
    conditioning_scale: float
    image_tokens: Tensor | None = None

    def for_unet(self) -> dict[str, Any]:
        """What the UNet reads, by the names of its arguments."""
        if self.image_tokens is None:
            return {"encoder_hidden_states": self.high}
        # The same in both halves: SeeSR's guidance is away from a text, not from the picture.
        tokens = self.image_tokens.expand(len(self.high), -1, -1)
        return {"encoder_hidden_states": self.high, "image_encoder_hidden_states": tokens}

    def for_controlnet(self) -> dict[str, Any]:
        """Likewise of the ControlNet."""
        if self.image_tokens is None:
            lowlevel = {"lowlevel_encoder_hidden_states": self.low, "with_predictions": False}
            return {**self.for_unet(), **lowlevel}
        return self.for_unet()


# Around every call of the networks: the tile and its number, from 0 in every step.
Watch = Callable[[int, Tile], AbstractContextManager[None]]


def unwatched(_number: int, _tile: Tile) -> AbstractContextManager[None]:
    """What watches where nobody does."""
    return nullcontext()


class Hints:
    """The embedding of the low-quality picture, one a tile, each made when it is first asked for.

    It does not depend on the timestep.

    Args:
        controlnet: has the layers.
        image: the low-quality picture (1, 3, H, W) in [0, 1].
        blend: the tiles.
    """

    def __init__(self, controlnet: XPSRControlNetModel, image: Tensor, blend: Blend) -> None:
        self._controlnet = controlnet
        self._image = image.to(controlnet.dtype)
        self._tiles = blend.tiles
        self._made: dict[int, Tensor] = {}

    def __getitem__(self, number: int) -> Tensor:
        if number not in self._made:
            # A tile sees the picture cut at its own border, as the authors' tiles do.
            cut = self._tiles[number].cut(self._image, self._controlnet.downscale)
            self._made[number] = moved_in(self._controlnet).hint(cut)
        return self._made[number]


def base_latent(
    controlnet: XPSRControlNetModel,
    vae: Any,
    conditions: Conditions,
    blend: Blend,
    between: Callable[[int], TileDone],
) -> Generator[TileDone, None, Tensor]:
    """What residual latents are added to: the ControlNet's degradation-free picture, encoded.

    Scaled, (1, C, h, w). Only the positive texts are read, and there is no guidance: of noise that
    the positive texts take out and the negative ones leave in, it would leave 1 - w times as much.
    """
    if controlnet.degradation_free_predictor is None:
        return encode(vae, conditions.image)
    image = conditions.image.to(controlnet.dtype)
    high, low = conditions.high[-1:], conditions.low[-1:]
    guess = moved_in(controlnet).degradation_free
    factor = controlnet.downscale

    def guessed(_number: int, tile: Tile) -> Tensor:
        return encode(vae, guess(tile.cut(image, factor), high, low).float())

    return (yield from blend.join(guessed, between))


@dataclass(frozen=True, eq=False)
class Denoiser:
    """ControlNet and UNet as one function: latent and timestep → guided prediction.

    Args:
        unet, controlnet: the networks.
        conditions: see there.
        blend: the tiles of the latent.
        hints: of `conditions.image` in these tiles.
        watch: entered around every call of the networks, to look on.
    """

    unet: XPSRUNet2DConditionModel
    controlnet: XPSRControlNetModel
    conditions: Conditions
    blend: Blend
    hints: Hints
    watch: Watch = unwatched

    def __call__(
        self, latents: Tensor, timestep: int, between: Callable[[int], TileDone]
    ) -> Generator[TileDone, None, Tensor]:
        """Latents (1, C, h, w) float32 → prediction of the same shape and type; see `Predict`."""

        def predict(number: int, tile: Tile) -> Tensor:
            with self.watch(number, tile):
                return self._networks(tile.cut(latents), timestep, self.hints[number])

        both = yield from self.blend.join(predict, between)
        return combine(both, self.conditions.guidance_scale)

    def _networks(self, latents: Tensor, timestep: int, hint: Tensor) -> Tensor:
        told = self.conditions
        sample = latents.to(self.unet.dtype).expand(len(told.high), -1, -1, -1)
        # Plain tuples: offloading piece by piece cannot take results of several fields apart.
        skips, middle, *_ = self.controlnet(
            sample,
            timestep,
            hint=hint,
            conditioning_scale=told.conditioning_scale,
            return_dict=False,
            **told.for_controlnet(),
        )
        prediction = self.unet(
            sample,
            timestep,
            down_block_additional_residuals=skips,
            mid_block_additional_residual=middle,
            return_dict=False,
            **told.for_unet(),
        )[0]
        return prediction.to(latents.dtype)


def denoise(
    latents: Tensor, solver: Solver, predict: Predict, noise: NoiseSource, tiles: int = 1
) -> Iterator[Step | TileDone]:
    """Walk from the start latents to the clean ones, yielding every step.

    Args:
        latents: start (1, C, h, w), float32.
        solver: fresh, see `Solver`.
        predict: latents and timestep → the network's prediction.
        noise: gives ancestral solvers their noise, one draw a step.
        tiles: in how many `predict` works.
    """
    started = time.perf_counter()
    total = len(solver.timesteps)

    def left(done: float) -> float:
        return (time.perf_counter() - started) / done * (total - done)

    for index, timestep in enumerate(solver.timesteps):

        def between(tile: int, index: int = index) -> TileDone:
            return TileDone(index, total, tile, tiles, left(index + tile / tiles))

        prediction = yield from predict(latents, timestep, between)
        predicted = solver.clean(prediction, timestep, latents)
        latents = solver.step(prediction, timestep, latents, noise)
        yield Step(index, total, timestep, latents, predicted, left(index + 1))
