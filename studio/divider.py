"""A divider between two pictures, and a labelled slider that moves it from the keyboard."""

from __future__ import annotations

import gradio as gr

from .triggers import PRIVATE

_MOVE = "(position) => ({__type__: 'update', slider_position: position})"
# Gradio tells nobody that the divider was dragged. What is left of the second picture does, as long
# as it is not zoomed.
_FOLLOW = """() => document.addEventListener('pointerdown', (begun) => {
  const pictures = begun.target.closest('#%s');
  if (pictures) document.addEventListener('pointerup', () => setTimeout(() => {
    const after = pictures.querySelectorAll('img')[1];
    const slider = document.querySelector('#%s input[type=range]');
    if (!after || !slider || !after.style.transform.includes('scale(1)')) return;
    slider.value = Math.round(parseFloat(after.style.clipPath.split(' ').pop()));
    slider.dispatchEvent(new Event('input', {bubbles: true}));
  }), {once: true});
})"""


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
    """The slider moves the divider, and follows it where that is dragged; in the browser alone."""
    position.input(None, position, pictures, js=_MOVE, **PRIVATE)
    gr.on(None, None, js=_FOLLOW % (pictures.elem_id, position.elem_id), **PRIVATE)
