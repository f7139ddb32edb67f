"""Files are written whole or not at all; a full disk and a damaged file are told in a sentence."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image

from xpsr.errors import XPSRError
from xpsr.whole import whole

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


def write_whole(path: Path, text: str) -> None:
    """The text as UTF-8 in the place of what the file held before."""
    with whole(path) as part:
        part.write_text(text, encoding="utf-8")


def save_png(picture: Image.Image, path: Path) -> None:
    """The picture in a file that is there only when it is whole."""
    with whole(path) as part:
        picture.save(part, "PNG")


def read_json(path: Path, advice: str) -> dict[str, Any]:
    """The object in a file.

    Raises:
        XPSRError: it holds something else; `advice` says what to do.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise XPSRError(f"{path} is damaged: {advice}.")
    return found
