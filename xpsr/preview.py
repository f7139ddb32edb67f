"""Cheap pictures of unfinished latents."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from diffusers import AutoencoderTiny
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from xpsr.autoencoder import decode, encode
from xpsr.image import to_image
from xpsr.models import PatchAutoencoder

_LIGHT = (PatchAutoencoder, AutoencoderTiny)


@dataclass(frozen=True, eq=False)
class Preview:
    """Shows a predicted clean latent of one picture.

    A light autoencoder simply decodes it. A heavy one would take longer than a step, so there the
    colours are read from the latent by a linear map, fitted once a picture to the low-quality one.

    Attributes:
        vae: the autoencoder.
        image: the low-quality picture at working size (1, 3, H, W) in [0, 1], padded.
        base: latent that is added to every prediction, or None (see `residual_latents`).
        factor: picture pixels per latent pixel.
        visible: (width, height) of `image` without the padding.
    """

    vae: Any
    image: Tensor
    base: Tensor | None
    factor: int
    visible: tuple[int, int]

    @torch.no_grad()
    def __call__(self, predicted: Tensor) -> Image.Image:
        """Latent (1, C, h, w) → RGB picture, of working size or (linear map) of latent size."""
        latents = predicted if self.base is None else predicted + self.base
        width, height = self.visible
        if isinstance(self.vae, _LIGHT):
            return to_image(decode(self.vae, latents, self.factor)[..., :height, :width])
        colors = torch.einsum("rc,bchw->brhw", self._map, _with_ones(latents)).clamp(0, 1)
        height, width = -(-height // self.factor), -(-width // self.factor)
        return to_image(colors[..., :height, :width])

    @cached_property
    def _map(self) -> Tensor:
        """(3, C + 1): least squares between the picture's latent and the picture reduced to it."""
        latents = _with_ones(encode(self.vae, self.image))
        target = F.interpolate(self.image.float(), size=latents.shape[-2:], mode="area")
        known, wanted = (x[0].flatten(1).T.cpu().double() for x in (latents, target))
        square = known.T @ known
        # A little ridge: a flat picture leaves most of the map undetermined.
        square += torch.diag(1e-4 * square.diagonal() + 1e-8)
        return torch.linalg.solve(square, known.T @ wanted).T.to(latents)


def _with_ones(latents: Tensor) -> Tensor:
    return torch.cat([latents, torch.ones_like(latents[:, :1])], dim=1)
