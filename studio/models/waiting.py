"""What a run gives besides its steps: that it waits, and that the memory was short."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import words

if TYPE_CHECKING:
    from xpsr.sampling import Step, TileDone

POLL_SECONDS = 0.25


@dataclass(frozen=True)
class Waiting:
    """It is somebody else's turn. Given several times a second, so that waiting can be stopped."""


@dataclass(frozen=True)
class SmallerTiles:
    """The memory did not suffice, and the run has begun anew in tiles of this size, in pixels."""

    tile_size: int


def turn(lock: threading.Lock) -> Iterator[Waiting]:
    """Take `lock`, giving a sign while it is held by another; closed before that, it takes none."""
    while not lock.acquire(timeout=POLL_SECONDS):
        yield Waiting()


def sign(item: Waiting | SmallerTiles | Step | TileDone) -> str:
    """What to say of an item that is not the result."""
    if isinstance(item, SmallerTiles):
        return words.SMALLER_TILES.format(size=item.tile_size)
    return words.TURN_COMES if isinstance(item, Waiting) else words.progress(item)
