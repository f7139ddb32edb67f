"""What happens to the texts on the page: what the model reads of them, and their tools."""

from __future__ import annotations

from typing import Any

import gradio as gr

from xpsr.errors import XPSRError
from xpsr.prompts import NEGATIVES, PROMPT_NAMES, Prompts
from xpsr.prompts.opposite import opposite
from xpsr.settings import Settings

from .. import markup
from ..form import MAIN_TEXTS, TEXT_SETTINGS
from ..models.engine import Engine
from ..texts import Brought, joined, origins
from ..visit import Visit
from . import wording
from .mine import set_aside

NEGATIVE_TEXTS = ("negative_prompt", "lowlevel_negative_prompt")


class TextActions:
    """The handlers around the texts of one studio."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def read(self, preset: str, brought: Brought, *values: Any) -> Any:
        """What the model will read: four meters, two chips, two undo buttons, and the details."""
        if not self.engine.ready:  # loading it is not the business of a keystroke
            return gr.skip()
        try:
            prompts = Prompts(**dict(zip(PROMPT_NAMES, values, strict=False)))
            chosen = dict(zip(TEXT_SETTINGS, values[len(PROMPT_NAMES) :], strict=True))
            settings = Settings.from_preset(preset, **chosen)
            exact = self.engine.assemble(prompts, settings)
        except XPSRError as error:
            note = markup.notice(str(error), bad=True)
            return note, *(gr.skip() for _ in range(8))
        told = origins(prompts, preset, brought)
        unread = wording.unread(settings, self.engine.reads_one_text)
        now = prompts.prompt, prompts.lowlevel_prompt
        changed = [
            bool(old) and joined(old) != text for old, text in zip(brought, now, strict=False)
        ]
        return (
            *wording.meters(exact, unread),
            *(wording.chips(told[name]) for name in MAIN_TEXTS),
            *(gr.update(visible=one) for one in changed),
            wording.details(exact, told, brought, unread),
        )

    def as_brought(self, name: str, visit: Visit, brought: Brought, text: str) -> Any:
        """One text as it was described, and the row that brings the edits back."""
        new = {name: joined(brought[PROMPT_NAMES.index(name)])}
        if not new[name]:
            return gr.skip()
        return new[name], set_aside(visit, {name: text}, new, brought)

    def turn_round(self, visit: Visit, brought: Brought, text: str) -> tuple[Any, str, Any]:
        """The opposite of the quality text, or why it has none."""
        try:
            turned = opposite(Prompts(lowlevel_prompt=text).lowlevel_prompt)
        except XPSRError as error:
            return gr.skip(), markup.notice(str(error), bad=True), gr.skip()
        now, new = {"lowlevel_prompt": text}, {"lowlevel_prompt": turned}
        return turned, "", set_aside(visit, now, new, brought)

    def choose_negatives(self, name: str, visit: Visit, brought: Brought, *values: Any) -> tuple:
        """A named pair of negative texts, and where the model is steered away from them.

        `values`: the two texts that it replaces.
        """
        now: dict[str, Any] = dict(zip(NEGATIVE_TEXTS, values, strict=True))
        new: dict[str, Any] = dict(zip(NEGATIVE_TEXTS, NEGATIVES[name], strict=True))
        where = "high" if name == "paper" else "both"
        return *NEGATIVES[name], where, set_aside(visit, now, new, brought)
