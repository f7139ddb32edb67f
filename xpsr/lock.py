"""One command at a time in a folder."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from xpsr.errors import XPSRError

logger = logging.getLogger(__name__)


@contextmanager
def locked(file: Path, folder: Path) -> Iterator[None]:
    """While this lasts nobody else can lock `file`; the system lets go of it with the process.

    Args:
        file: made where it does not exist; it stays.
        folder: what it stands for, for the sentences.

    Raises:
        XPSRError: somebody else has it.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(file)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise XPSRError(
            f"Another command is at work in {folder}: wait until it has ended, or choose another "
            "folder."
        ) from None
    except (OSError, NotImplementedError) as error:  # such as a disk that knows no locks
        logger.warning(
            "%s cannot be kept from other commands (%s): start none in it meanwhile.",
            folder,
            getattr(error, "strerror", None) or error,
        )
    try:
        yield
    finally:
        lock.release()
