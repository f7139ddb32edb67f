"""Pictures to latents and back, through any autoencoder of diffusers' shape."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor

from xpsr.errors import XPSRError
from xpsr.placement import moved_in
from xpsr.schedule import NoiseSource

# Beyond it a Stable Diffusion autoencoder needs more than 2 GiB for its activations.
_UNTILED_PIXELS = 1280 * 1280


def encode(vae: Any, image: Tensor) -> Tensor:
    """Picture → the mean of its scaled latents; the arguments are those of `distribution`."""
    return draw(vae, distribution(vae, image))


def distribution(vae: Any, image: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and spread of the latents of a picture before scaling, (1, C, h, w) float32.

    Args:
        vae: `AutoencoderKL`, `AutoencoderTiny` or `PatchAutoencoder`.
        image: (1, 3, H, W) in [0, 1]; sides must be multiples of the autoencoder's factor.
    """
    worker = _in_tiles_if_large(moved_in(vae), image.shape[-2] * image.shape[-1])
    encoded = worker.encode((2 * image - 1).to(vae.dtype))
    if hasattr(encoded, "latent_dist"):
        return encoded.latent_dist.mean.float(), encoded.latent_dist.std.float()
    return encoded.latents.float(), torch.zeros(())


def draw(vae: Any, found: tuple[Tensor, Tensor], noise: NoiseSource | None = None) -> Tensor:
    """A scaled latent from its `distribution`: a sample, or without `noise` the mean.

    One draw, also where there is no spread, so that the order of draws holds.
    """
    mean, spread = found
    if noise is not None:
        mean = mean + spread.to(mean) * noise.like(mean)
    return mean * _scale(vae)


def decode(vae: Any, latents: Tensor, factor: int) -> Tensor:
    """Scaled latent (1, C, h, w) → picture (1, 3, h·factor, w·factor) in [0, 1], float32.

    Raises:
        XPSRError: the numbers overflowed on the way.
    """
    pixels = latents.shape[-2] * latents.shape[-1] * factor**2
    worker = _in_tiles_if_large(moved_in(vae), pixels)
    image = worker.decode((latents / _scale(vae)).to(vae.dtype)).sample.float()
    if not torch.isfinite(image).all():
        raise XPSRError(
            "The result holds invalid numbers; load the model with dtype float32 and try again."
        )
    return (image / 2 + 0.5).clamp(0, 1)


def _scale(vae: Any) -> float:
    return vae.config.scaling_factor


def _in_tiles_if_large(vae: Any, pixels: int) -> Any:
    """The autoencoder, or for a large picture (where it can) one of the same weights in tiles."""
    if pixels <= _UNTILED_PIXELS or not hasattr(vae, "use_tiling"):
        return vae
    # A copy of the shell: switched in place, it would tile the pictures of other threads as well.
    tiled = copy.copy(vae)
    tiled.use_tiling = True
    return tiled
