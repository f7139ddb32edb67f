"""What this process may serve: a folder inside Gradio's own cache, gone with the process."""

from __future__ import annotations

import atexit
import os
import secrets
import shutil
import tempfile
import time
from pathlib import Path

KEEP_SECONDS = 24 * 3600


class Shelf:
    """Files that a browser may fetch: each in a folder with a name that cannot be guessed.

    It lies inside Gradio's cache, so they are served from where they are. They go with the
    process, and after a day; what is to stay is in `Outputs`.
    """

    def __init__(self) -> None:
        if "GRADIO_TEMP_DIR" not in os.environ:
            # Gradio's default is one folder for all users and all apps of a machine.
            own = tempfile.mkdtemp(prefix="xpsr-studio-")
            atexit.register(shutil.rmtree, own, ignore_errors=True)
            os.environ["GRADIO_TEMP_DIR"] = own
        self.folder = Path(os.environ["GRADIO_TEMP_DIR"]).resolve() / "results"

    def new_folder(self) -> Path:
        """An empty folder with a name that cannot be guessed."""
        self._sweep()
        folder = self.folder / secrets.token_urlsafe(16)
        folder.mkdir(parents=True)
        return folder

    def lend(self, path: Path, name: str) -> Path:
        """A file from elsewhere, served from the folder `name`, which nobody can guess."""
        folder = self.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        lent = folder / path.name
        if not lent.exists():
            try:
                os.link(path, lent)
            except OSError:  # another disk, or one without links
                shutil.copyfile(path, lent)
        return lent

    def _sweep(self) -> None:
        old = time.time() - KEEP_SECONDS
        for folder in self.folder.glob("*"):
            try:
                if folder.stat().st_mtime < old:
                    shutil.rmtree(folder, ignore_errors=True)
            except FileNotFoundError:  # swept by another thread
                continue
