"""The form of a run: the order of its fields, reading it, and filling it in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from xpsr.prompts import PROMPT_NAMES, Prompts
from xpsr.settings import SETTING_NAMES, Settings

MAIN_TEXTS = ("prompt", "lowlevel_prompt")
# Settings that decide what becomes of the texts.
TEXT_SETTINGS = ("negative", "long_prompts", "added_position", "lowlevel_route")
# The order in which the components of the form are connected and in which their values arrive.
FORM = (*PROMPT_NAMES, *SETTING_NAMES)


def read_form(preset: str, values: Sequence[Any]) -> tuple[Prompts, Settings]:
    """Texts and settings as they stand on the page, in the order of `FORM`.

    What has been emptied comes from the preset.

    Raises:
        XPSRError: a value is out of its range.
    """
    texts, settings = values[: len(PROMPT_NAMES)], values[len(PROMPT_NAMES) :]
    return (
        Prompts.from_preset(preset, **dict(zip(PROMPT_NAMES, texts, strict=True))),
        Settings.from_preset(preset, **dict(zip(SETTING_NAMES, settings, strict=True))),
    )


def fill_form(prompts: Prompts, settings: Settings) -> tuple[Any, ...]:
    """Values for the components of the form, in the order of `FORM`."""
    return (
        *(getattr(prompts, name) for name in PROMPT_NAMES),
        *(getattr(settings, name) for name in SETTING_NAMES),
    )
