"""The Gaussian blur that fits best: what a picture lost against another one of the same size."""

from collections.abc import Sequence

import torch
from torch import Tensor


def blurred_like(picture: Tensor, shown: Tensor, widths: Sequence[float]) -> tuple[Tensor, Tensor]:
    """Each picture under that one of the blurs that brings it nearest to what is shown.

    Args:
        picture, shown: (B, C, H, W).
        widths: sigmas that are tried, in pixels.

    Returns:
        The blurred pictures (B, C, H, W), and which of `widths` each got (B,).
    """
    height, width = picture.shape[-2:]
    spectrum, wanted = _spectrum(picture), _spectrum(shown)
    down = torch.fft.fftfreq(2 * height, device=picture.device)[:, None]
    across = torch.fft.rfftfreq(2 * width, device=picture.device)
    slow = down.square() + across.square()
    gains = torch.stack([(-2 * (torch.pi * w) ** 2 * slow).exp() for w in widths])
    errors = [(gain * spectrum - wanted).abs().square().sum((1, 2, 3)) for gain in gains]
    best = torch.stack(errors).argmin(0)
    blurred = torch.fft.irfft2(gains[best][:, None] * spectrum, s=(2 * height, 2 * width))
    return blurred[..., :height, :width], best


def _spectrum(picture: Tensor) -> Tensor:
    """Of the picture and its mirror images, which meet at the borders without a step.

    At a step of what is shown the picture with the least blur would fit best.
    """
    wide = torch.cat([picture, picture.flip(-1)], dim=-1)
    return torch.fft.rfft2(torch.cat([wide, wide.flip(-2)], dim=-2))
