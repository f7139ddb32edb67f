"""What visitors send and how it is read: pictures, the form, and the sentence for an error."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xpsr.errors import XPSRError
from xpsr.image import open_image
from xpsr.prompts import PROMPT_NAMES, Prompts
from xpsr.settings import Settings

from . import words

if TYPE_CHECKING:
    from xpsr.image import Photo

log = logging.getLogger(__name__)

# The order in which wiring.py connects texts and settings, and in which values arrive here.
SHOWN_SETTINGS = (
    "num_inference_steps",
    "guidance_scale",
    "controlnet_conditioning_scale",
    "seed",
    "upscale",
    "start",
    "scheduler",
    "tile_size",
    "tile_overlap",
    "color_fix",
    "negative",
    "long_prompts",
    "added_position",
    "lowlevel_route",
)
# Those of them that decide what becomes of the texts.
TEXT_SETTINGS = ("negative", "long_prompts", "added_position", "lowlevel_route")
MAIN_TEXTS = ("prompt", "lowlevel_prompt")


def picture_path(payload: Any) -> Path:
    """The uploaded file behind what the browser or a client sends for a picture.

    Events with a picture run without Gradio's own preprocessing, which would open the file before
    we do; that the path is an upload was checked by Gradio before it comes here.
    """
    path = payload.get("path") if isinstance(payload, dict) else None
    if not path:
        raise XPSRError(words.NO_PICTURE)
    return Path(path)


def open_picture(payload: Any) -> Photo:
    """The checked picture behind a payload; raises XPSRError."""

    return open_image(picture_path(payload))


def sentence(error: Exception) -> str:
    """What a visitor may read of an error; the rest goes to the log."""
    if isinstance(error, XPSRError):
        return str(error)
    log.error("unexpected error in the studio", exc_info=error)
    return words.UNEXPECTED


def read_form(preset: str, values: Sequence[Any]) -> tuple[Prompts, Settings]:
    """Texts and settings as they stand on the page; the preset gives what is not on it."""
    texts, settings = values[: len(PROMPT_NAMES)], values[len(PROMPT_NAMES) :]
    return (
        Prompts.from_preset(preset, **dict(zip(PROMPT_NAMES, texts, strict=True))),
        Settings.from_preset(preset, **dict(zip(SHOWN_SETTINGS, settings, strict=True))),
    )
