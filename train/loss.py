"""The objective: diffusion loss + degradation-free constraint (paper, eq. 4 and 5)."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from diffusers import SchedulerMixin
from torch import Tensor
from torch.nn import functional as F

from train.config import LossConfig

PREDICTION_TYPES = ("epsilon", "v_prediction", "sample")


class Losses(NamedTuple):
    """The terms of one step, each a scalar tensor. A tuple, which sharding engines look inside.

    Attributes:
        diffusion: squared error of the denoiser: its mean, or the mean of its logarithm.
        pixel: one mean absolute error for each RGB head.
        latent: one for each latent head, the middle one last.
        total: what is minimised: diffusion + weights · sums, and what decoded pictures add.
        judge: the mean error of the judge of `loss.adversarial_weight`; 0.69 is a judge that cannot
            tell restored pictures from photos, 0 is none at all.
    """

    diffusion: Tensor
    pixel: Tensor
    latent: Tensor
    total: Tensor
    judge: Tensor


def diffusion_target(
    scheduler: SchedulerMixin, clean: Tensor, noise: Tensor, timesteps: Tensor
) -> Tensor:
    """What the denoiser should say, by the scheduler's prediction type."""
    kind = scheduler.config.prediction_type
    if kind == "epsilon":
        return noise
    if kind == "v_prediction":
        return scheduler.get_velocity(clean, noise, timesteps)
    if kind == "sample":
        return clean
    raise ValueError(f"unknown prediction type {kind!r}")


def mean_absolute_errors(predictions: Sequence[Tensor], target: Tensor) -> Tensor:
    """One value for each prediction, against the target resized to it (plain bilinear)."""
    errors = [
        (F.interpolate(target, size=p.shape[2:], mode="bilinear", align_corners=False) - p)
        .abs()
        .mean()
        for p in predictions
    ]
    return torch.stack(errors) if errors else target.new_zeros(0)


def diffusion_error(prediction: Tensor, target: Tensor, log_floor: float | None = None) -> Tensor:
    """Mean squared error, or with `log_floor` the mean over the pictures of log(error + floor).

    The plain mean is ruled by the worst pictures, and what helps those blurs the good ones. With
    the logarithm every picture counts by how much of its own error is taken away, as in PSNR; the
    floor (in squared latent units) keeps pictures without error from ruling instead.
    """
    if log_floor is None:
        return F.mse_loss(prediction, target)
    return ((prediction - target).square().flatten(1).mean(dim=1) + log_floor).log().mean()


def gradient_error(picture: Tensor, target: Tensor, floor: float = 170 / 255**2) -> Tensor:
    """How unlike two pictures' edges are: 0 where every gradient is the target's, 1 where none is.

    |a - b|² / (|a|² + |b|² + floor) of the gradients a and b, which GMSD would compare by their
    lengths alone (Xue et al. 2014; luma at half its size, Prewitt filters, this floor). Lengths
    alone must not be taught: a network answers them with a faint grid wherever it sees no detail.
    As the measure is bounded, an edge that cannot be placed is given up rather than blurred.

    Args:
        picture, target: (B, 3, H, W) in [-1, 1].
        floor: keeps plain parts from ruling.

    Returns:
        The mean over the pictures of the root of the mean square.
    """
    a, b = _gradients(picture), _gradients(target)
    power = a.square().sum(1) + b.square().sum(1)
    unlike = (a - b).square().sum(1) / (power + floor)
    return (unlike.square().flatten(1).mean(dim=1) + 1e-8).sqrt().mean()


def weave_error(picture: Tensor, target: Tensor, patch: int = 8) -> Tensor:
    """How much more a picture repeats from patch to patch than the target does: cloth on a wall.

    Of what is finer than 3 pixels, in each window of 4 x 4 patches: the mean product of the patches
    taken two by two, pixel by pixel, each without its own mean. Grain that differs from patch to
    patch has none, so this does not ask for smoothness; stripes that are in the target are no
    weave; and it counts by how much the target has that would hide it.

    Args:
        picture, target: (B, 3, H, W) in [-1, 1], at least 2 x 2 patches; what is left over beside
            whole windows does not count.
        patch: side of what the decoder draws from one latent pixel.

    Returns:
        The mean over windows and colours of (what repeats beyond the target's) / (the target's
        fine structure + 1), both as squared grey levels of 255.
    """
    count = min(4, picture.shape[2] // patch, picture.shape[3] // patch)
    repeated, _ = _in_windows(picture, patch, count)
    allowed, structure = _in_windows(target, patch, count)
    return ((repeated - allowed).clamp(min=0) / (structure + 1)).mean()


def _in_windows(picture: Tensor, patch: int, count: int) -> tuple[Tensor, Tensor]:
    """The power that the patches of a window share, and all of it; (B, 3, down, across)."""
    smooth = F.avg_pool2d(F.pad(picture, (1, 1, 1, 1), mode="reflect"), 3, 1)
    fine = (picture - smooth) * (255 / 2)
    side = patch * count
    fine = fine[..., : fine.shape[2] // side * side, : fine.shape[3] // side * side]
    x = fine.unflatten(3, (-1, count, patch)).unflatten(2, (-1, count, patch))
    x = x - x.mean(dim=(4, 7), keepdim=True)  # (B, 3, down, count, patch, across, count, patch)
    patches = count**2
    power = x.square().mean(dim=(3, 4, 6, 7))
    common = x.mean(dim=(3, 6)).square().mean(dim=(3, 5))
    return (common - power / patches) * patches / (patches - 1), power


def _gradients(picture: Tensor) -> Tensor:
    """Prewitt gradients (B, 2, H/2 - 2, W/2 - 2) of the luma in [0, 1], made half as large."""
    luma = (picture * picture.new_tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1, True) / 2
    across = picture.new_tensor([1.0, 0.0, -1.0]).expand(3, 3) / 3
    return F.conv2d(F.avg_pool2d(luma, 2), torch.stack([across, across.T])[:, None])


def decoded_error(decoded: Tensor, clean: Tensor, weights: LossConfig) -> Tensor:
    """What is wrong with a decoded picture, weighted; both (B, 3, H, W) in [-1, 1]."""
    error = diffusion_error(decoded.float(), clean, weights.decoded_log_floor)
    total = weights.decoded_weight * error
    if weights.gradient_weight:
        total = total + weights.gradient_weight * gradient_error(decoded.float(), clean)
    if weights.weave_weight:
        total = total + weights.weave_weight * weave_error(decoded.float(), clean)
    return total


def training_loss(
    prediction: Tensor,
    target: Tensor,
    pixel_predictions: Sequence[Tensor],
    clean_image: Tensor,
    latent_predictions: Sequence[Tensor],
    clean_latent: Tensor,
    pixel_weight: float = 0.05,
    latent_weight: float = 0.05,
    log_floor: float | None = None,
) -> Losses:
    """All terms, in float32.

    Args:
        prediction, target: (B, C, h, w) of the denoiser.
        pixel_predictions: the ControlNet's, against `clean_image` (B, 3, H, W) in [-1, 1].
        latent_predictions: the ControlNet's, against `clean_latent` (B, C, h, w), scaled.
        pixel_weight, latent_weight: the paper's λ, on each sum.
        log_floor: see `diffusion_error`; the paper has none.
    """
    diffusion = diffusion_error(prediction.float(), target.float(), log_floor)
    pixel = mean_absolute_errors([p.float() for p in pixel_predictions], clean_image.float())
    latent = mean_absolute_errors([p.float() for p in latent_predictions], clean_latent.float())
    total = diffusion + pixel_weight * pixel.sum() + latent_weight * latent.sum()
    return Losses(diffusion, pixel, latent, total, judge=diffusion.new_zeros(()))
