"""What processes of a pool are given to do; no more is imported than that takes."""

import os
import signal


def worker_of(_item: int) -> str:
    """The process that runs it, and whether Ctrl-C ends it at once."""
    return f"{os.getpid()} {signal.getsignal(signal.SIGINT) == signal.SIG_DFL}"
