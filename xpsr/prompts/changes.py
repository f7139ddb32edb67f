"""What differs between two texts, word by word."""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from typing import Literal, NamedTuple


class Change(NamedTuple):
    """A part of two texts: in both ("same"), only in the former, or only in the latter."""

    text: str
    kind: Literal["same", "removed", "added"]


def compare_words(before: str, after: str) -> list[Change]:
    """From `before` to `after` in whole words; blanks are not compared.

    The parts that are not "removed", joined, are `after`.
    """
    old, new = _words(before), _words(after)
    bare = ([word.strip() for word in words] for words in (old, new))
    match = SequenceMatcher(None, *bare, autojunk=False)
    changes: list[Change] = []
    for what, start, end, begin, finish in match.get_opcodes():
        now = "".join(new[begin:finish])
        if what == "equal":
            changes.append(Change(now, "same"))
        else:
            changes.append(Change("".join(old[start:end]), "removed"))
            changes.append(Change(now, "added"))
    return [change for change in changes if change.text]


def _words(text: str) -> list[str]:
    """Words and signs, each with the blanks behind it; letters of East Asian writing one by one."""
    letter = r"\u3040-\u30ff\u3400-\u9fff"
    word = rf"[^\W{letter}]+(?:[.~'’-]\w+)*"
    return re.findall(rf"^\s+|[{letter}]\s*|{word}\s*|\W\s*", text)
