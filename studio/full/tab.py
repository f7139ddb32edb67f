"""The tab "Full quality": from the built-in model to the whole system."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gradio as gr

from .. import markup
from ..models.words import NOT_ALLOWED
from ..parts import flat, stop_button
from ..restore.describing import Describing
from ..restore.text_actions import TextActions
from ..restore.wiring import reading
from ..tab import Tab
from ..triggers import HEAVY, PRIVATE, QUICK, stop_from, stop_until
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


@dataclass(frozen=True)
class Full:
    """The components of the tab; the fields are None where visitors may not use them."""

    now: gr.HTML
    needs: gr.HTML
    fields: Fields | None


@dataclass(frozen=True)
class Fields:
    """What only a page that nobody else can reach shows."""

    checkpoint: gr.Textbox
    base: gr.Textbox
    out: gr.Textbox
    format: gr.Radio
    check: gr.Button
    convert: gr.Button
    stop_converting: gr.Button
    converted: gr.HTML
    model: gr.Textbox
    model_base: gr.Textbox
    look: gr.Button
    use: gr.Button
    use_mini: gr.Button
    stop_using: gr.Button
    used: gr.HTML


def lay_out(opening: Opening) -> Full:
    """Words, the table, and the fields where they are allowed."""
    steps = words.STEPS if opening.may_change_model else words.STEPS_ELSEWHERE
    gr.Markdown(words.INTRO + steps + words.SEESR)
    gr.Markdown(f"#### {words.NOW}")
    now = flat(elem_id="full-now")
    gr.Markdown(f"#### {words.NEEDS}")
    needs = flat(elem_id="full-needs")
    flat(markup.quiet(words.NEEDS_INFO))
    if not opening.may_change_model:
        flat(markup.notice(NOT_ALLOWED), elem_id="full-refused")
        return Full(now, needs, None)
    return Full(now, needs, Fields(**_getting(), **_using()))


def _getting() -> dict[str, Any]:
    gr.Markdown(f"#### {words.GET}")
    with gr.Row():
        checkpoint = _field(words.CHECKPOINT, words.CHECKPOINT_INFO, "full-checkpoint")
        base = _field(words.BASE, words.BASE_INFO, "full-base")
    with gr.Row():
        out = _field(words.OUT, words.OUT_INFO, "full-out", words.OUT_DEFAULT)
        form = gr.Radio(list(FORMATS), value=FORMATS[0], label=words.FORMAT, info=words.FORMAT_INFO)
    with gr.Row(elem_classes="beside"):
        check = gr.Button(words.CHECK, elem_id="full-check", min_width=150, scale=0)
        convert = gr.Button(
            words.CONVERT, variant="primary", elem_id="full-convert", min_width=150, scale=0
        )
        stop = stop_button("full-stop-converting", scale=0)
    said = flat(markup.notice(""), elem_id="full-converted")
    return {
        "checkpoint": checkpoint,
        "base": base,
        "out": out,
        "format": form,
        "check": check,
        "convert": convert,
        "stop_converting": stop,
        "converted": said,
    }


def _using() -> dict[str, Any]:
    gr.Markdown(f"#### {words.USE_TITLE}")
    with gr.Row():
        model = _field(words.MODEL, words.MODEL_INFO, "full-model")
        base = _field(words.BASE, words.BASE_FOR_USE_INFO, "full-model-base")
    with gr.Row(elem_classes="beside"):
        look = gr.Button(words.LOOK, elem_id="full-look", min_width=150, scale=0)
        use = gr.Button(words.USE, variant="primary", elem_id="full-use", min_width=190, scale=0)
        mini = gr.Button(words.USE_MINI, elem_id="full-use-mini", min_width=150, scale=0)
        stop = stop_button("full-stop-using", scale=0)
    said = flat(markup.notice(""), elem_id="full-used")
    return {
        "model": model,
        "model_base": base,
        "look": look,
        "use": use,
        "use_mini": mini,
        "stop_using": stop,
        "used": said,
    }


def _field(label: str, info: str, elem_id: str, value: str = "") -> gr.Textbox:
    return gr.Textbox(value, label=label, info=info, max_length=1000, elem_id=elem_id)


def connect(page: Page, part: Full, handle: gr.Tab, services: Services) -> None:
    """Tie the fields to `FullActions`."""
    actions = FullActions(services)
    handle.select(actions.read, None, [part.now, part.needs], **QUICK)
    if part.fields is None:
        return
    _connect_getting(part.fields, actions)
    _connect_using(page, part, part.fields, actions, Describing(services.engine))


def _connect_getting(fields: Fields, actions: FullActions) -> None:
    fields.check.click(actions.check, fields.checkpoint, fields.converted, **QUICK)
    stop_from(fields.convert, fields.stop_converting, fields.converted)
    run = fields.convert.click(
        actions.convert,
        [fields.checkpoint, fields.base, fields.out, fields.format],
        [fields.converted, fields.model],
        show_progress="hidden",
        concurrency_limit=1,
        **PRIVATE,
    )
    stop_until(run, fields.stop_converting)
    fields.stop_converting.click(None, cancels=[run]).then(
        lambda: markup.notice(words.CONVERT_STOPPED), None, fields.converted, **QUICK
    )


def _connect_using(
    page: Page, part: Full, fields: Fields, actions: FullActions, describing: Describing
) -> None:
    named = [fields.model, fields.model_base]
    fields.look.click(actions.look, named, fields.used, **{**QUICK, "queue": True})
    changed = [fields.used, part.now, page.banner]
    how = {"show_progress": "minimal", "show_progress_on": fields.used, **HEAVY}
    read = reading(page, TextActions(actions.engine))
    form, suited = [page.visit, page.written, *page.form], page.named(SUITED)
    for button in (fields.use, fields.use_mini):
        stop_from(button, fields.stop_using, fields.used)
    runs: list[Any] = [
        fields.use.click(actions.use, [*named, page.visit], changed, **how),
        fields.use_mini.click(actions.use_mini, page.visit, changed, **how),
    ]
    for run in runs:
        stop_until(run, fields.stop_using)
        # Read anew though nothing of the form may have changed: by another model.
        run.then(actions.suit, form, suited, preprocess=False, **QUICK).then(**read)
        run.then(describing.introduce, None, page.describer, **QUICK)
    fields.stop_using.click(None, cancels=runs).then(
        lambda: markup.notice(words.USE_STOPPED), None, fields.used, **QUICK
    )


TAB = Tab("full", words.LABEL, CSS, lay_out, connect)
