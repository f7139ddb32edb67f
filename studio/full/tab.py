"""The tab "Full quality": from the built-in model to the whole system."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gradio as gr

from .. import markup
from ..models.words import NOT_ALLOWED
from ..parts import Parts, flat, stop_button
from ..restore.describing import Describing
from ..restore.text_actions import TextActions
from ..restore.wiring import reading
from ..tab import Tab
from ..triggers import AS_SENT, HEAVY, PRIVATE, QUICK, stop_from, stop_until
from . import words
from .actions import FORMATS, SUITED, FullActions

if TYPE_CHECKING:
    from ..opening import Opening
    from ..page import Page
    from ..services import Services

CSS = """
.facts { display: grid; grid-template-columns: max-content 1fr; gap: .3rem 1.2rem; margin: 0; }
.facts dt { font-weight: 600; } .facts dd { margin: 0; overflow-wrap: anywhere; }
.needs td:nth-child(3), .needs td:nth-child(4) { white-space: nowrap; }
.needs a { text-decoration: underline; padding: 0; margin: 0; color: inherit; }
.needs .quiet { font-weight: 400; }
.beside { justify-content: flex-start !important; }
@media (max-width: 720px) {
  .beside > button { flex: 1 1 40% !important; min-width: 0 !important; }
  .needs thead { display: none; }
  table.needs tr { display: block; padding: .5rem 0;
    border-bottom: 1px solid var(--border-color-primary) !important; }
  table.needs th, table.needs td { display: block; border: 0; padding: .05rem 0; }
  .needs td[data-label]::before { content: attr(data-label) ": ";
    color: var(--body-text-color-subdued); }
}
"""


def lay_out(opening: Opening) -> Parts:
    """Words, the table, and the fields where they are allowed."""
    part = Parts(is_allowed=opening.may_change_model)
    steps = words.STEPS if part.is_allowed else words.STEPS_ELSEWHERE
    gr.Markdown(words.INTRO + steps + words.SEESR)
    gr.Markdown(f"#### {words.NOW}")
    part.now = flat(elem_id="full-now")
    gr.Markdown(f"#### {words.NEEDS}")
    part.needs = flat(elem_id="full-needs")
    flat(markup.quiet(words.NEEDS_INFO))
    if part.is_allowed:
        _getting(part)
        _using(part)
    else:
        flat(markup.notice(NOT_ALLOWED), elem_id="full-refused")
    return part


def _getting(part: Parts) -> None:
    gr.Markdown(f"#### {words.GET}")
    with gr.Row():
        part.checkpoint = _field(words.CHECKPOINT, words.CHECKPOINT_INFO, "full-checkpoint")
        part.base = _field(words.BASE, words.BASE_INFO, "full-base")
    with gr.Row():
        part.out = _field(words.OUT, words.OUT_INFO, "full-out", words.OUT_DEFAULT)
        part.format = gr.Radio(
            list(FORMATS), value=FORMATS[0], label=words.FORMAT, info=words.FORMAT_INFO
        )
    with gr.Row(elem_classes="beside"):
        part.check = gr.Button(words.CHECK, elem_id="full-check", min_width=150, scale=0)
        part.convert = gr.Button(
            words.CONVERT, variant="primary", elem_id="full-convert", min_width=150, scale=0
        )
        part.stop_converting = stop_button("full-stop-converting", scale=0)
    part.converted = flat(markup.notice(""), elem_id="full-converted")


def _using(part: Parts) -> None:
    gr.Markdown(f"#### {words.USE_TITLE}")
    with gr.Row():
        part.model = _field(words.MODEL, words.MODEL_INFO, "full-model")
        part.model_base = _field(words.BASE, words.BASE_FOR_USE_INFO, "full-model-base")
    with gr.Row(elem_classes="beside"):
        part.look = gr.Button(words.LOOK, elem_id="full-look", min_width=150, scale=0)
        part.use = gr.Button(
            words.USE, variant="primary", elem_id="full-use", min_width=190, scale=0
        )
        part.use_mini = gr.Button(words.USE_MINI, elem_id="full-use-mini", min_width=150, scale=0)
        part.stop_using = stop_button("full-stop-using", scale=0)
    part.used = flat(markup.notice(""), elem_id="full-used")


def _field(label: str, info: str, elem_id: str, value: str = "") -> gr.Textbox:
    return gr.Textbox(value, label=label, info=info, max_length=1000, elem_id=elem_id)


def connect(page: Page, part: Parts, handle: gr.Tab, services: Services) -> None:
    """Tie the fields to `FullActions`."""
    actions = FullActions(services)
    handle.select(actions.read, None, [part.now, part.needs], **QUICK)
    if part.is_allowed:
        _connect_getting(part, actions)
        _connect_using(page, part, actions, Describing(services.engine))


def _connect_getting(part: Parts, actions: FullActions) -> None:
    part.check.click(actions.check, part.checkpoint, part.converted, **QUICK)
    stop_from(part.convert, part.stop_converting, part.converted)
    run = part.convert.click(
        actions.convert,
        [part.checkpoint, part.base, part.out, part.format],
        [part.converted, part.model],
        show_progress="hidden",
        concurrency_limit=1,
        **PRIVATE,
    )
    stop_until([run], part.stop_converting, part.converted, words.CONVERT_STOPPED)


def _connect_using(page: Page, part: Parts, actions: FullActions, describing: Describing) -> None:
    named = [part.model, part.model_base]
    part.look.click(actions.look, named, part.used, **{**QUICK, "queue": True})
    changed = [part.used, part.now, page.banner]
    how = {"show_progress": "minimal", "show_progress_on": part.used, **HEAVY}
    read = reading(page, TextActions(actions.engine))
    form, suited = [page.visit, page.written, *page.form], page.named(SUITED)
    for button in (part.use, part.use_mini):
        stop_from(button, part.stop_using, part.used)
    runs: list[Any] = [
        part.use.click(actions.use, [*named, page.visit], changed, **how),
        part.use_mini.click(actions.use_mini, page.visit, changed, **how),
    ]
    stop_until(runs, part.stop_using, part.used, words.USE_STOPPED)
    for run in runs:
        # Read anew though nothing of the form may have changed: by another model.
        run.then(actions.suit, form, suited, **AS_SENT).then(**read)
        run.then(describing.introduce, None, page.describer, **QUICK)


TAB = Tab("full", words.LABEL, CSS, lay_out, connect)
