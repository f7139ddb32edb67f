"""How much one run may compute, where whoever serves the page sets a limit."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from xpsr.errors import XPSRError

from . import words

if TYPE_CHECKING:
    from xpsr.settings import Settings

# Of a Space, where all visitors wait in one line: 2048 x 2048 pixels, in nine tiles, in 42 steps.
MOST_ON_A_SPACE = 400.0


def check_work(size: tuple[int, int], settings: Settings, most: float | None) -> None:
    """Refuse a run before it stands in the way of others.

    Args:
        size: of the input, (width, height).
        most: million pixels that are worked on, times steps; None = no limit.

    Raises:
        XPSRError: it would be more.
    """
    if most is None:
        return
    pixels = worked_pixels(size, settings)
    if pixels * settings.num_inference_steps / 1e6 > most:
        raise XPSRError(words.too_much_work(pixels, settings.num_inference_steps, most))


def worked_pixels(size: tuple[int, int], settings: Settings) -> int:
    """How many pixels a step works on; where tiles overlap, they count in each of them.

    Args:
        size: of the input, (width, height).

    Raises:
        XPSRError: see `xpsr.frame.plan_sizes`.
    """
    from xpsr.frame import plan_sizes

    width, height = plan_sizes(size, settings)[1]
    side = settings.tile_size
    if not side or width * height <= side * side:
        return width * height
    stride = max(side - settings.tile_overlap, 1)
    wide, tall = min(side, width), min(side, height)
    columns, rows = (1 + math.ceil(rest / stride) for rest in (width - wide, height - tall))
    return columns * wide * rows * tall
