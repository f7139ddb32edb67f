"""What tells a picture from another one that has taken its name."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def fingerprint(path: Path, known: Mapping[str, Any] | None = None) -> dict[str, Any] | None:
    """Size and time of change of a file, and the SHA-256 of what it holds.

    Who goes on with 100,000 photos asks for all of them, and to read them takes as long as it takes
    to read hundreds of gigabytes. So a file of the size and time in `known` is taken for the same
    one, as rsync and git do, and is not opened. Any other is read: copying a folder changes the
    times, and is no reason to do its work again.

    Args:
        path: the file.
        known: an earlier fingerprint of it, if there is one.

    Returns:
        {"size": bytes, "mtime_ns": int, "hash": hexadecimal}; None for a file that cannot be read,
        which opening it as a picture tells.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            return None  # a pipe would wait for somebody to write
        now = {"size": status.st_size, "mtime_ns": status.st_mtime_ns}
        if known and now.items() <= known.items():
            return {**known}
        return {**now, "hash": hashlib.sha256(path.read_bytes()).hexdigest()}
    except OSError:
        return None


def has_changed(known: Mapping[str, Any] | None, now: Mapping[str, Any] | None) -> bool:
    """Whether two fingerprints are of files that hold something else; not where one is unknown."""
    return bool(known and now and known["hash"] != now["hash"])
