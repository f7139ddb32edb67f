"""Files that are there whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from xpsr.errors import DiskFullError, XPSRError, is_disk_full


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A name beside `path` to write to, which takes its place at the end: never half a file.

    Its ending is ".part", so writers that go by that need to be told the format. Nobody else has
    the same name: of several that write at once the last one has the file, and has all of it.

    Raises:
        OSError: it cannot be written, for example because the disk is full.
    """
    # Cut off, for a name may have 255 bytes, up to four for a character.
    part = path.with_name(f".{path.name[:50]}.{secrets.token_hex(4)}.part")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def unlocked(weights: Iterable[Path]) -> None:
    """Files that safetensors has made for their owner alone get the mode of all other new files."""
    mask = os.umask(0)
    os.umask(mask)
    for path in weights:
        path.chmod(0o666 & ~mask)


def cannot_write(path: Path, error: OSError) -> XPSRError:
    """What to say where a file cannot be written."""
    if is_disk_full(error):
        return DiskFullError(
            f"{path} cannot be written: the disk is full. What is finished is kept; make room and "
            "run the same command again."
        )
    return XPSRError(f"{path} cannot be written: {error.strerror or error}.")
