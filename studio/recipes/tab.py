"""The Recipes tab: this visit's runs, recipes brought back, and presets of one's own."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import gradio as gr

from .. import markup
from ..parts import Parts, flat, kept_by_browser, picture
from ..tab import Tab
from ..triggers import AS_SENT, PRIVATE, QUICK
from . import words
from .actions import APPLIED, BROUGHT, RUN, Recipes
from .preset_actions import SHELF, PresetActions
from .presets import MAX_NAME

if TYPE_CHECKING:
    from ..opening import Opening
    from ..page import Page
    from ..services import Services

CSS = """
#recipes-list .wrap { display: flex; flex-direction: column; gap: 4px; max-height: 300px;
  overflow-y: auto; flex-wrap: nowrap; }
#recipes-list label { width: 100%; border-radius: .4rem; font-variant-numeric: tabular-nums; }
#recipes-list label span { white-space: normal; overflow-wrap: anywhere; }
/* No buttons over nothing. */
#recipes-runs:not(:has(#recipes-list)) #recipes-tools { display: none; }
#recipes-picture img { max-height: 260px; object-fit: contain !important; }
#recipes-preview h4 { margin: .8rem 0 .2rem; font-size: .95rem; }
#recipes-preview:not(:has(h4)) { display: none; }
#recipes-rerun textarea { font-family: var(--font-mono); font-size: .85rem; }
"""


def lay_out(opening: Opening) -> Parts:
    part = Parts()
    with gr.Row(equal_height=False):
        with gr.Column(scale=5, min_width=320, elem_id="recipes-runs"):
            _runs(part)
        with gr.Column(scale=6, min_width=320):
            _opening_a_recipe(part)
    with gr.Accordion(words.PRESETS, open=True, elem_id="recipes-presets"):
        part.shelf = _presets()
    return part


def _runs(part: Parts) -> None:
    gr.Markdown(f"#### {words.RUNS}")
    part.runs = gr.Radio(
        [], label=words.CHOOSE_RUN, info=words.RUNS_INFO, visible=False, elem_id="recipes-list"
    )
    part.details = flat(markup.quiet(words.NO_RUNS), elem_id="recipes-details")
    part.picture = picture(words.RUN_PICTURE, "recipes-picture", show_label=False, visible=False)
    with gr.Column(elem_id="recipes-tools"):
        _tools(part)


def _tools(part: Parts) -> None:
    """What may be done with the chosen run, and with all of them."""
    off: dict[str, Any] = {"interactive": False, "min_width": 150}
    with gr.Row():
        part.save_png = _button(words.SAVE_PNG, "save-png", gr.DownloadButton, **off)
        part.save_json = _button(words.SAVE_JSON, "save-json", gr.DownloadButton, **off)
    with gr.Row():
        part.use = _button(words.USE, "use", **off)
        part.compare = _button(words.COMPARE, "compare", **off)
    part.rerun = gr.Textbox(
        label=words.RERUN,
        info=words.RERUN_INFO,
        interactive=False,
        lines=1,
        max_lines=4,
        buttons=["copy"],
        visible=False,
        elem_id="recipes-rerun",
    )
    part.make_zip = _button(words.MAKE_ZIP, "make-zip", interactive=False)
    part.zip_note = flat(markup.notice(""), elem_id="recipes-zip-note")
    part.save_zip = _button(words.SAVE_ZIP, "save-zip", gr.DownloadButton, visible=False)


def _opening_a_recipe(part: Parts) -> None:
    gr.Markdown(f"#### {words.OPEN}")
    part.drop = gr.File(label=words.DROP, height=150, elem_id="recipes-drop")
    flat(markup.quiet(words.DROP_INFO))
    part.recipe = gr.State(None)
    part.note = flat(markup.notice(""), elem_id="recipes-note")
    part.preview = flat(elem_id="recipes-preview")
    with gr.Row(visible=False, elem_id="recipes-decision") as part.decision:
        part.apply = gr.Button(
            words.APPLY, variant="primary", min_width=100, elem_id="recipes-apply"
        )
        part.apply_texts = gr.Button(
            words.APPLY_TEXTS, min_width=100, elem_id="recipes-apply-texts"
        )
        part.cancel = gr.Button(words.CANCEL, min_width=100, elem_id="recipes-cancel")


def _presets() -> Parts:
    shelf = Parts(
        stored=kept_by_browser("xpsr-studio-presets"),
        gone=gr.State(None),  # the preset that was deleted last
    )
    flat(markup.quiet(words.PRESETS_INFO))
    with gr.Row(equal_height=False):
        with gr.Column(min_width=300):
            shelf.chosen = gr.Dropdown(
                [],
                label=words.PRESET_CHOSEN,
                info=words.PRESET_CHOSEN_INFO,
                elem_id="recipes-preset",
                filterable=False,
            )
            with gr.Row():
                shelf.load = _button(words.PRESET_LOAD, "preset-load")
                shelf.replace = _button(words.PRESET_REPLACE, "preset-replace")
                shelf.delete = _button(words.PRESET_DELETE, "preset-delete")
        with gr.Column(min_width=300):
            shelf.name = gr.Textbox(
                label=words.PRESET_NAME,
                info=words.PRESET_NAME_INFO,
                max_length=MAX_NAME,
                elem_id="recipes-preset-name",
            )
            with gr.Row():
                shelf.save = _button(words.PRESET_SAVE, "preset-save")
                shelf.rename = _button(words.PRESET_RENAME, "preset-rename")
    shelf.note = flat(markup.notice(""), elem_id="recipes-preset-note")
    shelf.undo = gr.Button(
        words.PRESET_UNDO, size="sm", visible=False, elem_id="recipes-preset-undo"
    )
    with gr.Row():
        shelf.export = gr.DownloadButton(
            words.PRESET_EXPORT, size="sm", interactive=False, elem_id="recipes-preset-export"
        )
        shelf.bring = gr.UploadButton(
            words.PRESET_IMPORT, size="sm", elem_id="recipes-preset-import"
        )
    return shelf


def _button(label: str, name: str, kind: Any = gr.Button, min_width: int = 80, **named: Any) -> Any:
    return kind(label, size="md", min_width=min_width, elem_id=f"recipes-{name}", **named)


def connect(page: Page, part: Parts, handle: gr.Tab, services: Services) -> None:
    actions = Recipes(services)
    run = part.named(RUN)
    brought = part.named(BROUGHT)
    form = [page.picture, page.preset, *page.form]
    listed = [part.runs, part.make_zip, *run]
    handle.select(actions.list_runs, [page.visit, part.runs], listed, **AS_SENT)
    part.runs.input(actions.show_run, part.runs, run, **AS_SENT)
    part.make_zip.click(
        actions.pack,
        page.visit,
        [part.zip_note, part.save_zip],
        show_progress="minimal",
        concurrency_limit=1,
        **PRIVATE,
    )
    bring: dict[str, Any] = {"outputs": brought, **AS_SENT}
    part.drop.upload(actions.bring_file, [part.drop, *form], **bring)
    part.use.click(actions.bring_run, [part.runs, *form], **bring)
    part.compare.click(
        actions.compare,
        [part.runs, page.visit],
        [page.tabs, page.chosen],
        **AS_SENT,
    )
    page.picture.change(actions.notice_recipe, page.picture, [page.offer, page.carries], **AS_SENT)
    page.see_recipe.click(actions.see_recipe, form, [*brought, page.tabs], **AS_SENT)
    applied = [*page.named(name for name in APPLIED if name not in BROUGHT), *brought]
    given = [part.recipe, page.before, page.visit, page.written, *page.form]
    for button, everything in ((part.apply, True), (part.apply_texts, False)):
        apply = partial(actions.apply, everything=everything)
        button.click(apply, given, applied, **AS_SENT)
    gr.on([part.cancel.click, part.drop.clear], actions.cancel, None, brought, **QUICK)
    # Recipes cannot be compared as Gradio compares states, so what is shown of them is followed.
    part.preview.change(actions.empty, part.recipe, part.drop, **QUICK)
    _connect_presets(page, part.shelf, handle, PresetActions(services))


def _connect_presets(page: Page, shelf: Parts, handle: gr.Tab, actions: PresetActions) -> None:
    filled, form = shelf.named(SHELF), [page.preset, *page.form]
    stored, chosen, name = shelf.named(("stored", "chosen", "name"))
    handle.select(actions.enter, [stored, chosen], filled, **AS_SENT)
    shelf.save.click(actions.save, [stored, name, *form], filled, **AS_SENT)
    shelf.replace.click(actions.replace, [stored, chosen, *form], filled, **AS_SENT)
    shelf.rename.click(actions.rename, [stored, chosen, name], filled, **AS_SENT)
    shelf.delete.click(actions.delete, [stored, chosen], filled, **AS_SENT)
    shelf.undo.click(actions.undo, [stored, shelf.gone], filled, **AS_SENT)
    shelf.bring.upload(actions.bring, [stored, chosen, shelf.bring], filled, **AS_SENT)
    for chosen_by, one, note in (
        (shelf.load.click, chosen, shelf.note),
        (page.own_preset.input, page.own_preset, page.status),
    ):
        given = [stored, one, page.visit, page.written, *form]
        chosen_by(actions.load, given, [note, page.own_texts, *page.form], **AS_SENT)
    # When the page opens, and whenever a preset comes or goes.
    gr.on(None, actions.offer, stored, page.own_preset, **AS_SENT)


TAB = Tab("recipes", words.TAB, CSS, lay_out, connect)
