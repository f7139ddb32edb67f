"""Word maps as pictures: heat on the result, and a sheet of all words."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from xpsr.wordmaps.fonts import families_for

if TYPE_CHECKING:
    from xpsr.wordmaps.maps import WordMaps

logger = logging.getLogger(__name__)

# From dark blue to yellow, growing lighter all the way: made to be read by the colour-blind, and
# it survives printing in grey.
COLORS = "cividis"
TITLES = {"high": "Content", "low": "Quality"}

NO_FONT = (
    "No font of this machine has the signs %s: words with them have numbers on the sheet, in the "
    "order of the text."
)
_SHEET_COLUMNS = 6
_SHEET_SIDE = 320  # pixels of one picture on the sheet


def overlay(
    image: Image.Image,
    found: np.ndarray,
    strength: float = 0.7,
    span: tuple[float, float] | None = None,
) -> Image.Image:
    """A map as heat colours on the picture, which turns grey below them; same size as `image`.

    Args:
        image: RGB, usually the result.
        found: (h, w) map in the shape of the picture.
        strength: 0 = only the picture, 1 = only the colours.
        span: the values that get the darkest and the lightest colour; None = the map's own least
            and largest. Give several maps one span to make them comparable.
    """
    from matplotlib import colormaps

    low, high = span or (float(found.min()), float(found.max()))
    scaled = ((found - low) / max(high - low, 1e-12)).clip(0, 1).astype(np.float32)
    smooth = Image.fromarray(scaled).resize(image.size, Image.Resampling.BICUBIC)
    colors = colormaps[COLORS](np.asarray(smooth).clip(0, 1))[..., :3]
    grey = np.asarray(image.convert("L"), dtype=np.float32)[..., None] / 255
    mixed = (1 - strength) * grey + strength * colors
    return Image.fromarray((mixed * 255).round().astype(np.uint8))


def sheet(image: Image.Image, maps: WordMaps, path: str | Path) -> None:
    """Write a PNG with every word of both texts on the picture, each in its own range of values.

    Behind each word stands its share of its text's attention, and how far single places deviate
    from that: "2.1 % (x0.8 to x1.4)". Small pictures of large deviations look like those of small
    ones, so read the figures. A word in a script that no font here has is called by its number.
    """
    from matplotlib import rc_context

    words = [piece.text for branch in maps.texts for piece in maps.pieces(branch)]
    families, missing = families_for("".join(words))
    if missing:
        logger.warning(NO_FONT, "".join(sorted(missing))[:20])
    with rc_context({"font.family": families}):
        _draw(image, maps, path, missing)


def _draw(image: Image.Image, maps: WordMaps, path: str | Path, missing: set[str]) -> None:
    from matplotlib.figure import Figure

    small = image.copy()
    small.thumbnail((_SHEET_SIDE, _SHEET_SIDE))
    counts = [-(-len(maps.pieces(branch)) // _SHEET_COLUMNS) for branch in maps.texts]
    shape = small.height / small.width
    height = sum(0.4 + rows * (2 * shape + 0.25) for rows in counts)
    figure = Figure(figsize=(2 * _SHEET_COLUMNS, height), dpi=110, layout="constrained")
    ratios = [0.4 + rows * (2 * shape + 0.25) for rows in counts]
    boxes = figure.subfigures(len(counts), 1, height_ratios=ratios, squeeze=False)[:, 0]
    for box, branch, rows in zip(boxes, maps.texts, counts, strict=True):
        box.suptitle(TITLES[branch], x=0.01, ha="left", fontsize=11)
        found = zip(maps.pieces(branch), maps.words(branch), strict=True)
        for number, (piece, one) in enumerate(found, 1):
            axes = box.add_subplot(rows, _SHEET_COLUMNS, number)
            axes.imshow(overlay(small, one))
            mean, least, most = one.mean(), one.min() / one.mean(), one.max() / one.mean()
            name = f"word {number}" if missing & set(piece.text) else piece.text
            title = f"{name}  {mean:.1%} (x{least:.1f} to x{most:.1f})"
            axes.set_title(title, fontsize=8, loc="left", pad=3, parse_math=False)
            axes.set_axis_off()
    figure.savefig(path, format="png", metadata={"Software": None})
