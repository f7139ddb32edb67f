"""How the tabs stand on the page."""

from __future__ import annotations

import gradio as gr

from . import markup, words
from .opening import Opening
from .page import Page
from .parts import Parts, flat
from .restore.layout import lay_out_restoring
from .restore.memory import SECRET, STORAGE_KEY
from .tabs import TABS
from .texts import NOTHING_BROUGHT
from .visit import Visit


def lay_out(opening: Opening) -> Page:
    """Build the page inside the present `gr.Blocks`."""
    flat(markup.HEAD, elem_id="head")
    part = Parts(
        written=gr.State(NOTHING_BROUGHT),  # who wrote what, see texts.py
        before=gr.State(None),  # the texts as they were when describing began
        visit=gr.State(Visit(shown=opening.shown)),
        browser=gr.BrowserState(None, storage_key=STORAGE_KEY, secret=SECRET),
        chosen=gr.State(None),  # the ids of two runs to be compared
        banner=flat(visible=False, elem_id="banner"),
        parts={},
    )
    with gr.Tabs(elem_id="tabs") as part.tabs:
        with gr.Tab(words.TAB_RESTORE, id="restore") as part.first:
            lay_out_restoring(part, opening)
        for tab in TABS:
            with gr.Tab(tab.label, id=tab.id, elem_id=f"tab-{tab.id}") as handle:
                part.parts[tab.id] = (tab.lay_out(opening), handle)
    return Page(**vars(part))
