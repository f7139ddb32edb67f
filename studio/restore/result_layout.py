"""The column of the result: the slider, the scores, and what looks closer."""

from __future__ import annotations

import gradio as gr

from .. import markup
from ..divider import lay_out_divider
from ..opening import Opening
from ..parts import Parts, flat, picture, stop_button
from . import words
from .showing import BICUBIC, PINNED


def lay_out_result(part: Parts, opening: Opening) -> None:
    """Build it inside the present container; components by their name in `Page`."""
    with gr.Column(elem_classes="tight"):
        part.status = flat(markup.notice(opening.status or words.STATUS_EMPTY), elem_id="status")
        _pictures(part, opening)
    _tools(part, opening)
    part.strip = gr.Gallery(
        label=words.STRIP,
        columns=6,
        height="auto",
        object_fit="cover",
        allow_preview=False,
        buttons=[],
        interactive=False,
        format="jpeg",  # they are thumbnails
        elem_id="strip",
        elem_classes="thumbs",
    )
    part.scores = flat(opening.scores, elem_id="scores")
    _more_scores(part, opening)


def _pictures(part: Parts, opening: Opening) -> None:
    part.preview = gr.Image(
        label=words.PREVIEW,
        alt_text=words.PREVIEW,
        format="jpeg",
        interactive=False,
        buttons=[],
        visible=False,
        elem_id="preview",
    )
    part.comparison, part.position = lay_out_divider(
        words.COMPARED,
        (words.POSITION, words.POSITION_INFO),
        ("comparison", "position"),
        opening.pair,
    )
    part.against = gr.Radio(
        [(words.AGAINST_BICUBIC, BICUBIC), (words.AGAINST_PINNED, PINNED)],
        value=BICUBIC,
        label=words.AGAINST,
        info=words.AGAINST_INFO,
        visible=False,
        elem_id="against",
    )


def _tools(part: Parts, opening: Opening) -> None:
    there = opening.download is not None
    with gr.Row():
        part.download = gr.DownloadButton(
            words.DOWNLOAD,
            value=opening.download,
            interactive=there,
            size="md",
            min_width=200,
            scale=3,
            elem_id="download",
        )
        part.another = gr.Button(
            words.ANOTHER, interactive=there, size="md", min_width=160, scale=2, elem_id="another"
        )
    with gr.Row():
        part.recipe = gr.DownloadButton(
            words.DOWNLOAD_RECIPE,
            value=opening.recipe,
            interactive=there,
            size="md",
            min_width=140,
            scale=3,
            elem_id="download-recipe",
        )
        part.pin = gr.Button(
            words.PIN, interactive=there, size="md", min_width=140, scale=2, elem_id="pin"
        )


def _more_scores(part: Parts, opening: Opening) -> None:
    with gr.Accordion(words.MORE_SCORES, open=False, elem_id="more-scores"):
        with gr.Row(equal_height=False):
            with gr.Column(min_width=280):
                part.learned = gr.CheckboxGroup(
                    [(label, name) for name, label in opening.learned.items()],
                    label=words.METRICS,
                    info=words.METRICS_INFO,
                    elem_id="learned",
                )
            with gr.Column(min_width=280):
                part.reference = gr.Image(
                    label=words.REFERENCE,
                    alt_text=words.REFERENCE,
                    placeholder=words.REFERENCE_DROP,
                    type="filepath",
                    image_mode=None,
                    sources=["upload", "clipboard"],
                    buttons=[],
                    height=200,
                    elem_id="reference",
                )
        with gr.Row():
            part.score = gr.Button(words.SCORE_NOW, elem_id="score-now", scale=3)
            part.stop_scoring = stop_button("stop-scoring")
        part.score_note = flat(markup.notice(""), elem_id="score-note")


def lay_out_closer() -> Parts:
    """The closer look, as wide as the page: a detail takes 480 pixels, so that 1:1 is 1:1."""
    closer = Parts(open=gr.State(False))  # whether it is looked at
    with gr.Accordion(words.CLOSER, open=False, elem_id="closer") as closer.accordion:
        with gr.Row(equal_height=False):
            with gr.Column(min_width=300):
                closer.overview = picture(words.OVERVIEW, "closer-overview", "pixels", "whole")
            with gr.Column(min_width=300):
                closer.difference = picture(
                    words.DIFFERENCE, "closer-difference", "pixels", "whole"
                )
        with gr.Row():
            closer.across = _place(words.ACROSS, words.ACROSS_INFO, "closer-across")
            closer.down = _place(words.DOWN, words.DOWN_INFO, "closer-down")
            closer.zoom = gr.Radio(
                [("1:1", 1), ("2:1", 2), ("4:1", 4)],
                value=2,
                label=words.ZOOM,
                info=words.ZOOM_INFO,
                elem_id="closer-zoom",
            )
            closer.gain = gr.Slider(
                1,
                32,
                4,
                step=1,
                label=words.GAIN,
                info=words.GAIN_INFO,
                buttons=["reset"],
                elem_id="closer-gain",
            )
        with gr.Row(equal_height=False):
            with gr.Column(min_width=300):
                closer.before = picture(words.DETAIL_BEFORE, "closer-before", "pixels", "natural")
            with gr.Column(min_width=300):
                closer.after = picture(words.DETAIL_AFTER, "closer-after", "pixels", "natural")
    return closer


def _place(label: str, info: str, elem_id: str) -> gr.Slider:
    return gr.Slider(0, 100, 50, step=1, label=label, info=info, buttons=[], elem_id=elem_id)
