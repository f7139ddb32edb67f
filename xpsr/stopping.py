"""SIGTERM, as of a job's scheduler, `docker stop` or `timeout`, ends a command as Ctrl-C does."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

from xpsr.launch import place_in_launch


class Terminated(KeyboardInterrupt):
    """SIGTERM has come: what minds Ctrl-C minds this as well."""


@contextmanager
def minding_sigterm() -> Iterator[None]:
    """While this lasts SIGTERM raises `Terminated`, but in the processes of a launch.

    Their launcher ends them so, also those that wait for one that failed and would not hear it.
    """
    if place_in_launch()[1] > 1:
        yield
        return
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGTERM) is _terminate:
            signal.signal(signal.SIGTERM, before)


def _terminate(*_: object) -> None:
    # `timeout` sends it twice, and the second must not cut short what the first one began, up to
    # the end of the process.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Terminated


def exit_code(stop: KeyboardInterrupt) -> int:
    """What shells expect of a program that a signal has ended: 128 and the signal's number."""
    return 128 + (signal.SIGTERM if isinstance(stop, Terminated) else signal.SIGINT)
