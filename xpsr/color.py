"""Gives a restored picture the colours of the one it came from (AdaIN in the authors' code)."""

import torch
import torch.nn.functional as F
from torch import Tensor

WAVELET_LEVELS = 5
_REACH = 2**WAVELET_LEVELS - 1  # how many pixels away the widest blur looks
_STRIP_PIXELS = 2**20
EPSILON = 1e-5  # keeps a flat picture from dividing by nothing


def match(target: Tensor, reference: Tensor, kind: str) -> Tensor:
    """Correct the colours of `target` by those of `reference`.

    Args:
        target, reference: (B, 3, H, W) in [0, 1]; "wavelet" needs equal sizes.
        kind: one of `xpsr.settings.ColorFix`: "none", "adain" (mean and spread of each channel) or
            "wavelet" (large-scale colours).

    Returns:
        (B, 3, H, W), not clamped.

    Raises:
        ValueError: the kind is unknown, or the sizes differ for "wavelet".
    """
    if kind == "none":
        return target
    if kind == "adain":
        return adain(target, reference)
    if kind == "wavelet":
        return wavelet(target, reference)
    raise ValueError(f'color_fix is "none", "adain" or "wavelet", not {kind!r}')


def adain(target: Tensor, reference: Tensor) -> Tensor:
    """Shift and stretch every channel of `target` to the mean and spread of `reference`.

    Both (B, 3, H, W) in [0, 1]; sizes may differ. Returns (B, 3, H, W), not clamped.
    """
    mean, std = _statistics(target)
    reference_mean, reference_std = _statistics(reference)
    return (target - mean) / std * reference_std + reference_mean


def wavelet(target: Tensor, reference: Tensor) -> Tensor:
    """Detail of `target` over the large-scale colours of `reference`.

    Both (B, 3, H, W) in [0, 1], of equal size. Returns (B, 3, H, W), not clamped.

    Raises:
        ValueError: the sizes differ.
    """
    if target.shape != reference.shape:
        raise ValueError(f"sizes differ: {tuple(target.shape)} and {tuple(reference.shape)}")
    height, width = target.shape[-2:]
    joined = torch.empty_like(target)
    # In strips, with whatever is seen beyond their borders: several copies are held on the way.
    rows = max(_STRIP_PIXELS // width, 1)
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        seen = slice(max(top - _REACH, 0), bottom + _REACH)
        # Detail is target - large_scale(target), and large_scale is linear.
        drift = large_scale(reference[..., seen, :] - target[..., seen, :])
        wanted = slice(top - seen.start, bottom - seen.start)
        joined[..., top:bottom, :] = target[..., top:bottom, :] + drift[..., wanted, :]
    return joined


def large_scale(image: Tensor) -> Tensor:
    """What is left of (B, C, H, W) after five ever wider blurs."""
    for scale in range(WAVELET_LEVELS):
        image = _blur(image, 2**scale)
    return image


def _statistics(image: Tensor) -> tuple[Tensor, Tensor]:
    variance = image.var(dim=(2, 3), keepdim=True) + EPSILON
    return image.mean(dim=(2, 3), keepdim=True), variance.sqrt()


def _blur(image: Tensor, dilation: int) -> Tensor:
    """3 x 3 binomial blur with holes of `dilation`, the border repeated.

    By shifted copies: on a CPU several times as fast as a convolution with holes.
    """
    for dim, sides in ((3, (dilation, dilation, 0, 0)), (2, (0, 0, dilation, dilation))):
        size = image.shape[dim]
        padded = F.pad(image, sides, mode="replicate")
        around = padded.narrow(dim, 0, size) + padded.narrow(dim, 2 * dilation, size)
        image = image / 2 + around / 4
    return image
