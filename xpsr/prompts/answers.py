"""Descriptions that were given before, so that the same picture is not described twice.

Kept in memory, 1,000 of them for each process; those used longest ago go first. With the variable
XPSR_ANSWERS=FOLDER in the environment they are kept in that folder as well, one small JSON file
each, 20,000 at most, and the next process finds them there.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import threading
from collections import OrderedDict
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path

from PIL import Image

from xpsr.errors import XPSRError
from xpsr.prompts.description import Description
from xpsr.whole import whole

VARIABLE = "XPSR_ANSWERS"
logger = logging.getLogger(__name__)


class Answers:
    """A bounded store of descriptions, least recently used first to go; safe between threads.

    Args:
        entries: how many are kept in memory.
        folder: where they are kept as well, or None.
        files: how many are kept there.
    """

    def __init__(self, entries: int = 1000, folder: Path | None = None, files: int = 20_000):
        self.entries, self.folder, self.files = entries, folder, files
        self._kept: OrderedDict[str, Description] = OrderedDict()
        self._lock = threading.Lock()
        self._written = 0

    @staticmethod
    def key(image: Image.Image, identity: str) -> str:
        """What a description depends on: every pixel, and who is asked what (`identity`)."""
        from xpsr.image import pixel_sha256  # brings torch along, which making one does not need

        seen = f"{image.size} {pixel_sha256(image)} {identity}"
        return hashlib.sha256(seen.encode()).hexdigest()

    def get(self, key: str) -> Description | None:
        """The description under `key`, marked as remembered, or None."""
        with self._lock:
            found = self._kept.get(key) or self._read(key)
            if found is None:
                return None
            self._keep(key, found)
        return replace(found, remembered=True)

    def put(self, key: str, description: Description) -> None:
        """Keep a description. A folder that cannot be written to is told of, and costs nothing."""
        with self._lock:
            self._keep(key, description)
            if self.folder is not None:
                try:
                    self._write(self.folder, key, description)
                except OSError as error:
                    logger.warning(
                        "Descriptions cannot be kept in %s (%s).", self.folder, error.strerror
                    )

    def _keep(self, key: str, description: Description) -> None:
        self._kept[key] = description
        self._kept.move_to_end(key)
        while len(self._kept) > self.entries:
            self._kept.popitem(last=False)

    def _read(self, key: str) -> Description | None:
        if self.folder is None:
            return None
        path = self.folder / f"{key}.json"
        try:
            found = Description(**json.loads(path.read_text(encoding="utf-8")))
            path.touch()  # the time of a file is the time of its last use
        except (OSError, ValueError, TypeError):
            return None  # none yet, or not one of ours: it is asked for again
        texts = (found.high, found.low, found.source)
        return found if all(isinstance(text, str) and text for text in texts) else None

    def _write(self, folder: Path, key: str, description: Description) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        with whole(folder / f"{key}.json") as part:
            part.write_text(json.dumps(asdict(description)), encoding="utf-8")
        if self._written % 100 == 0:  # counting thousands of files is not done every time
            self._forget(folder)
        self._written += 1

    def _forget(self, folder: Path) -> None:
        found = sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime)
        for path in found[: max(0, len(found) - self.files)]:
            path.unlink(missing_ok=True)


@cache
def shared_answers() -> Answers:
    """The one store of this process.

    Raises:
        XPSRError: XPSR_ANSWERS names something that is no folder.
    """
    place = os.environ.get(VARIABLE)
    if place and Path(place).exists() and not Path(place).is_dir():
        raise XPSRError(f"{VARIABLE} names {place}, which is no folder; name one, or unset it.")
    return Answers(folder=Path(place) if place else None)
