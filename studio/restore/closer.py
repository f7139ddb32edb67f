"""A closer look at a result: its pixels beside those before, and where the two differ."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageChops

from ..results.difference import open_rgb
from ..results.shelf import Shelf

SIDE = 480  # pixels of a detail on the page


def detail(image: Image.Image, across: float, down: float, zoom: int) -> Image.Image:
    """A square of `image`, every pixel of it shown as `zoom` x `zoom` pixels.

    Args:
        image: RGB.
        across, down: where its middle lies, 0..1 from the left and from the top.
        zoom: 1, 2, 4, …
    """
    side = max(SIDE // zoom, 1)
    width, height = min(side, image.width), min(side, image.height)
    left = round(across * image.width - width / 2)
    top = round(down * image.height - height / 2)
    left = min(max(left, 0), image.width - width)
    top = min(max(top, 0), image.height - height)
    part = image.crop((left, top, left + width, top + height))
    return part.resize((width * zoom, height * zoom), Image.Resampling.NEAREST)


def difference(before: Image.Image, after: Image.Image, gain: float) -> Image.Image:
    """Where two pictures of the same size differ: black where they do not.

    Args:
        before, after: RGB, 8 bits.
        gain: the absolute difference of each channel is multiplied by it, and cut off at 255.
    """
    stronger = [min(int(level * gain), 255) for level in range(256)]
    return ImageChops.difference(before, after).point(stronger * 3)


def difference_file(before: Path, after: Path, gain: float, shelf: Shelf) -> str:
    """The same of two files, as a PNG that can be served: quickly written rather than small."""
    path = shelf.new_folder() / "difference.png"
    difference(open_rgb(before), open_rgb(after), gain).save(path, compress_level=1)
    return str(path)


def fitted(size: tuple[int, int], side: int) -> tuple[int, int]:
    """A size (width, height) brought down so that its longer side is at most `side`."""
    scale = min(1.0, side / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def marked(image: Image.Image, across: float, down: float, zoom: int, side: int) -> Image.Image:
    """A small version of `image` in which what `detail` shows is bright and the rest is dim."""
    small = image.resize(fitted(image.size, side), Image.Resampling.BICUBIC)
    reach = SIDE / zoom / 2 * small.width / image.width
    box = (
        _within(across * small.width - reach, small.width),
        _within(down * small.height - reach, small.height),
        _within(across * small.width + reach, small.width),
        _within(down * small.height + reach, small.height),
    )
    dim = small.point(lambda value: value * 0.4)
    dim.paste(small.crop(box), box[:2])
    return dim


def _within(edge: float, limit: int) -> int:
    return round(min(max(edge, 0), limit))
