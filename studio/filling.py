"""Values for components by their names: no handler has to count the places of a tuple."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr


def fill(names: Sequence[str], /, **changes: Any) -> tuple[Any, ...]:
    """Values for the components `names`, in this order; what is not named stays as it is.

    Raises:
        TypeError: one of `changes` is none of `names`, so nobody would see it.
    """
    if unknown := changes.keys() - set(names):
        raise TypeError(f"no component takes {', '.join(sorted(unknown))}")
    return tuple(changes.get(name, gr.skip()) for name in names)
