"""Working side by side: the processes of one launch wait for each other, and have workers."""

import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from datetime import timedelta
from threading import Thread
from typing import TypeVar

import torch
from accelerate import PartialState

from xpsr.launch import place_in_launch

Item = TypeVar("Item")
Result = TypeVar("Result")

# Shares end at different times, and nobody may give up waiting for the slowest.
PATIENCE = timedelta(days=30)


def wait() -> None:
    """Until all processes of the launch are here."""
    if place_in_launch()[1] > 1:
        PartialState(cpu=True, timeout=PATIENCE).wait_for_everyone()


def in_order(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int
) -> Iterator[Result]:
    """`map` over processes; a few items ahead of the one that is asked for, not all of them."""
    if workers < 2:
        yield from map(function, items)
        return
    # Not forked: torch's threads do not survive that.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=_begin) as pool:
        ahead: deque[Future[Result]] = deque()
        try:
            for item in items:
                ahead.append(pool.submit(function, item))
                if len(ahead) > 4 * workers:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _begin() -> None:
    one_thread()
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A parent that is killed tells nobody, and its workers would wait for work for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def one_thread() -> None:
    """Pictures are small: many processes of one thread beat one of many."""
    torch.set_num_threads(1)
