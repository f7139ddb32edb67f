"""The Batch tab: many pictures, a line each."""

from __future__ import annotations

from typing import Any

import gradio as gr

from .. import markup
from ..divider import connect_divider, lay_out_divider
from ..opening import Opening
from ..page import Page
from ..parts import Parts, flat, kept_by_browser, small, stop_button
from ..services import Services
from ..tab import Tab
from ..triggers import AS_SENT, HEAVY, PRIVATE, QUICK, bring_into_view, cleared
from . import words
from .actions import SHOWN, BatchActions
from .batch import Batch
from .bringing import BRING_FILES
from .memory import STORAGE_KEY
from .table import CHOOSE
from .table import CSS as TABLE_CSS

CSS = (
    TABLE_CSS
    + """
#batch-files { min-height: 220px; }
#batch-zip:disabled { display: none; }
.column:not(:has(> #batch-comparison)) > .form:has(#batch-position) { display: none; }
"""
)
# The file is made when it is asked for; then the button that has it is pressed.
FOLLOW = "() => document.querySelector('#batch-zip-file').click()"


def lay_out(opening: Opening) -> Parts:
    """What goes in on the left, the table and the results on the right."""
    part = Parts(
        intro=flat(markup.quiet(words.INTRO), js_on_load=BRING_FILES),
        batch=gr.State(Batch()),
        stored=kept_by_browser(STORAGE_KEY),
        turn=gr.State(0),  # its change calls for the next picture
    )
    with gr.Row():
        with gr.Column(scale=5, min_width=320):
            _incoming(part)
        with gr.Column(scale=8, min_width=320):
            _results(part)
    return part


def _incoming(part: Parts) -> None:
    part.files = gr.File(
        label=words.FILES, file_count="multiple", height=220, elem_id="batch-files"
    )
    part.folder = gr.UploadButton(
        words.FOLDER, file_count="directory", size="sm", elem_id="batch-folder"
    )
    part.which = gr.Radio(
        [(label, name) for name, label in words.TEXTS_CHOICES.items()],
        value="each",
        label=words.TEXTS,
        info=words.TEXTS_INFO,
        elem_id="batch-texts",
    )
    with gr.Row():
        part.start = gr.Button(words.RESTORE_ALL, variant="primary", scale=3, elem_id="batch-start")
        part.stop = stop_button("batch-stop")
    part.retry = gr.Button(words.RETRY, visible=False, elem_id="batch-retry")


def _results(part: Parts) -> None:
    with gr.Column(elem_classes="tight"):
        part.status = flat(markup.notice(words.EMPTY), elem_id="batch-status")
        part.table = flat(js_on_load=CHOOSE, elem_id="batch-table")
    part.archive = gr.Button(words.ZIP, interactive=False, elem_id="batch-zip")
    part.zip_file = gr.DownloadButton(visible="hidden", elem_id="batch-zip-file")
    with gr.Column(elem_classes="tight"):
        with gr.Row(elem_classes="under"):
            part.caption = flat(elem_id="batch-caption")
            part.compare = small(words.COMPARE, "batch-compare", visible=False)
        part.comparison, part.position = lay_out_divider(
            words.COMPARISON,
            (words.POSITION, words.POSITION_INFO),
            ("batch-comparison", "batch-position"),
            visible=False,
        )


def connect(page: Page, part: Parts, handle: gr.Tab, services: Services) -> None:
    """Tie the tab to its handlers."""
    actions = BatchActions(services)
    filled = Parts(**vars(part), strip=page.strip).named(SHOWN)
    brought = _connect_files(part, actions, filled)
    form = [page.visit, part.which, page.preset, page.learned, page.written, *page.form]
    order = [part.turn, part.batch, *form]
    # Queued, though quick: only then does Gradio tell of the changed turn.
    quick: dict[str, Any] = {
        "preprocess": False,  # so that a number out of its range is told of in our own words
        "show_progress": "hidden",
        "concurrency_limit": None,
        **PRIVATE,
    }
    part.start.click(None, js=bring_into_view("#batch-status"), **PRIVATE)
    begun = part.start.click(actions.begin, order, filled, **quick)
    again = part.retry.click(actions.retry, order, filled, **quick)
    describing = part.turn.change(
        actions.describe,
        part.batch,
        filled,
        show_progress="hidden",
        trigger_mode="multiple",
        concurrency_limit=4,
        **PRIVATE,
    )
    restoring = describing.success(
        actions.restore,
        [part.batch, part.turn, page.visit],
        filled,
        show_progress="minimal",
        show_progress_on=part.status,
        **HEAVY,
    )
    for event in (begun, again, describing, restoring):
        event.failure(actions.refused, part.batch, filled, **QUICK)
    # At once, and once more behind the last word of whoever was at work: taking him from the queue
    # may have to wait for his present step.
    stopped = part.stop.click(actions.stop, part.batch, filled, **QUICK)
    stopped = cleared(stopped, describing, restoring)
    stopped = stopped.then(actions.stopped, part.batch, filled, **QUICK)
    part.table.click(actions.pick, part.batch, filled, **QUICK)
    connect_divider(part.position, part.comparison)
    part.compare.click(actions.compare, [part.batch, page.visit], [page.tabs, page.chosen], **QUICK)
    _connect_memory(part, handle, actions, filled, (brought, begun, again, restoring, stopped))
    part.archive.click(
        actions.pack, part.batch, [part.zip_file, part.status], show_progress="hidden", **PRIVATE
    ).success(None, js=FOLLOW, **PRIVATE)


def _connect_memory(
    part: Parts, handle: gr.Tab, actions: BatchActions, filled: list[Any], events: tuple[Any, ...]
) -> None:
    """What the browser keeps changes when something begins or ends; it comes back on opening."""
    keep: dict[str, Any] = {
        "fn": actions.keep, "inputs": part.batch, "outputs": part.stored, **QUICK
    }  # fmt: skip
    for event in events:
        event.then(**keep)
    handle.select(actions.recall, [part.stored, part.batch], filled, **QUICK)


def _connect_files(part: Parts, actions: BatchActions, filled: list[Any]) -> Any:
    """Returns the event of files that come or go."""
    part.folder.upload(actions.add_folder, [part.files, part.folder], part.files, **AS_SENT)
    part.intro.select(actions.too_many, part.batch, filled, **QUICK)
    return part.files.change(actions.receive, [part.files, part.batch], filled, **AS_SENT)


TAB = Tab("batch", words.LABEL, CSS, lay_out, connect)
