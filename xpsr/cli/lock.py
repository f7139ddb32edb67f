"""A folder that a command writes to is its own while it runs."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from xpsr.launch import is_first
from xpsr.lock import locked


@contextmanager
def alone(folder: Path | None, shared: bool = False) -> Iterator[None]:
    """While this lasts no other command of this user on this machine can work in the folder.

    The lock lies among the temporary files: the folder need not exist, and nothing is left in it.

    Args:
        folder: None: there is none to keep.
        shared: the processes of one launch work there together; the first one holds the lock.

    Raises:
        XPSRError: another command is at work there.
    """
    if folder is None or (shared and not is_first()):
        yield
        return
    place = folder.resolve()
    # Of each user: the temporary files of one are often not open to another.
    whose = f"{os.getuid() if hasattr(os, 'getuid') else ''}:{place}"
    name = f"xpsr-{hashlib.sha256(os.fsencode(whose)).hexdigest()[:32]}.lock"
    with locked(Path(tempfile.gettempdir()) / name, place):
        yield
