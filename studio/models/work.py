"""How much one run may compute, where whoever serves the page sets a limit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from xpsr.errors import XPSRError

from . import words, zerogpu

if TYPE_CHECKING:
    from xpsr.settings import Settings

# Of a Space, where all visitors wait in one line: 2048 x 2048 pixels, in nine tiles and 42 steps,
# or in 21 with guidance. Without a GPU that would be half an hour, and this is seven minutes.
MOST_ON_A_SPACE, MOST_WITHOUT_GPU = 400.0, 100.0
NVIDIA = Path("/dev/nvidiactl")


def most_on_a_space() -> float:
    """The limit of the Space this is; told by its files, as PyTorch takes seconds to be asked."""
    return MOST_ON_A_SPACE if zerogpu.is_here() or NVIDIA.exists() else MOST_WITHOUT_GPU


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
