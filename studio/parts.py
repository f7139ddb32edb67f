"""Components that stand on more than one tab; see divider.py as well."""

from __future__ import annotations

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import gradio as gr

from . import words


class Parts(SimpleNamespace):
    """The components of a tab by role: each is put in where it is built."""

    def named(self, names: Iterable[str]) -> list[Any]:
        return [getattr(self, name) for name in names]


def flat(text: str = "", **named: Any) -> gr.HTML:
    """Text that stands on the page itself, without a box around it."""
    return gr.HTML(text, elem_classes="flat", **named)


def when_said(elem_id: str) -> gr.HTML:
    """The same where there mostly is nothing to say, which takes no room then."""
    return gr.HTML(elem_id=elem_id, elem_classes=["flat", "when-said"])


def small(label: str, elem_id: str, kind: Any = gr.Button, visible: bool = True) -> Any:
    """A button in a line of text."""
    return kind(
        label, size="sm", min_width=80, visible=visible, elem_id=elem_id, elem_classes="small"
    )


def stop_button(elem_id: str, scale: int = 1) -> gr.Button:
    """It can be pressed once there is a run. `scale`: its width, where Start has 3."""
    return gr.Button(words.STOP, interactive=False, scale=scale, min_width=80, elem_id=elem_id)


def picture(label: str, elem_id: str, *classes: str, **named: Any) -> gr.Image:
    """One to look at, which loses nothing on its way."""
    return gr.Image(
        label=label,
        alt_text=label,
        format="png",
        interactive=False,
        buttons=["fullscreen"],
        elem_id=elem_id,
        elem_classes=list(classes),
        **named,
    )


def kept_by_browser(key: str) -> gr.BrowserState:
    """Found again after a reload, and after a restart of the server.

    By itself Gradio scrambles it with a secret that changes at every start. The fixed one hides
    nothing: whoever can read the browser's storage can read the page as well.
    """
    return gr.BrowserState(None, storage_key=key, secret=key)
