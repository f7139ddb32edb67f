"""A divider between two pictures, and a labelled slider that moves it from the keyboard."""

from __future__ import annotations

import gradio as gr

from .triggers import PRIVATE

_MOVE = "(position) => ({__type__: 'update', slider_position: position})"


def lay_out_divider(
    label: str,
    moved: tuple[str, str],
    elem_ids: tuple[str, str],
    pair: tuple[str, str] | None = None,
    visible: bool = True,
) -> tuple[gr.ImageSlider, gr.Slider]:
    """Build both inside the present container.

    Args:
        label: of the pictures.
        moved: label and info of the slider.
        elem_ids: of the pictures, and of the slider.
        pair: the pictures that are shown at once.
        visible: whether the pictures are.
    """
    pictures = gr.ImageSlider(
        pair,
        label=label,
        type="filepath",
        format="png",  # the default, webp, is lossy
        interactive=False,
        buttons=["fullscreen"],
        max_height=760,
        visible=visible,
        elem_id=elem_ids[0],
        elem_classes="divided",
    )
    position = gr.Slider(
        0,
        100,
        50,
        step=1,
        label=moved[0],
        info=moved[1],
        buttons=[],
        elem_id=elem_ids[1],
        elem_classes="moves-divider",
    )
    return pictures, position


def connect_divider(position: gr.Slider, pictures: gr.ImageSlider) -> None:
    """The slider moves the divider, in the browser alone."""
    position.input(None, position, pictures, js=_MOVE, **PRIVATE)
