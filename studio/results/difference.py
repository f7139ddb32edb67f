"""How far two pictures of one size are apart, in figures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image, ImageChops, ImageStat

if TYPE_CHECKING:
    from xpsr.metrics import Score


@dataclass(frozen=True)
class ChangeSize:
    """How much changes from one picture to another.

    Attributes:
        grey_levels: mean absolute difference of the pixels, 0..255.
        psnr: dB, on the luma; high means alike.
        gmsd: differences of the edges; 0 means alike.
    """

    grey_levels: float
    psnr: Score
    gmsd: Score


def open_rgb(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return image.convert("RGB")


def change_size(before: Image.Image, after: Image.Image) -> ChangeSize:
    """The figures for two RGB pictures of one size."""
    from xpsr.metrics import score

    levels = ImageStat.Stat(ImageChops.difference(before, after)).mean
    found = score(after, reference=before, metrics=["psnr", "gmsd"])
    return ChangeSize(sum(levels) / len(levels), found["psnr"], found["gmsd"])
