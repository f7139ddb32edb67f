"""How much one run may compute, where whoever serves the page sets a limit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xpsr.errors import XPSRError

from . import words

if TYPE_CHECKING:
    from xpsr.settings import Settings

# Of a Space, where all visitors wait in one line: 2048 x 2048 pixels, in nine tiles and 42 steps,
# or in 21 with guidance.
MOST_ON_A_SPACE = 400.0


def check_work(size: tuple[int, int], settings: Settings, most: float | None) -> None:
    """Refuse a run before it stands in the way of others.

    Args:
        size: of the input, (width, height).
        most: million pixels that are worked on in all steps, with guidance twice in each; None = no
            limit.

    Raises:
        XPSRError: it would be more.
    """
    if most is None:
        return
    from xpsr.work import step_pixels

    pixels = step_pixels(size, settings)
    steps = settings.num_inference_steps
    if pixels * steps / 1e6 > most:
        raise XPSRError(words.too_much_work(pixels, steps, settings.guided, most))
