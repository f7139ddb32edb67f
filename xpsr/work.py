"""How much there is to compute: what limits and estimates of time are made of."""

from __future__ import annotations

import math

from xpsr.frame import Size, plan_sizes
from xpsr.settings import Settings


def step_pixels(size: Size, settings: Settings) -> int:
    """How many pixels the networks work on in a step: in each tile anew, with guidance twice.

    Args:
        size: of the input, (width, height).

    Raises:
        XPSRError: see `xpsr.frame.plan_sizes`.
    """
    width, height = plan_sizes(size, settings)[1]
    times = 2 if settings.guided else 1
    side = settings.tile_size
    if not side or width * height <= side * side:
        return times * width * height
    stride = max(side - settings.tile_overlap, 1)
    wide, tall = min(side, width), min(side, height)
    columns, rows = (1 + math.ceil(rest / stride) for rest in (width - wide, height - tall))
    return times * columns * wide * rows * tall


def run_pixels(size: Size, settings: Settings) -> int:
    """The same of all steps of a run."""
    return step_pixels(size, settings) * settings.num_inference_steps
