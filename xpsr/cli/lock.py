"""A folder that a command writes to is its own while it runs."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from xpsr.cli.report import say
from xpsr.errors import XPSRError


@contextmanager
def alone(*folders: Path | None, shared: bool = False) -> Iterator[None]:
    """While this lasts no other command of this user on this machine can work in the folders.

    The locks lie among the temporary files, so the folders need not exist and nothing is left in
    them; the system drops them with the process, however that ends.

    Args:
        folders: None among them is left out.
        shared: the processes of one launch work there together; the first one holds the lock.

    Raises:
        XPSRError: another command is at work in one of them.
    """
    if shared and not _is_first():
        yield
        return
    with ExitStack() as held:
        for folder in sorted({folder.resolve() for folder in folders if folder is not None}):
            _lock(folder, held)
        yield


def _lock(folder: Path, held: ExitStack) -> None:
    from filelock import FileLock, Timeout

    # Of each user: the temporary files of one are often not open to another.
    whose = f"{os.getuid() if hasattr(os, 'getuid') else ''}:{folder}"
    name = f"xpsr-{hashlib.sha256(os.fsencode(whose)).hexdigest()[:32]}.lock"
    try:
        held.enter_context(FileLock(Path(tempfile.gettempdir()) / name).acquire(timeout=0))
    except Timeout:
        raise XPSRError(
            f"Another command is at work in {folder}: wait until it has ended, or choose another "
            "folder."
        ) from None
    except OSError as error:
        say(
            f"{folder} cannot be kept from other commands ({error.strerror or error}): start none "
            "in it meanwhile."
        )


def _is_first() -> bool:
    from xpsr.prompts.batch import place_in_launch

    return place_in_launch()[0] == 0
