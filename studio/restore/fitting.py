"""How large the result will be, or why there can be none: told before Restore is pressed."""

from __future__ import annotations

from typing import Any

import gradio as gr

from xpsr.errors import XPSRError

from .. import labels, markup
from ..form import read_form
from ..models.engine import Engine
from ..models.work import check_work
from ..visit import Visit
from . import words

# The settings that decide it.
DECIDING = (
    "upscale",
    "process_size",
    "num_inference_steps",
    "guidance_scale",
    "tile_size",
    "tile_overlap",
)


class Fitting:
    """The handler of one studio."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def check(self, visit: Visit, preset: str, *values: Any) -> tuple[str, str, dict]:
        """The size of the result above the button; what is wrong with it beside the factor, too;
        and a button for the largest factor, where that is what is wrong."""
        from xpsr.frame import largest_upscale, plan_sizes

        hidden = gr.update(visible=False)
        if (size := visit.picture.size) is None:
            return "", "", hidden
        try:
            _, settings = read_form(preset, values)
        except XPSRError:  # a number that is out of its range: told by Restore
            return "", "", hidden
        try:
            result, _ = plan_sizes(size, settings)
            check_work(size, settings, self.engine.options.most_work)
        except XPSRError as error:
            said = labels.as_labelled(str(error))
            above = f"{said} {words.SEE_ADVANCED}"  # which is folded, and far below
            most = largest_upscale(size)
            cure = gr.update(value=words.enlarge(most), visible=settings.upscale > most)
            return markup.notice(above, bad=True), markup.notice(said, bad=True), cure
        return markup.quiet(words.enlarged(settings.upscale, result)), "", hidden

    @staticmethod
    def largest(visit: Visit) -> int:
        """The factor that the button chooses."""
        from xpsr.frame import largest_upscale

        assert visit.picture.size is not None  # else there is no button
        return largest_upscale(visit.picture.size)
