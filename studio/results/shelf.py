"""What this process may serve: a folder inside Gradio's own cache, gone with the process."""

from __future__ import annotations

import atexit
import contextlib
import os
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from .whole import lend_as, make_once

GIGABYTE = 1024**3
# What is older is looked for once an hour at least, so that nothing stays for more than a day.
KEEP_SECONDS = 23 * 3600
SPARE_SECONDS = 15 * 60  # what was asked for so lately is still on somebody's page
PREFIX = "xpsr-studio-"


class Shelf:
    """Files that a browser may fetch: each in a folder with a name that cannot be guessed.

    It lies inside Gradio's cache, so they are served from where they are. They go with the
    process, and a day after they were last asked for; what is to stay is in `Outputs`.

    Args:
        limit: bytes; beyond it those folders go that nobody has asked for for longest.
    """

    def __init__(self, limit: int = 2 * GIGABYTE) -> None:
        if "GRADIO_TEMP_DIR" not in os.environ:
            _remove_abandoned()
            # Gradio's default is one folder for all users and all apps of a machine.
            own = tempfile.mkdtemp(prefix=PREFIX)
            atexit.register(shutil.rmtree, own, ignore_errors=True)
            os.environ["GRADIO_TEMP_DIR"] = own
        self.folder = Path(os.environ["GRADIO_TEMP_DIR"]).resolve() / "results"
        self.limit = limit
        self._lock = threading.Lock()

    def new_folder(self) -> Path:
        """An empty folder with a name that cannot be guessed."""
        self.tidy()
        return self._in_use(secrets.token_urlsafe(16))

    def lend(self, path: Path, name: str, file: str = "") -> Path:
        """A file from elsewhere, served from the folder `name`, which nobody can guess.

        `file`: what it is called there; "": as before.
        """
        return lend_as(path, self._in_use(name) / (file or path.name))

    def make(self, name: str, file: str, write: Callable[[Path], object]) -> Path:
        """A file in the folder `name`, as `write` makes it unless it is there."""
        return make_once(self._in_use(name) / file, write)

    def _in_use(self, name: str) -> Path:
        folder = self.folder / name
        with self._lock:  # `tidy` does not remove what is about to be filled
            folder.mkdir(parents=True, exist_ok=True)
            os.utime(folder)
        return folder

    def tidy(self) -> None:
        """Remove what nobody has asked for since yesterday, and the oldest beyond the limit."""
        with contextlib.suppress(FileNotFoundError):
            os.utime(self.folder.parent)  # tells other processes that it is not abandoned
        found = sorted((*_use_of(folder), folder) for folder in self.folder.glob("*"))
        total = sum(size for _, size, _ in found)
        for used, size, folder in found:
            old = time.time() - used > KEEP_SECONDS
            if not old and (not size or total <= self.limit):
                continue
            with self._lock:
                if time.time() - _use_of(folder)[0] > SPARE_SECONDS:
                    shutil.rmtree(folder, ignore_errors=True)
                    total -= size


def _use_of(folder: Path) -> tuple[float, int]:
    """When something in it was written or asked for last, and how many bytes it alone takes."""
    used, size = 0.0, 0
    for place, _, files in os.walk(folder):
        for path in (Path(place), *(Path(place, file) for file in files)):
            with contextlib.suppress(FileNotFoundError):  # removed meanwhile
                status = path.stat()
                used = max(used, status.st_mtime)
                size += status.st_size if status.st_nlink == 1 else 0  # a link takes none
    return used, size


def _remove_abandoned() -> None:
    """What processes left that were killed: while one lives, it marks its own; see `Shelf.tidy`."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - folder.stat().st_mtime > KEEP_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)
