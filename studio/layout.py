"""How the tabs stand on the page."""

from __future__ import annotations

from typing import Any

import gradio as gr

from . import markup, words
from .opening import Opening
from .page import Page
from .parts import flat
from .restore.layout import lay_out_restoring
from .restore.memory import SECRET, STORAGE_KEY
from .tabs import TABS
from .texts import NOTHING_BROUGHT
from .visit import Visit


def lay_out(opening: Opening) -> Page:
    """Build the page inside the present `gr.Blocks`."""
    flat(markup.HEAD, elem_id="head")
    parts: dict[str, Any] = {
        "written": gr.State(NOTHING_BROUGHT),  # who wrote what, see texts.py
        "before": gr.State(None),  # the texts as they were when describing began
        "visit": gr.State(Visit(shown=opening.shown)),
        "browser": gr.BrowserState(None, storage_key=STORAGE_KEY, secret=SECRET),
        "chosen": gr.State(None),  # the ids of two runs to be compared
        "banner": flat(visible=False, elem_id="banner"),
    }
    others: dict[str, tuple[Any, gr.Tab]] = {}
    with gr.Tabs(elem_id="tabs") as tabs:
        with gr.Tab(words.TAB_RESTORE, id="restore") as first:
            parts |= lay_out_restoring(opening)
        for tab in TABS:
            with gr.Tab(tab.label, id=tab.id, elem_id=f"tab-{tab.id}") as handle:
                others[tab.id] = (tab.lay_out(opening), handle)
    return Page(**parts, tabs=tabs, first=first, parts=others)
