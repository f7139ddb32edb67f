"""Colour differences of decoded pictures, smoothed."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

LUMA = (0.299, 0.587, 0.114)  # BT.601


def smooth_chroma(image: Tensor, sigma: float) -> Tensor:
    """Blur how the colours of (B, 3, H, W) differ from its luma, and leave the luma as it is.

    Args:
        sigma: of the Gaussian, in pixels; above 0.
    """
    luma = (image * image.new_tensor(LUMA)[:, None, None]).sum(1, keepdim=True)
    reach = math.ceil(3 * sigma)
    places = torch.arange(-reach, reach + 1, dtype=image.dtype, device=image.device)
    line = torch.softmax(-places.square() / (2 * sigma**2), dim=0).expand(3, 1, 1, -1)
    padded = F.pad(image - luma, (reach,) * 4, mode="replicate")
    return luma + F.conv2d(F.conv2d(padded, line, groups=3), line.mT, groups=3)
