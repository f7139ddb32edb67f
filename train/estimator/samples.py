"""Photo → a degraded crop whose blur, noise and JPEG are known: what the estimator learns from.

One order for all: blur, shrink, noise, JPEG once or twice. Every parameter refers to the grid of
the result, and severities are drawn evenly, so that all levels are equally frequent.
"""

import io
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from scipy import fft
from torch import Tensor
from torch.nn import functional as F

from train.degrade import RESIZE_MODES
from xpsr.errors import XPSRError
from xpsr.prompts.estimator import RANGES

SIDES = (48, 128)  # of a sample, drawn between them
MARGIN = 8  # a block grid may start at any of so many pixels
SHRINK = 4.0  # at most
UNDAMAGED = 0.1  # of samples: a small photo is busy, which must not pass for noise
ABSENT = {"blur": 0.0, "noise": 0.0, "jpeg": 100.0}
BEYOND = {"blur": 1.0, "noise": 0.7, "jpeg": 0.3}  # severity above 1, at most


@dataclass(frozen=True)
class Sample:
    """A degraded crop.

    Attributes:
        image: RGB.
        truth: blur (sigma in pixels), noise (standard deviation of 255), jpeg (quality; 100 = not
            compressed), in the order of `RANGES`.
        drawn: every other decision.
    """

    image: Image.Image
    truth: dict[str, float]
    drawn: dict


def make_sample(
    photo: Image.Image, seed: int, *, side: int | None = None, extremes: bool = True
) -> Sample:
    """Degrade a random crop of a photo; every decision is drawn from `seed`.

    Args:
        photo: each side at least 144 pixels, or `side` + 16.
        seed: same seed, same sample.
        side: of the result in pixels; drawn from `SIDES` if None.
        extremes: in one of eight samples a type is absent or beyond its range, and in one of ten
            all are absent.

    Raises:
        XPSRError: the photo is too small.
    """
    random = np.random.default_rng(seed)
    truth = {name: _parameter(name, random, extremes) for name in RANGES}
    if extremes and random.random() < UNDAMAGED:
        truth = dict(ABSENT)
    least = (side or SIDES[1]) + 2 * MARGIN
    if min(photo.size) < least:
        raise XPSRError(f"A photo needs {least} pixels on each side to be degraded.")
    small = (side or int(random.integers(SIDES[0], SIDES[1] + 1))) + 2 * MARGIN
    largest = min(SHRINK, min(photo.size) / small)
    factor = 1.0 if random.random() < 0.15 else float(random.uniform(1.0, largest))
    x = _crop(photo, round(small * factor), random)
    x = _gaussian(x, truth["blur"] * factor)
    x, shrunk = _shrunk(x, small, random)
    x, noise = _noisy(x.clamp(0, 1), truth["noise"], random)
    pixels = (x.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    image, earlier = _compressed(Image.fromarray(pixels), truth["jpeg"], random)
    drawn = {"factor": factor, "shrunk": shrunk, "noise": noise, "earlier_jpeg": earlier}
    return Sample(image, truth, drawn)


def _parameter(name: str, random: np.random.Generator, extremes: bool) -> float:
    low, high = RANGES[name]
    severity, chance = random.random(), random.random()
    if extremes and chance < 0.06:
        return ABSENT[name]
    if extremes and chance < 0.12:
        severity = 1.0 + severity * BEYOND[name]
    value = low + severity * (high - low)
    return float(round(value) if name == "jpeg" else value)


def _crop(photo: Image.Image, side: int, random: np.random.Generator) -> Tensor:
    left = int(random.integers(0, photo.width - side + 1))
    top = int(random.integers(0, photo.height - side + 1))
    pixels = np.array(photo.crop((left, top, left + side, top + side)).convert("RGB"))
    return torch.from_numpy(pixels).permute(2, 0, 1).float() / 255


def _gaussian(x: Tensor, sigma: float) -> Tensor:
    """In the cosine domain, which continues a picture by reflection: as fast for any sigma."""
    rows, cols = (np.arange(n, dtype=np.float32) * np.pi / n for n in x.shape[1:])
    response = np.exp(-0.5 * sigma**2 * (rows[:, None] ** 2 + cols**2))
    spectrum = fft.dctn(x.numpy(), axes=(1, 2), norm="ortho") * response
    return torch.from_numpy(fft.idctn(spectrum, axes=(1, 2), norm="ortho"))


def _shrunk(x: Tensor, side: int, random: np.random.Generator) -> tuple[Tensor, dict]:
    mode = str(random.choice(RESIZE_MODES))
    # Programs differ in whether they keep fine patterns from turning into coarse ones.
    antialias = bool(random.random() < 0.5) and mode != "area"
    options = {} if mode == "area" else {"align_corners": False, "antialias": antialias}
    x = F.interpolate(x[None], (side, side), mode=mode, **options)[0]
    return x, {"mode": mode, "antialias": antialias}


def _noisy(x: Tensor, sigma: float, random: np.random.Generator) -> tuple[Tensor, dict]:
    """Gaussian or Poisson noise of the same mean power; in four of ten alike in all channels."""
    kind = "poisson" if random.random() < 0.4 else "gaussian"
    gray = bool(random.random() < 0.4)
    signal = x.mean(dim=0, keepdim=True) if gray else x
    if kind == "gaussian" or sigma == 0:
        noise = random.standard_normal(signal.shape) * sigma / 255
    else:
        photons = float(signal.mean()) / (sigma / 255) ** 2 + 1e-6
        noise = random.poisson(signal.numpy() * photons) / photons - signal.numpy()
    return x + torch.from_numpy(noise).to(x), {"kind": kind, "gray": gray}


def _compressed(
    image: Image.Image, quality: float, random: np.random.Generator
) -> tuple[Image.Image, dict | None]:
    """Three of ten are compressed twice; the worse of both is the one that was asked for.

    Cut after each time: the block grid of a picture found anywhere starts at any of its pixels.
    """
    if quality >= 100:
        return _cut(_cut(image, random), random), None
    milder = round(random.uniform(quality, 98)) if random.random() < 0.3 else None
    worse_first = bool(random.random() < 0.5)
    subsampling = int(random.choice([0, 2], p=[0.3, 0.7]))  # colour at full or half resolution
    times = [quality] if milder is None else [quality, milder] if worse_first else [milder, quality]
    for one in times:
        image = _cut(_jpeg(image, one, subsampling), random)
    earlier = None if milder is None else {"quality": milder, "worse_first": worse_first}
    return (image if milder else _cut(image, random)), earlier


def _jpeg(image: Image.Image, quality: float, subsampling: int) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=round(quality), subsampling=subsampling)
    return Image.open(file).convert("RGB")


def _cut(image: Image.Image, random: np.random.Generator) -> Image.Image:
    """`MARGIN` pixels less in width and height; half of the pictures keep their first pixel."""
    left, top = (random.integers(0, MARGIN, 2) * int(random.random() < 0.5)).tolist()
    return image.crop((left, top, left + image.width - MARGIN, top + image.height - MARGIN))
