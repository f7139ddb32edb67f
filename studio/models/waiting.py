"""What a run gives besides its steps: that it waits, that the memory was short, some tiles."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from . import words

if TYPE_CHECKING:
    from xpsr.sampling import Step, TileDone

POLL_SECONDS = 0.25
TILE_SECONDS = 1.0

Item = TypeVar("Item")


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


def unhurried(items: Iterable[Item]) -> Iterator[Item]:
    """The same, but of tiles that are quickly done only one a second: each would be read out."""
    last = -TILE_SECONDS
    for item in items:
        now = time.monotonic()
        if hasattr(item, "tile"):
            if now - last < TILE_SECONDS:
                continue
            last = now
        yield item


def sign(item: Waiting | SmallerTiles | Step | TileDone) -> str:
    """What to say of an item that is not the result."""
    if isinstance(item, SmallerTiles):
        return words.SMALLER_TILES.format(size=item.tile_size)
    return words.TURN_COMES if isinstance(item, Waiting) else words.progress(item)
