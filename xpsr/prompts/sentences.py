"""Cuts a text into its sentences without losing a letter.

Rules instead of a trained model, because texts here are short, of any language and often mere
notes: a sentence ends at a line break, at a full stop of East Asian writing, or at `. ! ? …`
before a blank, unless the word before it is an abbreviation or an initial.
"""

from __future__ import annotations

import re

_ABBREVIATION = re.compile(
    r"approx|ca|cf|dr|e\.g|figs?|i\.e|jr|mr|mrs|ms|mt|prof|resp|sr|st|vs|bzw|d\.h|z\.b",
    re.IGNORECASE,
)
# These may stand at the end as well: they end a sentence if a capital letter follows.
_MAYBE_AT_THE_END = re.compile(r"etc|cm|mm|px|inc|ltd|max|min|u\.s|u\.k", re.IGNORECASE)

_CLOSERS = "\"'”’»)]}」』）】》"
_END = re.compile(
    rf"""
    [。！？｡]+ [{re.escape(_CLOSERS)}]* \s*      # needs no blank behind it
    | [.!?…]+ [{re.escape(_CLOSERS)}]* (?:\s+|$)   # 0.25~0.5 and file.png stay whole
    | \s*\n\s*
    """,
    re.VERBOSE,
)


def split_sentences(text: str) -> list[str]:
    """The sentences of `text`, each with the blanks behind it: joined, they are `text` again."""
    sentences, start = [], 0
    for end in _END.finditer(text):
        if text[start : end.end()].strip() and not _goes_on(text, start, end):
            sentences.append(text[start : end.end()])
            start = end.end()
    if text[start:].strip() or not sentences:
        sentences.append(text[start:])
    else:
        sentences[-1] += text[start:]
    return [sentence for sentence in sentences if sentence]


def _goes_on(text: str, start: int, end: re.Match[str]) -> bool:
    """Whether the stop belongs to a word and not to the sentence."""
    stop = end.group().strip()
    if stop != "." or "\n" in end.group() or end.end() == len(text):
        return False
    words = text[start : end.start()].split()
    word = words[-1].lstrip("(\"'“‘«[") if words else ""
    following = text[end.end()]
    if _ABBREVIATION.fullmatch(word):
        return True
    if _MAYBE_AT_THE_END.fullmatch(word):
        return not following.isupper()
    if word.lower() in ("no", "nr") and following.isdigit():
        return True
    # the J. of a name, and the 1. of a list
    initial = len(word) == 1 and word.isalpha() and word.isupper() and word != "I"
    return (initial and following.isupper()) or (word.isdigit() and len(words) == 1)
