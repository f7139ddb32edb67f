"""Who wrote the texts on the page: what was brought, and what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from xpsr.prompts import PROMPT_NAMES, Prompts
from xpsr.prompts.provenance import Origin, Sentence, from_preset, trace_all, written
from xpsr.settings import PRESETS

from .form import MAIN_TEXTS

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
