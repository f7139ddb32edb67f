"""The Recipes tab: this visit's runs, recipes brought back, and presets of one's own."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import gradio as gr

from .. import markup
from ..parts import flat, kept_by_browser, picture
from ..tab import Tab
from ..triggers import PRIVATE, QUICK
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


@dataclass(frozen=True)
class Parts:
    """The components by role; those of groups by their names there."""

    runs: gr.Radio
    run: dict[str, Any]
    make_zip: gr.Button
    zip_note: gr.HTML
    save_zip: gr.DownloadButton
    drop: gr.File
    brought: dict[str, Any]
    apply: gr.Button
    apply_texts: gr.Button
    cancel: gr.Button
    shelf: dict[str, Any]
    preset_buttons: dict[str, Any]


def lay_out(opening: Opening) -> Parts:
    parts: dict[str, Any] = {}
    with gr.Row(equal_height=False):
        with gr.Column(scale=5, min_width=320, elem_id="recipes-runs"):
            parts |= _runs()
        with gr.Column(scale=6, min_width=320):
            parts |= _opening_a_recipe()
    with gr.Accordion(words.PRESETS, open=True, elem_id="recipes-presets"):
        parts |= _presets()
    return Parts(**parts)


def _runs() -> dict[str, Any]:
    gr.Markdown(f"#### {words.RUNS}")
    runs = gr.Radio(
        [], label=words.CHOOSE_RUN, info=words.RUNS_INFO, visible=False, elem_id="recipes-list"
    )
    run: dict[str, Any] = {
        "details": flat(markup.quiet(words.NO_RUNS), elem_id="recipes-details"),
        "picture": picture(words.RUN_PICTURE, "recipes-picture", show_label=False, visible=False),
    }
    with gr.Column(elem_id="recipes-tools"):
        more = _tools(run)
    return {"runs": runs, "run": run, **more}


def _tools(run: dict[str, Any]) -> dict[str, Any]:
    """What may be done with the chosen run, and with all of them."""
    with gr.Row():
        run["save_png"] = gr.DownloadButton(
            words.SAVE_PNG, size="md", interactive=False, min_width=150, elem_id="recipes-save-png"
        )
        run["save_json"] = gr.DownloadButton(
            words.SAVE_JSON,
            size="md",
            interactive=False,
            min_width=150,
            elem_id="recipes-save-json",
        )
    with gr.Row():
        run["use"] = gr.Button(
            words.USE, size="md", interactive=False, min_width=150, elem_id="recipes-use"
        )
        run["compare"] = gr.Button(
            words.COMPARE, size="md", interactive=False, min_width=150, elem_id="recipes-compare"
        )
    run["rerun"] = gr.Textbox(
        label=words.RERUN,
        info=words.RERUN_INFO,
        interactive=False,
        lines=1,
        max_lines=4,
        buttons=["copy"],
        visible=False,
        elem_id="recipes-rerun",
    )
    return {
        "make_zip": gr.Button(
            words.MAKE_ZIP, size="md", interactive=False, elem_id="recipes-make-zip"
        ),
        "zip_note": flat(markup.notice(""), elem_id="recipes-zip-note"),
        "save_zip": gr.DownloadButton(
            words.SAVE_ZIP, size="md", visible=False, elem_id="recipes-save-zip"
        ),
    }


def _opening_a_recipe() -> dict[str, Any]:
    gr.Markdown(f"#### {words.OPEN}")
    drop = gr.File(label=words.DROP, height=150, elem_id="recipes-drop")
    flat(markup.quiet(words.DROP_INFO))
    brought: dict[str, Any] = {
        "recipe": gr.State(None),
        "note": flat(markup.notice(""), elem_id="recipes-note"),
        "preview": flat(elem_id="recipes-preview"),
    }
    with gr.Row(visible=False, elem_id="recipes-decision") as brought["decision"]:
        apply = gr.Button(words.APPLY, variant="primary", min_width=100, elem_id="recipes-apply")
        apply_texts = gr.Button(words.APPLY_TEXTS, min_width=100, elem_id="recipes-apply-texts")
        cancel = gr.Button(words.CANCEL, min_width=100, elem_id="recipes-cancel")
    return {
        "drop": drop,
        "brought": brought,
        "apply": apply,
        "apply_texts": apply_texts,
        "cancel": cancel,
    }


def _presets() -> dict[str, Any]:
    stored = kept_by_browser("xpsr-studio-presets")
    flat(markup.quiet(words.PRESETS_INFO))
    shelf: dict[str, Any] = {"stored": stored}
    buttons: dict[str, Any] = {}
    with gr.Row(equal_height=False):
        with gr.Column(min_width=300):
            shelf["chosen"] = gr.Dropdown(
                [],
                label=words.PRESET_CHOSEN,
                info=words.PRESET_CHOSEN_INFO,
                elem_id="recipes-preset",
                filterable=False,
            )
            with gr.Row():
                for name, label in (
                    ("load", words.PRESET_LOAD),
                    ("replace", words.PRESET_REPLACE),
                    ("delete", words.PRESET_DELETE),
                ):
                    buttons[name] = _button(label, f"recipes-preset-{name}")
        with gr.Column(min_width=300):
            shelf["name"] = gr.Textbox(
                label=words.PRESET_NAME,
                info=words.PRESET_NAME_INFO,
                max_length=MAX_NAME,
                elem_id="recipes-preset-name",
            )
            with gr.Row():
                for name, label in (("save", words.PRESET_SAVE), ("rename", words.PRESET_RENAME)):
                    buttons[name] = _button(label, f"recipes-preset-{name}")
    shelf["note"] = flat(markup.notice(""), elem_id="recipes-preset-note")
    shelf["gone"] = gr.State(None)  # the preset that was deleted last
    shelf["undo"] = gr.Button(
        words.PRESET_UNDO, size="sm", visible=False, elem_id="recipes-preset-undo"
    )
    with gr.Row():
        shelf["export"] = gr.DownloadButton(
            words.PRESET_EXPORT, size="sm", interactive=False, elem_id="recipes-preset-export"
        )
        buttons["bring"] = gr.UploadButton(
            words.PRESET_IMPORT, size="sm", elem_id="recipes-preset-import"
        )
    return {"shelf": shelf, "preset_buttons": buttons}


def _button(label: str, elem_id: str) -> gr.Button:
    return gr.Button(label, size="md", min_width=80, elem_id=elem_id)


def connect(page: Page, part: Parts, handle: gr.Tab, services: Services) -> None:
    actions = Recipes(services)
    run = [part.run[name] for name in RUN]
    brought = [part.brought[name] for name in BROUGHT]
    form = [page.picture, page.preset, *page.form]
    listed = [part.runs, part.make_zip, *run]
    handle.select(actions.list_runs, [page.visit, part.runs], listed, preprocess=False, **QUICK)
    part.runs.input(actions.show_run, part.runs, run, preprocess=False, **QUICK)
    part.make_zip.click(
        actions.pack,
        page.visit,
        [part.zip_note, part.save_zip],
        show_progress="minimal",
        concurrency_limit=1,
        **PRIVATE,
    )
    bring: dict[str, Any] = {"outputs": brought, "preprocess": False, **QUICK}
    part.drop.upload(actions.bring_file, [part.drop, *form], **bring)
    part.run["use"].click(actions.bring_run, [part.runs, *form], **bring)
    part.run["compare"].click(
        actions.compare,
        [part.runs, page.visit],
        [page.tabs, page.chosen],
        preprocess=False,
        **QUICK,
    )
    page.picture.change(
        actions.notice_recipe, page.picture, [page.offer, page.carries], preprocess=False, **QUICK
    )
    page.see_recipe.click(
        actions.see_recipe, form, [*brought, page.tabs], preprocess=False, **QUICK
    )
    applied = [*page.named(name for name in APPLIED if name not in BROUGHT), *brought]
    given = [part.brought["recipe"], page.before, page.visit, page.written, *page.form]
    for button, everything in ((part.apply, True), (part.apply_texts, False)):
        apply = partial(actions.apply, everything=everything)
        button.click(apply, given, applied, preprocess=False, **QUICK)
    gr.on([part.cancel.click, part.drop.clear], actions.cancel, None, brought, **QUICK)
    # Recipes cannot be compared as Gradio compares states, so what is shown of them is followed.
    part.brought["preview"].change(actions.empty, part.brought["recipe"], part.drop, **QUICK)
    _connect_presets(page, part, handle, PresetActions(services))


def _connect_presets(page: Page, part: Parts, handle: gr.Tab, actions: PresetActions) -> None:
    shelf, buttons = [part.shelf[name] for name in SHELF], part.preset_buttons
    stored, chosen, name = (part.shelf[one] for one in ("stored", "chosen", "name"))
    form = [page.preset, *page.form]
    plain: dict[str, Any] = {"preprocess": False, **QUICK}
    handle.select(actions.enter, [stored, chosen], shelf, **plain)
    buttons["save"].click(actions.save, [stored, name, *form], shelf, **plain)
    buttons["replace"].click(actions.replace, [stored, chosen, *form], shelf, **plain)
    buttons["rename"].click(actions.rename, [stored, chosen, name], shelf, **plain)
    buttons["delete"].click(actions.delete, [stored, chosen], shelf, **plain)
    part.shelf["undo"].click(actions.undo, [stored, part.shelf["gone"]], shelf, **plain)
    buttons["bring"].upload(actions.bring, [stored, chosen, buttons["bring"]], shelf, **plain)
    for chosen_by, one, note in (
        (buttons["load"].click, chosen, part.shelf["note"]),
        (page.own_preset.input, page.own_preset, page.status),
    ):
        given = [stored, one, page.visit, page.written, *form]
        chosen_by(actions.load, given, [note, page.own_texts, *page.form], **plain)
    # When the page opens, and whenever a preset comes or goes.
    gr.on(None, actions.offer, stored, page.own_preset, **plain)


TAB = Tab("recipes", words.TAB, CSS, lay_out, connect)
