"""Another thread that is in the midst of loading a model, as diffusers does it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread
from time import sleep

from accelerate import init_empty_weights


@contextmanager
def loading_elsewhere(seconds: float = 0.5) -> Iterator[None]:
    begun = Event()

    def load() -> None:
        with init_empty_weights():
            begun.set()
            sleep(seconds)

    other = Thread(target=load)
    other.start()
    begun.wait()
    yield
    other.join()
