"""What happens where a disk is full: nothing half is left behind, and a sentence says so."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from xpsr.errors import XPSRError

# How torch and safetensors put it; neither raises an OSError.
SIGNS = ("No space left", "unexpected pos", "iostream", "write", "os error")


@contextmanager
def writing(part: Path, what: str) -> Iterator[None]:
    """All that is written inside goes to `part`, file or folder, which is removed on any error.

    Raises:
        XPSRError: the disk does not take it.
    """
    try:
        yield
    except Exception as error:
        if part.is_dir():
            shutil.rmtree(part, ignore_errors=True)
        else:
            part.unlink(missing_ok=True)
        if not isinstance(error, OSError) and not any(sign in str(error) for sign in SIGNS):
            raise
        reason = " ".join(str(error).split())[:200]
        raise XPSRError(
            f"{what} cannot be written to {part.parent} ({reason}). What was written before is"
            " unharmed: make room and run the same command again."
        ) from error
