"""What visitors send and how it is read: pictures, and the sentence for an error."""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
from gradio.utils import get_upload_folder, is_in_or_equal

from xpsr.errors import XPSRError
from xpsr.image import open_image

from . import words
from .results.words import DISK_FULL

if TYPE_CHECKING:
    from xpsr.image import Photo

log = logging.getLogger(__name__)


def picture_path(payload: Any) -> Path:
    """The uploaded file behind what the browser or a client sends for a picture.

    Events with a picture run without Gradio's own preprocessing, which would open the file before
    we do. Gradio has then checked the path only where the payload says of itself that it is a
    file, so it is checked here: whoever names a file of this machine does not get it.

    Raises:
        XPSRError: there is no picture, or it is not an upload.
    """
    named = isinstance(payload, dict) and (payload.get("path") or payload.get("url"))
    if not payload or (isinstance(payload, dict) and not named):
        raise XPSRError(words.NO_PICTURE)
    path = payload.get("path") if isinstance(payload, dict) else None
    if not isinstance(path, str) or "\0" in path or not is_in_or_equal(path, get_upload_folder()):
        raise XPSRError(words.UPLOADED_ONLY)
    return Path(path)


def open_picture(payload: Any) -> Photo:
    """The checked picture behind a payload; raises XPSRError."""

    return open_image(picture_path(payload))


def sentence(error: Exception) -> str:
    """What a visitor may read of an error; the rest goes to the log."""
    if isinstance(error, XPSRError):
        return str(error)
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return DISK_FULL
    log.error("unexpected error in the studio", exc_info=error)
    return words.UNEXPECTED


@contextmanager
def plain_errors() -> Iterator[None]:
    """Whatever goes wrong reaches the caller as one sentence, never as a stack trace."""
    try:
        yield
    except gr.Error:
        raise
    except Exception as error:
        raise gr.Error(sentence(error), print_exception=False) from error


def picture_title(payload: Any) -> str:
    """What the visitor calls the picture: foreign text, for showing only."""
    name = payload.get("orig_name") if isinstance(payload, dict) else None
    return Path(str(name)).stem[:80] if name else ""
