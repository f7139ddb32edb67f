"""What triggers what. Only the endpoints of api/endpoints.py are public; all here is private."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from typing import Any

import gradio as gr

from xpsr.prompts import PROMPT_NAMES

from .. import markup
from .. import words as page_words
from ..form import MAIN_TEXTS, TEXT_SETTINGS
from ..page import Page
from ..services import Services
from ..triggers import AS_SENT, HEAVY, PRIVATE, QUICK, RECEIVED, cleared, follow
from .actions import ANOTHER_PICTURE, EXAMPLE, PRESET, Actions
from .describing import BACK, DESCRIPTION, Describing
from .fitting import DECIDING, Fitting
from .memory import RECALLED, MemoryActions, to_keep
from .runs import RunActions
from .showing import RESULT
from .text_actions import NEGATIVE_TEXTS, TextActions
from .wiring_runs import connect_runs

STOPPING = markup.notice(page_words.STOPPING)
OFF = {"__type__": "update", "interactive": False}


def _pressing_stop(*shown: Any) -> str:
    """Said by the browser itself, at once; see `RECEIVED` as well."""
    values = shown[0] if len(shown) == 1 else list(shown)
    return f"() => {{ window.xpsrStop = performance.now(); return {json.dumps(values)} }}"


def connect(demo: gr.Blocks, page: Page, services: Services) -> Any:
    """Tie the components of a page to their handlers, inside the present `gr.Blocks`.

    Returns the event after which the page has got back what the browser remembers.
    """
    actions, texts = Actions(services), TextActions(services.engine)
    run = _connect_describing(demo, page, Describing(services.engine))
    pictures = _connect_picture(page, actions, run)
    changed = [*pictures, *_connect_run(page, actions)]
    connect_runs(page, RunActions(services))
    read = _connect_texts(page, texts)
    tell_preset = _connect_form(demo, page, actions, read)
    back = _connect_memory(demo, page, MemoryActions(services), changed)
    back.then(**tell_preset)
    _connect_fitting(page, Fitting(services.engine), [*pictures, back])
    return back


def _connect_picture(page: Page, actions: Actions, describing: Any) -> list[Any]:
    """Returns the events that bring another picture, or take it away."""
    texts = page.named(MAIN_TEXTS)
    other_picture: dict[str, Any] = {**QUICK, "cancels": [describing]}
    page.picture.upload(None, js="() => { window.xpsrReceiving = true }", **PRIVATE)
    brought = page.picture.upload(
        actions.receive,
        [page.picture, page.visit, *texts, page.written, page.before],
        page.named(ANOTHER_PICTURE),
        preprocess=False,
        **other_picture,
    )
    brought.then(None, js="() => { window.xpsrReceiving = false }", **PRIVATE)
    changed = [
        brought,
        page.picture.clear(
            actions.clear, page.visit, [page.picture_note, page.status], **other_picture
        ),
    ]
    if page.examples is not None:
        opened = page.examples.select(
            actions.choose_example,
            [page.visit, page.against, *texts, page.written, page.before, page.settings["seed"]],
            page.named(EXAMPLE),
            preprocess=False,  # a seed that is out of its range must not be in the way
            **other_picture,
        )
        changed.append(opened)
    return changed


def _connect_describing(demo: gr.Blocks, page: Page, describing: Describing) -> Any:
    """Returns the run, for whatever ends it."""
    demo.load(describing.introduce, None, page.describer, **QUICK)
    texts = page.named(MAIN_TEXTS)
    shown = page.named(DESCRIPTION)
    kept = [*texts, page.written, page.visit]
    begun = page.describe.click(describing.begin, kept, shown, **QUICK)
    run = begun.then(None, js=RECEIVED, **PRIVATE).then(
        describing.describe,
        [page.picture, page.before, *texts, page.visit],
        shown,
        preprocess=False,
        show_progress="hidden",
        concurrency_limit=4,
        **PRIVATE,
    )
    # Comes after a Stop as well, once the describer has let go, and as the only one.
    run.failure(describing.stopped, [page.before, page.visit], shown, **QUICK)
    page.stop_describing.click(
        None, None, page.picture_note, js=_pressing_stop(STOPPING), cancels=[run], **PRIVATE
    )
    page.stop_describing.click(describing.stop, page.visit, None, **QUICK)
    page.back_to_mine.click(
        describing.back,
        [page.visit, page.written, page.before, *page.form],
        page.named(BACK),
        cancels=[run],
        **AS_SENT,
    )
    return run


def _connect_run(page: Page, actions: Actions) -> list[Any]:
    """Returns the events after which a run is waited for, or no longer."""
    result = page.named(RESULT)
    begun = page.restore.click(actions.begin, page.visit, result, **QUICK)
    run = begun.then(None, js=RECEIVED, **PRIVATE).then(
        actions.restore,
        [
            page.picture,
            page.visit,
            page.against,
            page.preset,
            page.learned,
            page.written,
            *page.form,
        ],
        result,
        preprocess=False,
        show_progress="minimal",
        show_progress_on=page.status,
        **HEAVY,
    )
    failed = run.failure(actions.failed, page.visit, result, **QUICK)
    # Once more by itself: what a run sends to a gallery while it goes on does not always arrive.
    run.then(actions.face.strip, page.visit, page.strip, **QUICK)
    said = _pressing_stop(STOPPING, OFF)
    page.stop.click(None, None, [page.status, page.stop], js=said, **PRIVATE)
    stopped = page.stop.click(actions.stop, page.visit, None, **QUICK)
    cleared(stopped, run).then(actions.let_go, page.visit, result, **QUICK)
    return [begun, run, failed, stopped]


def _connect_form(
    demo: gr.Blocks, page: Page, actions: Actions, read: dict[str, Any]
) -> dict[str, Any]:
    """Returns the event that tells of a preset anew."""
    page.new_seed.click(actions.new_seed, None, page.settings["seed"], **QUICK)
    drawn = [page.visit, *page.named(("start", "scheduler"))]
    another = page.another.click(actions.another, drawn, page.settings["seed"], **QUICK)
    another.success(None, js="() => document.querySelector('#restore').click()", **PRIVATE)
    another.failure(actions.why_not, drawn, page.status, **QUICK)
    tell_preset: dict[str, Any] = {
        "fn": actions.tell_preset,
        "inputs": [page.preset, *page.form],
        "outputs": page.preset_note,
        **AS_SENT,
    }
    # Not when the preset changes: what it brings comes a moment later.
    follow([one.change for one in page.settings.values()], **tell_preset)
    page.preset.input(
        actions.choose_preset,
        [page.preset, page.visit, page.written, *page.form],
        page.named(PRESET),
        **AS_SENT,
    ).then(**tell_preset)
    # Its values are gone from the form, so one's own preset is no longer the chosen one.
    gr.on([page.preset.input, page.preset.change], lambda: None, None, page.own_preset, **QUICK)
    # The meters need the model's tokenizer, so they come when the model has come.
    demo.load(
        actions.greet,
        None,
        page.banner,
        concurrency_limit=None,
        show_progress="hidden",
        **PRIVATE,
    ).then(**read)
    return tell_preset


def reading(page: Page, actions: TextActions) -> dict[str, Any]:
    """The event that reads the texts anew, as the present model does."""
    meters = [page.meters[name] for name in PROMPT_NAMES if name in page.meters]
    texts, settings = page.named(PROMPT_NAMES), page.named(TEXT_SETTINGS)
    return {
        "fn": actions.read,
        "inputs": [page.preset, page.written, *texts, *settings],
        "outputs": [*meters, *page.chips.values(), *page.undo.values(), page.wording],
        **QUICK,
    }


def _connect_texts(page: Page, actions: TextActions) -> dict[str, Any]:
    """Meters, origins and the tools of the texts; returns the event that reads them anew."""
    read = reading(page, actions)
    follow([one.change for one in read["inputs"]], **read)
    known = [page.visit, page.written]
    for name in MAIN_TEXTS:
        text, undo = page.texts[name], partial(actions.as_brought, name)
        page.undo[name].click(undo, [*known, text], [text, page.own_texts], **QUICK)
    low = page.texts["lowlevel_prompt"]
    page.opposite.click(
        actions.turn_round, [*known, low], [low, page.text_note, page.own_texts], **QUICK
    )
    low.input(lambda: "", None, page.text_note, **QUICK)
    for name, button in page.negatives.items():
        negatives = page.named(NEGATIVE_TEXTS)
        button.click(
            partial(actions.choose_negatives, name),
            [*known, *negatives],
            [*negatives, page.settings["negative"], page.own_texts],
            **QUICK,
        )
    return read


def _connect_fitting(page: Page, fitting: Fitting, events: Sequence[Any]) -> None:
    """Told anew after `events`, which bring another picture, and when another size is chosen."""
    check: dict[str, Any] = {
        "fn": fitting.check,
        "inputs": [page.visit, page.preset, *page.form],
        "outputs": [page.size_note, page.upscale_note, page.largest],
        **AS_SENT,
    }
    for event in events:
        event.then(**check)
    follow([page.settings[name].change for name in DECIDING], **check)
    page.largest.click(fitting.largest, page.visit, page.settings["upscale"], **QUICK)


def _connect_memory(
    demo: gr.Blocks, page: Page, memory: MemoryActions, events: Sequence[Any]
) -> Any:
    """Bring back what the browser remembers, then keep every change, and what `events` change."""
    kept = {
        "fn": memory.keep,
        "inputs": to_keep(page),
        "outputs": page.browser,
        **AS_SENT,
    }
    recalled = demo.load(memory.recall, [page.browser, page.visit], page.named(RECALLED), **QUICK)
    back = recalled.then(lambda: True, None, page.back, **QUICK)
    back.then(**kept)
    # What is shown, pinned and in the strip changes with the last three.
    texts = (page.preset, page.written, page.before)
    changed = (*page.form, *texts, page.comparison, page.strip, page.pin)
    triggers = [one.change for one in changed if hasattr(one, "change")] + [page.pin.click]
    follow(triggers, **kept)
    for event in events:
        event.then(**kept)
    page.hide_greeting.click(
        lambda: (gr.update(visible=False), True), None, [page.greeting, page.greeted], **QUICK
    ).then(**kept)
    return back
