"""The components of the first tab and where they stand. No logic: see wiring.py and actions.py."""

from __future__ import annotations

from typing import Any

import gradio as gr

from xpsr.prompts import MAX_CHARACTERS

from .. import markup
from ..opening import Opening
from ..parts import flat, small, stop_button
from . import words
from .advanced import lay_out_advanced
from .bringing import BRING_PICTURE
from .result_layout import lay_out_closer, lay_out_result


def lay_out_restoring(opening: Opening) -> dict[str, Any]:
    """What goes in on the left, results on the right; components by their name in `Page`."""
    parts = _greeting()
    with gr.Row():
        with gr.Column(scale=5, min_width=320):
            parts |= _picture()
            parts |= _main_texts(opening)
            parts |= _run_buttons()
            parts |= _examples(opening)
        with gr.Column(scale=8, min_width=320):
            parts |= lay_out_result(opening)
    parts["closer"] = lay_out_closer()
    with gr.Accordion(words.WORDING, open=False, elem_id="wording"):
        parts["wording"] = flat(markup.quiet(words.WORDING_WAITS))
    with gr.Accordion(words.ADVANCED, open=False, elem_id="advanced"):
        more = lay_out_advanced(opening)
        parts["texts"] |= more.pop("texts")
        parts["meters"] |= more.pop("meters")
        parts |= more
    with gr.Accordion(words.HELP, open=False):
        gr.Markdown(words.HELP_TEXT.format(gigabytes=opening.gigabytes))
    return parts


def _greeting() -> dict[str, Any]:
    """Four steps for the first visit."""
    with gr.Row(elem_id="greeting", visible=True) as row:
        flat(markup.steps(words.FIRST_STEPS))
        hide = gr.Button(
            words.HIDE_STEPS, size="sm", min_width=80, scale=0, elem_id="hide-greeting"
        )
    # What the page tells of itself; it is no secret, and no decision hangs on it.
    greeted = gr.Checkbox(False, visible=False, label="greeted")
    back = gr.Checkbox(False, visible=False, label="back")
    return {"greeting": row, "hide_greeting": hide, "greeted": greeted, "back": back}


def _picture() -> dict[str, Any]:
    with gr.Column(elem_classes="tight"):
        picture = gr.Image(
            label=words.PICTURE,
            alt_text=words.PICTURE,
            placeholder=words.PICTURE_DROP,
            type="filepath",
            image_mode=None,  # the file stays as it was brought; xpsr.image opens it
            sources=["upload", "clipboard"],
            buttons=[],
            height=230,
            elem_id="picture",
        )
        note = flat(markup.notice(""), js_on_load=BRING_PICTURE, elem_id="picture-note")
        with gr.Row(visible=False, elem_id="own-texts", elem_classes="under") as own_texts:
            back = small(words.BACK_TO_MINE, "back-to-mine")
        with gr.Row(visible=False, elem_id="offer", elem_classes="under") as offer:
            carries = flat(elem_id="offer-note")
            see = small(words.SEE_RECIPE, "offer-see")
    with gr.Column(elem_classes="tight"):
        describe = gr.Button(words.DESCRIBE, size="md", elem_id="describe")
        stop = gr.Button(words.DESCRIBE_STOP, size="md", visible=False, elem_id="stop-describing")
        who = flat(markup.quiet(""), elem_id="describer")
    return {
        "picture": picture,
        "picture_note": note,
        "own_texts": own_texts,
        "back_to_mine": back,
        "offer": offer,
        "carries": carries,
        "see_recipe": see,
        "describe": describe,
        "stop_describing": stop,
        "describer": who,
    }


def _main_texts(opening: Opening) -> dict[str, Any]:
    parts: dict[str, Any] = {"texts": {}, "meters": {}, "chips": {}, "undo": {}}
    for name, label, info, empty in (
        ("prompt", words.HIGH, words.HIGH_INFO, words.HIGH_EMPTY),
        ("lowlevel_prompt", words.LOW, words.LOW_INFO, words.LOW_EMPTY),
    ):
        with gr.Column(elem_classes="tight"):
            parts["texts"][name] = gr.Textbox(
                opening.texts[name],
                label=label,
                info=info,
                placeholder=empty,
                lines=2,
                max_lines=6,
                max_length=MAX_CHARACTERS,
                elem_id=name,
            )
            parts["meters"][name] = flat(markup.meter(None), elem_id=f"{name}-meter")
            with gr.Row(elem_classes="under"):
                parts["chips"][name] = flat(elem_id=f"{name}-chips")
                if name == "lowlevel_prompt":
                    parts["opposite"] = small(words.OPPOSITE, "opposite")
                parts["undo"][name] = small(words.AS_DESCRIBED, f"{name}-undo", visible=False)
    parts["text_note"] = gr.HTML(elem_id="text-note", elem_classes=["flat", "when-said"])
    return parts


def _run_buttons() -> dict[str, Any]:
    note = gr.HTML(elem_id="size-note", elem_classes=["flat", "when-said"])
    largest = gr.Button(words.enlarge(1), size="md", visible=False, elem_id="largest")
    with gr.Row():
        return {
            "size_note": note,
            "largest": largest,
            "restore": gr.Button(words.RESTORE, variant="primary", scale=3, elem_id="restore"),
            "stop": stop_button("stop"),
        }


def _examples(opening: Opening) -> dict[str, Any]:
    if not opening.example_pictures:
        return {"examples": None}
    pairs = zip(opening.example_pictures, opening.example_titles, strict=True)
    gallery = gr.Gallery(
        [(str(path), title) for path, title in pairs],
        label=words.EXAMPLES,
        columns=len(opening.example_pictures),
        object_fit="cover",
        height="auto",
        allow_preview=False,
        buttons=[],
        interactive=False,
        elem_id="examples",
        elem_classes="thumbs",
    )
    return {"examples": gallery}
