"""The Word maps tab: which places of a result look at which words."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import gradio as gr

from .. import markup
from ..job import Job
from ..parts import Parts, flat, small, stop_button
from ..tab import Tab
from ..triggers import HEAVY, PRIVATE, QUICK, cleared, follow
from . import words
from .actions import BRANCHES, FOR_TEXT, ONE_SCALE, OWN_RANGE, RECORDING, WordMapActions

if TYPE_CHECKING:
    from ..opening import Opening
    from ..page import Page
    from ..services import Services

CSS = """
#words-panel .heat { display: flex; gap: .6rem; align-items: center; font-size: .85rem;
  font-variant-numeric: tabular-nums; margin-top: .4rem; }
#words-panel .heat i { flex: 1; height: .7rem; border-radius: .2rem; background: linear-gradient(
  90deg, #00224e, #35456c, #666970, #958f78, #cbba69, #fee838); }
/* Both pictures stand on one line, however long the texts above them are. */
@media (min-width: 760px) {
  #words-panel > .row:has(.text-map)
    { display: grid; grid-template: repeat(4, auto) / 1fr 1fr; row-gap: 0; }
  #words-panel > .row:has(.text-map) > .column
    { display: grid; grid-row: span 4; grid-template-rows: subgrid; }
}
/* Gradio leaves blanks around every word, and breaks lines there. */
#words-panel .text-map .textfield { display: block; max-height: 11rem; overflow: auto;
  font-size: 0; white-space: nowrap; overflow-wrap: normal; word-break: normal; }
#words-panel .text-map .token-container { display: inline; }
#words-panel .text-map .token { margin: 0; padding: .85rem 0 .3rem; }
#words-panel .text-map .text { font-size: var(--text-md); white-space: pre-wrap;
  overflow-wrap: normal; word-break: normal; }
#words-high-picture img, #words-low-picture img
  { width: 100% !important; height: auto !important; object-fit: contain !important; }
#words-panel .text-map .text:not(.unlabeled) { color: var(--body-text-color) !important; }
"""


def lay_out(opening: Opening) -> Parts:
    part = Parts(
        first=gr.State(None),  # the run that was chosen for the visitor
        job=gr.State(Job()),  # the last press on the button
        recorded=gr.State(None),
    )
    flat(markup.quiet(words.INTRO))
    with gr.Row():
        part.run = gr.Dropdown(
            [], label=words.RUN, info=words.RUN_INFO, min_width=300, elem_id="words-run"
        )
        with gr.Column(min_width=300):
            with gr.Row():
                part.record = gr.Button(
                    words.RECORD, variant="primary", scale=3, elem_id="words-record"
                )
                part.stop = stop_button("words-stop")
            part.status = flat(markup.notice(words.NONE_YET), elem_id="words-status")
    with gr.Column(visible=False, elem_id="words-panel") as part.panel:
        with gr.Row():
            part.texts = {branch: _text(branch) for branch in BRANCHES}
        _controls(part)
    flat(markup.quiet(words.CAUTION), elem_id="words-caution")
    with gr.Row(elem_classes="under"):
        part.ablate = small(words.ABLATE, "words-ablate")
        part.download = small(words.DOWNLOAD, "words-download", gr.DownloadButton, visible=False)
    return part


def _text(branch: str) -> dict[str, Any]:
    with gr.Column(min_width=320, elem_classes="tight"):
        return {
            "text": gr.HighlightedText(
                label=words.BRANCHES[branch],
                color_map={words.CHOSEN: "#b45309"},
                show_inline_category=False,
                elem_id=f"words-{branch}-text",
                elem_classes="text-map",
            ),
            "word": gr.Dropdown(
                [], label=words.WORD, info=words.WORD_INFO, elem_id=f"words-{branch}-word"
            ),
            "picture": gr.Image(
                label=words.BRANCHES[branch],
                alt_text=words.BRANCHES[branch],
                show_label=False,
                format="jpeg",
                interactive=False,
                buttons=["download", "fullscreen"],
                elem_id=f"words-{branch}-picture",
            ),
            "about": flat(elem_id=f"words-{branch}-about"),
        }


def _controls(part: Parts) -> None:
    with gr.Row():
        part.steps = gr.Radio(
            [], label=words.STEPS, info=words.STEPS_INFO, min_width=280, elem_id="words-steps"
        )
        part.layers = gr.Radio(
            [], label=words.LAYERS, info=words.LAYERS_INFO, min_width=280, elem_id="words-layers"
        )
        part.colors = gr.Radio(
            [(words.OWN_RANGE, OWN_RANGE), (words.ONE_SCALE, ONE_SCALE)],
            value=OWN_RANGE,
            label=words.COLORS,
            info=words.COLORS_INFO,
            min_width=280,
            elem_id="words-colors",
        )
        part.strength = gr.Slider(
            0,
            1,
            0.7,
            step=0.05,
            label=words.STRENGTH,
            info=words.STRENGTH_INFO,
            buttons=[],
            min_width=280,
            elem_id="words-strength",
        )


def connect(page: Page, part: Parts, handle: gr.Tab, services: Services) -> None:
    actions = WordMapActions(services)
    choice = [part.run, part.record, part.first]
    handle.select(actions.offer, [page.visit, part.run, part.first], choice, **QUICK)
    shown = part.named(RECORDING)
    # Not QUICK: Gradio lets nothing follow the change of a state outside of its queue.
    recalled = {"fn": actions.recall, "inputs": [page.visit, part.run], "outputs": shown}
    part.run.change(**recalled, show_progress="hidden", concurrency_limit=None, **PRIVATE)
    run = part.record.click(actions.begin, None, shown, **QUICK).then(
        actions.record,
        [page.visit, part.run, part.job],
        shown,
        show_progress="minimal",
        show_progress_on=part.status,
        **HEAVY,
    )
    run.failure(actions.failed, part.job, shown, **QUICK)
    stopped = part.stop.click(actions.stop, part.job, shown, **QUICK)
    cleared(stopped, run).then(actions.let_go, part.job, shown, **QUICK)
    _connect_view(part, actions)
    # What a word does is measured there: with the plan that leaves out words, on the same result.
    ablation, _ = page.parts["ablate"]
    outputs = [page.tabs, ablation.source, ablation.plan]
    part.ablate.click(actions.measure_words, part.run, outputs, **QUICK)


def _connect_view(part: Parts, actions: WordMapActions) -> None:
    """One picture follows its own word, both follow the rest."""
    view = [part.steps, part.layers, part.colors, part.strength]
    both = [part.texts[branch] for branch in BRANCHES]
    words_of_both = [one["word"] for one in both]
    chosen = part.recorded.change(actions.choices, part.recorded, words_of_both, **QUICK)
    for branch, one in part.texts.items():
        point = {"high": actions.point_high, "low": actions.point_low}[branch]
        one["text"].select(point, part.recorded, one["word"], **QUICK)
        show = {
            "fn": partial(actions.show, branch),
            "inputs": [part.recorded, one["word"], *view],
            "outputs": [one[name] for name in FOR_TEXT],
        }
        changed = [one["word"].change, *(control.change for control in view)]
        follow(changed, **show, **QUICK)
        # A new recording may choose the word that was chosen before, which is no change.
        chosen.then(**show, **QUICK)


TAB = Tab("words", words.TAB, CSS, lay_out, connect)
