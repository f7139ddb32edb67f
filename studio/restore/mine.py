"""What a visitor had in the form until something else took its place, so that it can come back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gradio as gr

from xpsr.prompts import PRESET_PROMPTS, PROMPT_NAMES
from xpsr.settings import PRESETS, SETTING_NAMES

from ..form import preset_values
from ..texts import Brought, joined
from ..visit import Mine, Visit

MOST = 5  # the last ones


def set_aside(
    visit: Visit, now: Mapping[str, Any], new: Mapping[str, Any], written: Brought
) -> Any:
    """Keep what stands in the form `now`, as far as `new` takes its place; returns the row for it.

    Only where some of it is the visitor's own: what others have brought can be brought again.
    """
    gone = {name: now[name] for name in new if name in now}
    if any(gone[name] != new[name] for name in gone) and is_own(gone, written):
        aside = Mine(gone, written)
        visit.mine = [*(one for one in visit.mine if one != aside), aside][-MOST:]
    return offered(visit)


def take_back(visit: Visit, now: Mapping[str, Any], written: Brought) -> tuple[Mine | None, Any]:
    """The last that was set aside, if any, and the row for the rest.

    What is in its place now is set aside behind all others, so that it comes back as well.
    """
    if not visit.mine:
        return None, offered(visit)
    last = visit.mine.pop()
    gone = {name: now[name] for name in last.values}
    if is_own(gone, written):
        visit.mine.insert(0, Mine(gone, written))
    return last, offered(visit)


def offered(visit: Visit) -> Any:
    """The row with the button that brings it back."""
    return gr.update(visible=bool(visit.mine))


def is_own(values: Mapping[str, Any], written: Brought) -> bool:
    """Whether one of the texts was typed, or the settings are those of no preset."""
    usual_texts = PRESET_PROMPTS.values()
    brought = dict(zip(PROMPT_NAMES, map(joined, written), strict=False))
    typed = (
        bool(text) and text not in (brought.get(name), *(getattr(one, name) for one in usual_texts))
        for name, text in values.items()
        if name in PROMPT_NAMES
    )
    settings = {name: values[name] for name in SETTING_NAMES if name in values and name != "seed"}
    usual = any(settings.items() <= preset_values(preset).items() for preset in PRESETS)
    return any(typed) or not usual
