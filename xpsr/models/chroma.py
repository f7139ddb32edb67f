"""Colour differences of decoded pictures, smoothed."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

LUMA = (0.299, 0.587, 0.114)  # BT.601


def chroma_reach(sigma: float) -> int:
    """How many pixels away `smooth_chroma` looks."""
    return math.ceil(3 * sigma)


def smooth_chroma(image: Tensor, sigma: float) -> Tensor:
    """Blur how the colours of (B, 3, H, W) differ from its luma, and leave the luma as it is.

    Args:
        sigma: of the Gaussian, in pixels; above 0.
    """
    luma = torch.einsum("bchw,c->bhw", image, image.new_tensor(LUMA))[:, None]
    reach = chroma_reach(sigma)
    places = torch.arange(-reach, reach + 1, dtype=image.dtype, device=image.device)
    line = torch.softmax(-places.square() / (2 * sigma**2), dim=0)[None, None, None]

    def blur(plane: Tensor) -> Tensor:
        padded = F.pad(plane, (reach,) * 4, mode="replicate")
        return F.conv2d(F.conv2d(padded, line), line.mT)

    return torch.cat([luma + blur(color - luma) for color in image.split(1, dim=1)], dim=1)
