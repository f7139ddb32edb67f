"""Ctrl-C where no command can catch it: while libraries load, and in workers. Imported first."""

import multiprocessing
import signal
import sys
from types import TracebackType


def _tell(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.stderr.write("Stopped before anything was begun.\n")
    else:
        sys.__excepthook__(kind, error, trace)


def leave_stop_to_parent(_worker: int) -> None:
    """For torch's workers: one that ends by itself is an error to it, told in a traceback."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


if sys.argv[:1] == ["-m"]:  # Python is on its way to one of the commands
    sys.excepthook = _tell
if multiprocessing.current_process().name != "MainProcess":
    # A worker ends at once and without a word: the command that started it says what there is.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
