"""The few fragments of HTML on the page. Whatever comes from outside goes through `escape`."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from . import words

if TYPE_CHECKING:
    from xpsr.prompts.budget import FittedText

HEAD = f"<h1>{escape(words.TITLE)}</h1><p>{escape(words.INTRO)}</p>"


def notice(text: str, bad: bool = False) -> str:
    """A line of status; a bad one is marked, and read out at once by a screen reader."""
    if bad:
        return f'<div class="notice" role="alert"><span class="bad">{escape(text)}</span></div>'
    return f'<div class="notice" role="status">{escape(text)}</div>'


def lines(texts: Sequence[str], bad: bool = False) -> str:
    """A notice of several lines."""
    return "".join(notice(text, bad) for text in texts)


def quiet(text: str, about: str = "") -> str:
    """A small line beside something; where there is more about it, it can be unfolded."""
    if not about:
        return f'<p class="quiet">{escape(text)}</p>'
    line = f"<summary>{escape(text)}</summary>"
    return f'<details class="quiet">{line}<p>{escape(about)}</p></details>'


def meter(fitted: FittedText | None, with_words: bool = True, *, unread: str | None = None) -> str:
    """How much of a text is read, and the words that are not. None: not known yet.

    `unread`: why none of it is.
    """
    if unread:
        return f'<div class="meter">{escape(unread)}</div>'
    if fitted is None:
        return '<div class="meter">&nbsp;</div>'
    cut = ""
    if fitted.lost and with_words:
        cut = f': <span class="cut">{escape(fitted.cut.strip())}</span>'
    full = " full" if fitted.lost else ""
    said = f"{escape(words.tokens(fitted.figures))}{cut}"
    return f'<div class="meter{full}">{said}</div>'


def steps(lines: Sequence[str]) -> str:
    """A numbered list in one row."""
    return f'<ol class="steps">{"".join(f"<li>{escape(line)}</li>" for line in lines)}</ol>'
