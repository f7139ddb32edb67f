"""A text taken apart into sentences, clauses or words, and the text without one of them.

Every unit knows its place in one text. Nothing is ever searched and replaced, so the same word in
another place, or in another text, is left alone.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from typing import Literal

from xpsr.prompts.sentences import split_sentences

Kind = Literal["sentence", "clause", "word"]

_CLAUSE_END = re.compile(r"[,;:]\s+|[、，；：]\s*")
_WORD = re.compile(r"\w+(?:[-'’]\w+)*")
_SEPARATOR_BEFORE = re.compile(r"[,;:、，；：]\s*$")
_STOP_BEFORE = re.compile(r"[.!?。！？][\"')\]]*\s*$")
_MARKS_BEHIND = re.compile(r"^[\s,.;:!?、，；：。！？]+")
_FINAL = re.compile(r"[.!?。！？,;:、，；：\"')\]\s]*$")


@dataclass(frozen=True)
class Unit:
    """A part of one text.

    Attributes:
        kind: "sentence" | "clause" | "word".
        start, end: its place, as in `text[start:end]`, without blanks or separators around it.
        text: the part itself.
    """

    kind: Kind
    start: int
    end: int
    text: str


def split(text: str, kind: Kind) -> list[Unit]:
    """The sentences, clauses or words of `text`, in their order.

    A clause is what stands between the commas, semicolons and colons of a sentence; its full stop
    does not belong to it.
    """
    if kind == "word":
        spans = [match.span() for match in _WORD.finditer(text)]
    else:
        spans = _sentences(text)
        if kind == "clause":
            spans = [
                part
                for start, end in spans
                for part in _clauses(text, start, _without_stop(text, start, end))
            ]
    return [
        Unit(kind, start, end, text[start:end]) for start, end in spans if text[start:end].strip()
    ]


def without(text: str, unit: Unit) -> str:
    """`text` without `unit`, with the separators around it tidied up.

    Raises:
        ValueError: the unit is not at its place in this text.
    """
    if text[unit.start : unit.end] != unit.text:
        raise ValueError("this unit is a part of another text")
    before, after = text[: unit.start], text[unit.end :]
    if unit.kind == "clause":
        separator = _CLAUSE_END.match(after)
        if separator:  # its own separator goes with it
            after = after[separator.end() :]
        else:  # the last of its sentence: the separator before it goes, the full stop stays
            before = _SEPARATOR_BEFORE.sub("", before)
    if not before.strip() or _STOP_BEFORE.search(before):
        after = _MARKS_BEHIND.sub("", after)  # nothing is left that they could end
    elif _MARKS_BEHIND.match(after) and not after[0].isspace():
        before = _SEPARATOR_BEFORE.sub("", before).rstrip()
    elif before[-1].isspace() or not after.strip():
        after = after.lstrip()
    rest = before + after
    return (rest if after else rest.rstrip()) if _WORD.search(rest) else ""


def _sentences(text: str) -> list[tuple[int, int]]:
    ends = list(itertools.accumulate(map(len, split_sentences(text))))
    return [_trimmed(text, start, end) for start, end in itertools.pairwise([0, *ends])]


def _clauses(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """Spans between the separators, which belong to none of them."""
    spans: list[tuple[int, int]] = []
    for match in _CLAUSE_END.finditer(text, start, end):
        spans.append((start, match.start()))
        start = match.end()
    spans.append((start, end))
    return [_trimmed(text, *span) for span in spans]


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    part = text[start:end]
    return start + len(part) - len(part.lstrip()), end - len(part) + len(part.rstrip())


def _without_stop(text: str, start: int, end: int) -> int:
    stop = _FINAL.search(text[start:end])
    return start + stop.start() if stop else end
