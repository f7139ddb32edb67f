"""The fragments of HTML that tell of the texts: origins, changes, and what is read of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

from xpsr.prompts import PROMPT_NAMES

from .. import markup
from ..form import MAIN_TEXTS
from ..results import changes_markup
from . import words

if TYPE_CHECKING:
    from xpsr.prompts.budget import FittedText
    from xpsr.prompts.provenance import Origin, Sentence
    from xpsr.prompts.text import EncoderTexts
    from xpsr.settings import Settings


def chips(sentences: Iterable[Sentence]) -> str:
    """How many sentences are by whom, in few words."""
    counts: dict[str, int] = {}
    for sentence in sentences:
        if sentence.text.strip():
            counts[sentence.origin.kind] = counts.get(sentence.origin.kind, 0) + 1
    made = (_chip(kind, words.origin_count(kind, count)) for kind, count in counts.items())
    return f'<div class="chips">{"".join(made)}</div>'


def _chip(kind: str, label: str) -> str:
    return f'<span class="chip chip-{escape(kind, quote=True)}">{escape(label)}</span>'


def unread(settings: Settings, one_text: bool) -> dict[str, str]:
    """Those of the four texts that the model does not read, and why.

    `one_text`: it has no branch for the faults.
    """
    why: dict[str, str] = {}
    if not settings.guided:
        why |= {"negative_high": words.EXACT_UNREAD, "negative_low": words.EXACT_UNREAD}
    if one_text:
        why |= {"low": words.LOW_UNREAD, "negative_low": words.LOW_NEGATIVE_UNREAD}
    if settings.lowlevel_route == "content":
        why["low"] = words.LOW_BEFORE
    return why


def meters(exact: EncoderTexts, unread: Mapping[str, str]) -> list[str]:
    """What stands under the box of each text: how much of it is read, or why nothing is."""
    return [
        markup.meter(getattr(exact, name), unread=unread.get(name)) for name in words.EXACT_LABELS
    ]


def details(
    exact: EncoderTexts,
    told: dict[str, tuple[Sentence, ...]],
    brought: Sequence[Sequence[Sentence]],
    unread: Mapping[str, str],
) -> str:
    """Sentence by sentence who wrote it, what was changed, and the exact four texts.

    `unread`: see there.
    """
    old: dict[str, Sequence[Sentence]] = dict(zip(PROMPT_NAMES, brought, strict=False))
    origins = "".join(
        _origins(label, told[name], old.get(name, ()))
        for name, label in words.ORIGIN_LABELS.items()
        if name in MAIN_TEXTS or told[name]
    )
    read = "".join(
        _exact(name, getattr(exact, name), unread.get(name)) for name in words.EXACT_LABELS
    )
    return (
        f"<h4>{escape(words.WRITTEN_BY)}</h4>"
        f'<div class="columns">{origins}</div>'
        f"<h4>{escape(words.EXACT)}</h4>"
        f"{markup.quiet(words.EXACT_INFO.format(room=exact.high.room // exact.high.blocks))}"
        f'<div class="columns">{read}</div>'
    )


def _origins(label: str, sentences: Sequence[Sentence], brought: Sequence[Sentence]) -> str:
    lines = "".join(
        f"<li>{_chip(sentence.origin.kind, words.ORIGINS[sentence.origin.kind])} "
        f"{escape(sentence.text.strip())}{_behind(sentence.origin)}</li>"
        for sentence in sentences
        if sentence.text.strip()
    )
    listed = f'<ul class="sentences">{lines}</ul>' if lines else markup.quiet(words.EXACT_EMPTY)
    return f"<section><h5>{escape(label)}</h5>{listed}{_changes(sentences, brought)}</section>"


def _behind(origin: Origin) -> str:
    """Who that was, for origins that have more to tell than their kind."""
    return f' <small class="quiet">({escape(origin.by)})</small>' if origin.by else ""


def _changes(sentences: Sequence[Sentence], brought: Sequence[Sentence]) -> str:
    before, after = ("".join(one.text for one in part) for part in (brought, sentences))
    if not before:
        return ""
    if before == after:
        return markup.quiet(words.UNCHANGED)
    return f"{markup.quiet(words.CHANGED)}{changes_markup.marked(before, after)}"


def _exact(name: str, fitted: FittedText, why_not: str | None) -> str:
    pieces = "".join(
        f"<span>{escape(piece.text)}</span>"
        if piece.read and not why_not
        else f'<del class="cut">{escape(piece.text)}</del>'
        for piece in fitted.pieces
    )
    shown = pieces or f'<span class="quiet">{escape(words.EXACT_EMPTY)}</span>'
    told = markup.meter(fitted, with_words=False, unread=why_not)
    return (
        f'<section id="exact-{name}"><h5>{escape(words.EXACT_LABELS[name])}</h5>'
        f'<div class="exact">{shown}</div>{told}</section>'
    )
