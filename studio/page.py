"""The page: every component that something happens to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import gradio as gr

from .form import FORM
from .parts import Parts


@dataclass(frozen=True)
class Page:
    """Every component that something happens to, by role.

    `texts` and `settings` are keyed by the names of `Prompts` and `Settings`.
    """

    picture: gr.Image
    picture_note: gr.HTML
    own_texts: gr.Row
    back_to_mine: gr.Button
    offer: gr.Row
    carries: gr.HTML
    see_recipe: gr.Button
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
    size_note: gr.HTML
    largest: gr.Button
    preset_note: gr.HTML
    upscale_note: gr.HTML
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
    another: gr.Button
    pin: gr.Button
    against: gr.Radio
    strip: gr.Gallery
    score: gr.Button
    stop_scoring: gr.Button
    score_note: gr.HTML
    reference: gr.Image
    closer: Parts
    preset: gr.Dropdown
    own_preset: gr.Dropdown
    settings: dict[str, Any]
    new_seed: gr.Button
    learned: gr.CheckboxGroup
    written: gr.State
    before: gr.State
    banner: gr.HTML
    tabs: gr.Tabs
    first: gr.Tab
    visit: gr.State
    browser: gr.BrowserState
    greeting: gr.Row
    greeted: gr.Checkbox
    back: gr.Checkbox
    hide_greeting: gr.Button
    chosen: gr.State
    parts: dict[str, tuple[Parts, gr.Tab]]

    @property
    def form(self) -> list[Any]:
        """The components of texts and settings, in the order of `FORM`."""
        return self.named(FORM)

    def named(self, names: Iterable[str]) -> list[Any]:
        """Components by their names here, texts and settings by their own."""
        known = {**vars(self), **self.texts, **self.settings}
        return [known[name] for name in names]
