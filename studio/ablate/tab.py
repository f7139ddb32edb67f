"""The tab for ablations: components and wiring. What happens is in question.py and running.py."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import gradio as gr

from xpsr.ablation.choice import NAMES
from xpsr.prompts import PROMPT_NAMES
from xpsr.settings import SETTING_NAMES

from .. import markup
from ..parts import Parts, flat, kept_by_browser, stop_button
from ..restore.memory import MemoryActions, to_keep
from ..restore.showing import Face
from ..tab import Tab
from ..triggers import AS_SENT, HEAVY, PRIVATE, QUICK, cleared, follow
from . import words
from .asked import ASKED, FORM
from .memory import KEPT, STORAGE_KEY, keep, recall
from .question import SEEN, QuestionActions
from .running import RUNNING, RunningActions
from .study import Study

if TYPE_CHECKING:
    from ..opening import Opening
    from ..page import Page
    from ..services import Services

CSS = """
#ablate-grid, #ablate-effects {
  contain: inline-size; /* a wide table scrolls by itself and does not widen the page */
  --ink: var(--body-text-color); --soft: var(--body-text-color-subdued);
  --line: var(--border-color-primary); --card: var(--background-fill-primary);
  --grey: var(--body-text-color-subdued); --focus: var(--primary-600);
  --band: color-mix(in srgb, var(--body-text-color) 13%, transparent);
  --good: color-mix(in srgb, #0d9488 72%, var(--body-text-color));
  --bad: color-mix(in srgb, #ea580c 72%, var(--body-text-color));
}
#ablate-subject .notice { font-size: .875rem; }
#ablate-effects h2 { font-size: 1.1rem; font-weight: 600; margin: 1.2rem 0 0; }
#ablate-effects .quiet { max-width: 80ch; }
#ablate-parts .wrap { flex-direction: column; align-items: stretch; max-height: 20rem;
  flex-wrap: nowrap; overflow: auto; }
"""
# A press on anything in the tables that names a variant.
PRESS = """
element.addEventListener('click', (event) => {
  const pressed = event.target.closest('[data-variant]');
  if (pressed) trigger('select', { variant: pressed.dataset.variant,
    seed: pressed.dataset.seed ?? '' });
});
"""
AXES = [name for name in (*SETTING_NAMES, *PROMPT_NAMES) if name != "seed"]


def lay_out(opening: Opening) -> Parts:
    part = Parts(study=gr.State(Study()), stored=kept_by_browser(STORAGE_KEY))
    flat(markup.quiet(words.INTRO))
    with gr.Row():
        with gr.Column(scale=5, min_width=320):
            _question(part)
        with gr.Column(scale=5, min_width=320):
            _details(part)
            _buttons(part)
    _answer(part)
    return part


def _question(part: Parts) -> None:
    with gr.Column(elem_classes="tight"):
        part.source = gr.Dropdown(
            [(words.FORM, FORM)],
            value=FORM,
            label=words.SOURCE,
            info=words.SOURCE_INFO,
            elem_id="ablate-source",
        )
        part.subject = flat(markup.notice(""), elem_id="ablate-subject")
    with gr.Row():
        part.presets = {
            name: gr.Button(label, size="md", min_width=120, elem_id=f"ablate-{name}")
            for name, label in words.PRESETS.items()
        }
    part.plan = gr.Dropdown(
        [(words.PLANS[name], name) for name in NAMES],
        value="levels",
        label=words.PLAN,
        info=words.PLAN_INFO,
        elem_id="ablate-plan",
    )
    part.seeds = gr.Slider(
        1,
        12,
        4,
        step=1,
        label=words.SEEDS,
        info=words.SEEDS_INFO,
        buttons=[],
        elem_id="ablate-seeds",
    )


def _details(part: Parts) -> None:
    """What belongs to some plans only."""
    part.parts = gr.CheckboxGroup(
        [], label=words.PARTS, info=words.PARTS_INFO, visible=False, elem_id="ablate-parts"
    )
    part.values = gr.Textbox(
        label=words.VALUES, info=" ", visible=False, max_lines=1, elem_id="ablate-values"
    )
    with gr.Column(visible=False, elem_id="ablate-axes") as part.axes:
        part.axis, part.axis_values = _axis(words.AXIS, "guidance_scale", "1, 4.5", "first")
        part.second, part.second_values = _axis(words.SECOND_AXIS, "", "", "second")
    part.csv = gr.File(
        label=words.CSV,
        file_types=[".csv"],
        visible=False,
        height=120,
        elem_id="ablate-csv",
    )


def _axis(label: str, name: str, values: str, which: str) -> tuple[gr.Dropdown, gr.Textbox]:
    names: list[tuple[str, str]] = [(one, one) for one in AXES]
    if which == "second":
        names.insert(0, (words.NO_AXIS, ""))
    with gr.Row():
        axis = gr.Dropdown(
            names, value=name, label=label, info=words.AXIS_INFO, elem_id=f"ablate-{which}"
        )
        written = gr.Textbox(
            values,
            label=words.AXIS_VALUES,
            info=words.AXIS_VALUES_INFO,
            max_lines=1,
            elem_id=f"ablate-{which}-values",
        )
    return axis, written


def _buttons(part: Parts) -> None:
    """What it will cost, and the two buttons."""
    part.cost = flat(markup.notice(""), elem_id="ablate-cost")
    with gr.Row():
        part.start = gr.Button(
            words.START, variant="primary", scale=3, interactive=False, elem_id="ablate-start"
        )
        part.stop = stop_button("ablate-stop")
    part.status = flat(markup.notice(""), elem_id="ablate-status")


def _answer(part: Parts) -> None:
    from xpsr.ablation.views import style

    tables: dict[str, Any] = {
        "css_template": style(),
        "js_on_load": PRESS,
        "apply_default_css": False,
        "elem_classes": "flat",
    }
    part.grid = gr.HTML("", elem_id="ablate-grid", **tables)
    part.effects = gr.HTML("", elem_id="ablate-effects", **tables)
    with gr.Row():
        part.report = gr.DownloadButton(words.REPORT, interactive=False, elem_id="ablate-report")
        part.archive = gr.DownloadButton(words.ARCHIVE, interactive=False, elem_id="ablate-archive")
    flat(markup.quiet(words.ARCHIVE_INFO))


def connect(page: Page, part: Parts, handle: gr.Tab, services: Services) -> None:
    question, actions = QuestionActions(services), RunningActions(services)
    _connect_question(page, part, handle, question)
    _connect_run(page, part, actions, Face(services.outputs), question)
    _connect_memory(part)
    # The browser is told of every finished cell, so that a reload can go on from it.
    follow(
        [part.grid.change],
        fn=MemoryActions(services).keep,
        inputs=to_keep(page),
        outputs=page.browser,
        **AS_SENT,
    )
    opened = [page.tabs, page.chosen, part.status]
    for table in (part.grid, part.effects):
        table.select(actions.open, part.study, opened, **QUICK)


def _asked(page: Page, part: Parts) -> list[Any]:
    """The components of `ASKED`, then the form."""
    known = {**vars(page), **vars(part)}
    return [*(known[name] for name in ASKED), *page.form]


def _connect_question(page: Page, part: Parts, handle: gr.Tab, act: QuestionActions) -> None:
    asked = _asked(page, part)
    looks = {"inputs": asked, "outputs": part.named(SEEN), **AS_SENT}
    timing: dict[str, Any] = {
        "fn": act.measure,
        "inputs": asked,
        "outputs": part.cost,
        "preprocess": False,
        "show_progress": "hidden",
        **HEAVY,
    }
    told = {**looks, "fn": act.measured}
    kept = part.named((*KEPT, "status"))
    handle.select(recall, [part.stored, part.study], kept, **QUICK).then(act.look, **looks)
    gr.on([part.source.input, part.plan.input], act.look, **looks).then(**timing).then(**told)
    for name, button in part.presets.items():
        button.click(partial(act.choose, name), **looks).then(**timing).then(**told)
    chosen = (part.parts, part.axis, part.second)
    # Gradio calls it input only where a key writes: not where text is pasted or deleted. Seeds that
    # are out of range change once more by themselves when the field is left.
    written = (part.values, part.axis_values, part.second_values, part.seeds)
    follow(
        [*(one.input for one in chosen), *(one.change for one in written),
         part.csv.upload, part.csv.clear],
        fn=act.count,
        **looks,
    )  # fmt: skip


def _connect_memory(part: Parts) -> None:
    kept = part.named(KEPT)
    follow(
        [one.change for one in (*kept, part.grid)],
        fn=keep,
        inputs=[part.study, *kept],
        outputs=part.stored,
        **AS_SENT,
    )


def _connect_run(
    page: Page, part: Parts, act: RunningActions, face: Face, question: QuestionActions
) -> None:
    shown = part.named(RUNNING)
    run = part.start.click(act.begin, part.study, shown, **QUICK).then(
        act.run,
        _asked(page, part),
        shown,
        preprocess=False,
        show_progress="hidden",
        concurrency_limit=4,  # the engine gives turns, one for a cell: others get in between
        **PRIVATE,
    )
    failed = run.failure(act.failed, part.study, shown, **QUICK)
    stopped = part.stop.click(act.stop, part.study, shown, **QUICK)
    cleared(stopped, run).then(act.let_go, part.study, shown, **QUICK)
    for end in (run, failed):
        end.then(face.strip, page.visit, page.strip, **QUICK)
    # What is left to do costs less now.
    seen = part.named(SEEN)
    for end in (run.success, failed.then):
        end(question.count, _asked(page, part), seen, **AS_SENT)


TAB = Tab("ablate", words.LABEL, CSS, lay_out, connect)
