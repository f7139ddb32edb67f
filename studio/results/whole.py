"""Files that are there whole or not at all, however many threads ask for them at once."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

from xpsr.whole import whole


def make_once(path: Path, write: Callable[[Path], object]) -> Path:
    """`path`, as `write` makes it unless it is there."""
    try:
        _renew(path)
        return path
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with whole(path) as part:
            write(part)
    except OSError:  # another was quicker, and some systems replace no file that is being read
        if not path.exists():
            raise
    return path


def lend_as(source: Path, path: Path) -> Path:
    """The file `source` as `path` as well, without a copy where the disk allows that."""
    return make_once(path, partial(_link, source))


def _link(source: Path, path: Path) -> None:
    try:
        os.link(source, path)
    except OSError:  # another disk, or one without links
        shutil.copyfile(source, path)


def _renew(path: Path) -> None:
    """Gradio removes what it has shown a day after its inode has changed: it changes now."""
    status = path.stat()
    with contextlib.suppress(PermissionError):  # a link to a file of somebody else
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
