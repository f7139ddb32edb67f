"""What a tab behind the first one is: components and wiring, in a folder of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import gradio as gr

if TYPE_CHECKING:
    from .opening import Opening
    from .page import Page
    from .parts import Parts
    from .services import Services


@dataclass(frozen=True)
class Tab:
    """One tab.

    Attributes:
        id: what `gr.Tabs(selected=…)` takes.
        label: what stands on it.
        css: its looks.
        lay_out: builds the components inside the present `gr.Tab` and returns them.
        connect: ties them to their handlers: (page, what `lay_out` returned, the `gr.Tab`,
            services). Lists of runs are read anew when the tab is selected.
    """

    id: str
    label: str
    css: str
    lay_out: Callable[[Opening], Parts]
    connect: Callable[[Page, Parts, gr.Tab, Services], None]
