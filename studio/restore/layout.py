"""The components of the first tab and where they stand. No logic: see wiring.py and actions.py."""

from __future__ import annotations

import gradio as gr

from xpsr.prompts import MAX_CHARACTERS

from .. import markup
from ..opening import Opening
from ..parts import Parts, flat, small, stop_button, when_said
from . import words
from .advanced import lay_out_advanced
from .bringing import BRING_PICTURE
from .result_layout import lay_out_closer, lay_out_result


def lay_out_restoring(part: Parts, opening: Opening) -> None:
    """What goes in on the left, results on the right; components by their name in `Page`."""
    part.texts, part.meters, part.settings = {}, {}, {}
    _greeting(part)
    with gr.Row():
        with gr.Column(scale=5, min_width=320):
            _picture(part)
            _main_texts(part, opening)
            _run_buttons(part)
            part.examples = _examples(opening)
        with gr.Column(scale=8, min_width=320):
            lay_out_result(part, opening)
    part.closer = lay_out_closer()
    with gr.Accordion(words.WORDING, open=False, elem_id="wording"):
        part.wording = flat(markup.quiet(words.WORDING_WAITS))
    with gr.Accordion(words.ADVANCED, open=False, elem_id="advanced"):
        lay_out_advanced(part, opening)
    with gr.Accordion(words.HELP, open=False):
        gr.Markdown(words.HELP_TEXT.format(gigabytes=opening.gigabytes))


def _greeting(part: Parts) -> None:
    """Four steps for the first visit."""
    with gr.Row(elem_id="greeting", visible=True) as part.greeting:
        flat(markup.steps(words.FIRST_STEPS))
        part.hide_greeting = gr.Button(
            words.HIDE_STEPS, size="sm", min_width=80, scale=0, elem_id="hide-greeting"
        )
    # What the page tells of itself; it is no secret, and no decision hangs on it.
    part.greeted = gr.Checkbox(False, visible=False, label="greeted")
    part.back = gr.Checkbox(False, visible=False, label="back")


def _picture(part: Parts) -> None:
    with gr.Column(elem_classes="tight"):
        part.picture = gr.Image(
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
        part.picture_note = flat(
            markup.notice(""), js_on_load=BRING_PICTURE, elem_id="picture-note"
        )
        with gr.Row(visible=False, elem_id="own-texts", elem_classes="under") as part.own_texts:
            part.back_to_mine = small(words.BACK_TO_MINE, "back-to-mine")
        with gr.Row(visible=False, elem_id="offer", elem_classes="under") as part.offer:
            part.carries = flat(elem_id="offer-note")
            part.see_recipe = small(words.SEE_RECIPE, "offer-see")
    with gr.Column(elem_classes="tight"):
        part.describe = gr.Button(words.DESCRIBE, size="md", elem_id="describe")
        part.stop_describing = gr.Button(
            words.DESCRIBE_STOP, size="md", visible=False, elem_id="stop-describing"
        )
        part.describer = flat(markup.quiet(""), elem_id="describer")


def _main_texts(part: Parts, opening: Opening) -> None:
    part.chips, part.undo = {}, {}
    for name, label, info, empty in (
        ("prompt", words.HIGH, words.HIGH_INFO, words.HIGH_EMPTY),
        ("lowlevel_prompt", words.LOW, words.LOW_INFO, words.LOW_EMPTY),
    ):
        with gr.Column(elem_classes="tight"):
            part.texts[name] = gr.Textbox(
                opening.texts[name],
                label=label,
                info=info,
                placeholder=empty,
                lines=2,
                max_lines=6,
                max_length=MAX_CHARACTERS,
                elem_id=name,
            )
            part.meters[name] = flat(markup.meter(None), elem_id=f"{name}-meter")
            with gr.Row(elem_classes="under"):
                part.chips[name] = flat(elem_id=f"{name}-chips")
                if name == "lowlevel_prompt":
                    part.opposite = small(words.OPPOSITE, "opposite")
                part.undo[name] = small(words.AS_DESCRIBED, f"{name}-undo", visible=False)
    part.text_note = when_said("text-note")


def _run_buttons(part: Parts) -> None:
    part.size_note = when_said("size-note")
    part.largest = gr.Button(words.enlarge(1), size="md", visible=False, elem_id="largest")
    with gr.Row():
        part.restore = gr.Button(words.RESTORE, variant="primary", scale=3, elem_id="restore")
        part.stop = stop_button("stop")


def _examples(opening: Opening) -> gr.Gallery | None:
    if not opening.example_pictures:
        return None
    pairs = zip(opening.example_pictures, opening.example_titles, strict=True)
    return gr.Gallery(
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
