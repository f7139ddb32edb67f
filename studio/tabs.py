"""The tabs behind the first one, a folder each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gradio as gr

if TYPE_CHECKING:
    from .opening import Opening
    from .page import Page
    from .services import Services


@dataclass(frozen=True)
class Tab:
    """One tab.

    Attributes:
        id: what `gr.Tabs(selected=…)` takes.
        label: what stands on it.
        lay_out: builds the components inside the present `gr.Tab` and returns them.
        connect: ties them to their handlers: (page, what `lay_out` returned, the `gr.Tab`,
            services). Lists of runs are read anew when the tab is selected.
    """

    id: str
    label: str
    lay_out: Callable[[Opening], Any]
    connect: Callable[[Page, Any, gr.Tab, Services], None]


def all_tabs() -> tuple[Tab, ...]:
    """In the order in which they stand on the page."""
    from .ablate import tab as ablate
    from .batch import tab as batch
    from .compare import tab as compare
    from .full import tab as full
    from .recipes import tab as recipes
    from .word_maps import tab as word_maps

    return (compare.TAB, ablate.TAB, word_maps.TAB, batch.TAB, recipes.TAB, full.TAB)
