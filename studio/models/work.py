"""How much one run may compute, where whoever serves the page sets a limit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xpsr.errors import XPSRError

from . import words

if TYPE_CHECKING:
    from xpsr.settings import Settings

# Of a Space, where all visitors wait in one line: 2048 x 2048 pixels in 95 steps.
MOST_ON_A_SPACE = 400.0


def check_work(size: tuple[int, int], settings: Settings, most: float | None) -> None:
    """Refuse a run before it stands in the way of others.

    Args:
        size: of the input, (width, height).
        most: million pixels that are worked on, times steps; None = no limit.

    Raises:
        XPSRError: it would be more.
    """
    from xpsr.frame import plan_sizes

    if most is None:
        return
    width, height = plan_sizes(size, settings)[1]
    work = width * height * settings.num_inference_steps / 1e6
    if work > most:
        raise XPSRError(words.too_much_work(width * height, settings.num_inference_steps, most))
