"""The processes of one launch, as by `accelerate launch`: which one this is, and its share."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import timedelta
from typing import TypeVar

Item = TypeVar("Item")

# Of the environment: number of a process, and how many there are.
_NAMES = (
    ("RANK", "WORLD_SIZE"),
    # mpirun, by which `accelerate launch` starts several processes without a GPU
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    ("PMI_RANK", "PMI_SIZE"),
)
_PATIENCE = timedelta(days=30)  # shares end at different times


def place_in_launch() -> tuple[int, int]:
    """(number of this process, how many there are); (0, 1) for one that was started by itself."""
    for rank, size in _NAMES:
        try:
            place, processes = int(os.environ[rank]), int(os.environ[size])
        except (KeyError, ValueError):
            continue
        return (place, processes) if 0 <= place < processes else (0, 1)
    return 0, 1


def is_first() -> bool:
    """Whether this is the process that does what one of them does for all, such as to say it."""
    return place_in_launch()[0] == 0


def own_share(items: Sequence[Item]) -> Sequence[Item]:
    """The part of `items` for this process: of n processes each takes every n-th."""
    rank, processes = place_in_launch()
    return items[rank::processes]


def wait_for_others() -> None:
    """Wait until all processes are here: a launcher ends the others when one of them fails."""
    if place_in_launch()[1] > 1 and "MASTER_ADDR" in os.environ:
        from accelerate import PartialState

        PartialState(cpu=True, timeout=_PATIENCE).wait_for_everyone()
