"""What happens to the texts on the page: who wrote them, what the model reads, and their tools."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import gradio as gr

from xpsr.errors import XPSRError
from xpsr.prompts import NEGATIVES, PROMPT_NAMES, Prompts
from xpsr.prompts.opposite import opposite
from xpsr.prompts.provenance import Origin, Sentence, from_preset, trace_all, written
from xpsr.settings import PRESETS, Settings

from .. import markup
from ..form import MAIN_TEXTS, TEXT_SETTINGS
from ..models.engine import Engine
from . import wording

if TYPE_CHECKING:
    from xpsr.pipeline import Restored
    from xpsr.prompts.describer import Description
    from xpsr.recipe import Recipe

# The sentences of the texts as a describer, an example or a recipe brought them, in the order of
# `PROMPT_NAMES`: the two main ones, and the further ones where a recipe brought these as well.
Brought = tuple[tuple[Sentence, ...], ...]
NOTHING_BROUGHT: Brought = ((), ())


def joined(sentences: Sequence[Sentence]) -> str:
    return "".join(sentence.text for sentence in sentences)


def described(said: Description, before: Brought = NOTHING_BROUGHT) -> Brought:
    """What a describer brings: the two main texts. The others are as they were before."""
    origin = Origin.of_source(said.source)
    return written(said.high, origin), written(said.low, origin), *further(before)


def further(brought: Brought) -> Brought:
    """Those that belong to no picture: all but the two main ones."""
    return brought[len(MAIN_TEXTS) :]


def restored(recipe: Recipe) -> Brought:
    """What a recipe brings: all five."""
    return tuple(
        tuple(Sentence(one.text, one.origin.restored()) for one in recipe.sentences(name))
        for name in PROMPT_NAMES
    )


def origins(
    prompts: Prompts, preset: str, brought: Brought = NOTHING_BROUGHT
) -> dict[str, tuple[Sentence, ...]]:
    """Who wrote the sentences of each text, as they are now.

    The further texts may be those of another preset than the chosen one: a recipe or one of the
    buttons brings them.
    """
    known = [from_preset(name) for name in dict.fromkeys((preset, *PRESETS))]
    others = {name: [one for told in known for one in told[name]] for name in PROMPT_NAMES}
    first = dict(zip(PROMPT_NAMES, brought, strict=False))
    whole = {name: [*first.get(name, ()), *others[name]] for name in PROMPT_NAMES}
    return trace_all(prompts, {**whole, **{name: first[name] for name in MAIN_TEXTS}})


def with_origins(restored: Restored, preset: str, brought: Brought = NOTHING_BROUGHT) -> Restored:
    """A result whose recipe tells who wrote the sentences."""
    told = origins(restored.recipe.prompts, preset, brought)
    return replace(restored, recipe=restored.recipe.with_provenance(told))


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
        meters = exact.high, exact.low, exact.negative_high, exact.negative_low
        now = prompts.prompt, prompts.lowlevel_prompt
        changed = [
            bool(old) and joined(old) != text for old, text in zip(brought, now, strict=False)
        ]
        return (
            *map(markup.meter, meters),
            *(wording.chips(told[name]) for name in MAIN_TEXTS),
            *(gr.update(visible=one) for one in changed),
            wording.details(exact, told, brought, steered=settings.guided),
        )

    def as_brought(self, index: int, brought: Brought) -> Any:
        """One text as it was described; undone edits are edits themselves, so nothing is lost."""
        return joined(brought[index]) or gr.skip()

    def turn_round(self, text: str) -> tuple[Any, str]:
        """The opposite of the quality text, or why it has none."""
        try:
            return opposite(Prompts(lowlevel_prompt=text).lowlevel_prompt), ""
        except XPSRError as error:
            return gr.skip(), markup.notice(str(error), bad=True)

    def choose_negatives(self, name: str) -> tuple[str, str, str]:
        """A named pair of negative texts, and where the model is steered away from them."""
        return *NEGATIVES[name], "high" if name == "paper" else "both"
