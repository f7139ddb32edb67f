"""Work in threads that do not keep the program from ending."""

from __future__ import annotations

import atexit
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Any, TypeVar
from weakref import WeakSet

Result = TypeVar("Result")

PATIENCE = 5.0  # seconds
_begun: WeakSet[Future[Any]] = WeakSet()


def in_background(job: Callable[[], Result], name: str) -> Future[Result]:
    """Run `job` in a thread called `name`; its result or its error is in the future."""
    future: Future[Result] = Future()
    future.set_running_or_notify_cancel()
    _begun.add(future)

    def run() -> None:
        try:
            future.set_result(job())
        except BaseException as error:  # whatever it is, the one who waits must hear of it
            future.set_exception(error)

    threading.Thread(target=run, name=name, daemon=True).start()
    return future


@atexit.register
def _let_them_end() -> None:
    """Python's end aborts the whole process where it meets a thread in the midst of torch."""
    wait(list(_begun), timeout=PATIENCE)
