"""The page: every component that something happens to, and how the tabs stand in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from . import markup, words
from .form import FORM
from .opening import Opening
from .restore.layout import lay_out_restoring
from .restore.result_layout import Closer
from .restore.texts import NOTHING_BROUGHT
from .results.memory import SECRET, STORAGE_KEY
from .results.visit import Visit
from .tabs import all_tabs


@dataclass(frozen=True)
class Page:
    """Every component that something happens to, by role.

    `texts` and `settings` are keyed by the names of `Prompts` and `Settings`.
    """

    picture: gr.Image
    picture_note: gr.HTML
    describe: gr.Button
    stop_describing: gr.Button
    describer: gr.HTML
    texts: dict[str, gr.Textbox]
    meters: dict[str, gr.HTML]
    chips: dict[str, gr.HTML]
    undo: dict[str, gr.Button]
    opposite: gr.Button
    text_note: gr.HTML
    wording: gr.HTML
    negatives: dict[str, gr.Button]
    restore: gr.Button
    stop: gr.Button
    examples: gr.Gallery | None
    status: gr.HTML
    preview: gr.Image
    comparison: gr.ImageSlider
    position: gr.Slider
    scores: gr.HTML
    download: gr.DownloadButton
    recipe: gr.DownloadButton
    pin: gr.Button
    against: gr.Radio
    strip: gr.Gallery
    score: gr.Button
    stop_scoring: gr.Button
    score_note: gr.HTML
    reference: gr.Image
    closer: Closer
    preset: gr.Dropdown
    settings: dict[str, Any]
    new_seed: gr.Button
    learned: gr.CheckboxGroup
    written: gr.State
    before: gr.State
    banner: gr.HTML
    tabs: gr.Tabs
    visit: gr.State
    browser: gr.BrowserState
    greeting: gr.Row
    greeted: gr.Checkbox
    hide_greeting: gr.Button
    chosen: gr.State
    parts: dict[str, tuple[Any, gr.Tab]]

    @property
    def form(self) -> list[Any]:
        """The components of texts and settings, in the order of `FORM`."""
        return [(self.texts | self.settings)[name] for name in FORM]


def lay_out(opening: Opening) -> Page:
    """Build the page inside the present `gr.Blocks`."""
    gr.HTML(markup.HEAD, elem_id="head", elem_classes="flat")
    parts: dict[str, Any] = {
        "written": gr.State(NOTHING_BROUGHT),  # who wrote what, see restore/texts.py
        "before": gr.State(None),  # the texts as they were when describing began
        "visit": gr.State(Visit(shown=opening.shown)),
        "browser": gr.BrowserState(None, storage_key=STORAGE_KEY, secret=SECRET),
        "chosen": gr.State(None),  # the ids of two runs to be compared
        "banner": gr.HTML(visible=False, elem_id="banner", elem_classes="flat"),
    }
    others: dict[str, tuple[Any, gr.Tab]] = {}
    with gr.Tabs(elem_id="tabs") as tabs:
        with gr.Tab(words.TAB_RESTORE, id="restore"):
            parts |= lay_out_restoring(opening)
        for tab in all_tabs():
            with gr.Tab(tab.label, id=tab.id, elem_id=f"tab-{tab.id}") as handle:
                others[tab.id] = (tab.lay_out(opening), handle)
    return Page(**parts, tabs=tabs, parts=others)
