"""The form of a run: the order of its fields, reading it, and filling it in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from xpsr.errors import XPSRError
from xpsr.prompts import PROMPT_NAMES, Prompts
from xpsr.settings import SETTING_NAMES, Settings

from . import labels

MAIN_TEXTS = ("prompt", "lowlevel_prompt")
# Settings that decide what becomes of the texts.
TEXT_SETTINGS = ("negative", "long_prompts", "added_position", "lowlevel_route", "guidance_scale")
# The order in which the components of the form are connected and in which their values arrive.
FORM = (*PROMPT_NAMES, *SETTING_NAMES)
REST = FORM[len(MAIN_TEXTS) :]  # all but the two main texts
T = TypeVar("T", Prompts, Settings)


def read_form(preset: str, values: Sequence[Any]) -> tuple[Prompts, Settings]:
    """Texts and settings as they stand on the page, in the order of `FORM`.

    What has been emptied comes from the preset.

    Raises:
        XPSRError: a value is out of its range.
    """
    texts, settings = values[: len(PROMPT_NAMES)], values[len(PROMPT_NAMES) :]
    try:
        return (
            Prompts.from_preset(preset, **dict(zip(PROMPT_NAMES, texts, strict=True))),
            Settings.from_preset(preset, **dict(zip(SETTING_NAMES, settings, strict=True))),
        )
    except XPSRError as error:
        raise XPSRError(labels.as_labelled(str(error))) from error


def read_usable(preset: str, values: Sequence[Any]) -> tuple[Prompts, Settings]:
    """The same, but what cannot be used comes from the preset as well."""
    given = dict(zip(FORM, values, strict=True))
    return (
        _usable(Prompts.from_preset, preset, {name: given[name] for name in PROMPT_NAMES}),
        _usable(Settings.from_preset, preset, {name: given[name] for name in SETTING_NAMES}),
    )


def _usable(read: Callable[..., T], preset: str, given: Mapping[str, Any]) -> T:
    good: dict[str, Any] = {}
    # Twice: whether a tile size can be used depends on the overlap, which comes behind it.
    for name, value in [*given.items()] * 2:
        try:
            read(preset, **{**good, name: value})
        except XPSRError:
            continue
        good[name] = value
    return read(preset, **good)


def fill_form(prompts: Prompts, settings: Settings) -> tuple[Any, ...]:
    """Values for the components of the form, in the order of `FORM`."""
    return (
        *(getattr(prompts, name) for name in PROMPT_NAMES),
        *(getattr(settings, name) for name in SETTING_NAMES),
    )


def preset_values(preset: str) -> dict[str, Any]:
    """What a built-in preset brings, by name: the two main texts and the seed are left out."""
    filled = fill_form(Prompts.from_preset(preset), Settings.from_preset(preset))
    both = zip(FORM, filled, strict=True)
    return {name: value for name, value in both if name in REST and name != "seed"}
