"""The few fragments of HTML on the page. Whatever comes from outside goes through `escape`."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from . import words

if TYPE_CHECKING:
    from xpsr.metrics import Metric, Score
    from xpsr.prompts.budget import FittedText

    from .results.scores import Row

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


def meter(fitted: FittedText | None, with_words: bool = True) -> str:
    """How much of a text is read, and the words that are not. None: not known yet."""
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


def table(rows: Sequence[Row], pinned: Sequence[Row] = ()) -> str:
    """Scores before and after, with what the change means, also against a pinned run."""
    from xpsr.metrics import METRICS

    if not rows:
        return ""
    head = "".join(f'<th scope="col">{escape(text)}</th>' for text in words.SCORE_COLUMNS)
    others = {row.name: row.after.value for row in pinned}
    body = "".join(_row(row, others.get(row.name)) for row in rows)
    there = {row.name for row in rows}
    missing = [m.label for m in METRICS.values() if m.needs_download and m.name not in there]
    if missing:
        body += (
            f'<tr class="missing"><td colspan="4">'
            f"{escape(words.NEEDS_DOWNLOAD.format(names=', '.join(missing)))}</td></tr>"
        )
    return (
        f'<table class="scores"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
        f'<p class="quiet">{escape(words.SCORES_INFO)}</p>'
    )


def _row(row: Row, pinned: float | None) -> str:
    from xpsr.metrics import METRICS

    metric = METRICS[row.name]
    name = f'<th scope="row">{escape(metric.label)}</th>'
    told = escape(f"{metric.about} {words.meaning(metric)}")
    if pinned is not None and row.after.value is not None:
        compared = escape(words.against_pinned(metric, pinned, row.after.value))
        told += f'<br><span class="pinned">{compared}</span>'
    below = f'<tr class="about"><td colspan="4">{told}</td></tr>'
    if row.before.value is None and row.after.value is None:
        reason = row.after.reason or row.before.reason or ""
        return f'<tr>{name}<td class="reason" colspan="3">{escape(reason)}</td></tr>{below}'
    change = ""
    if row.before.value is not None and row.after.value is not None:
        change = words.change(metric, row.before.value, row.after.value)
    cells = (_value(metric, row.before), _value(metric, row.after), escape(change))
    return f"<tr>{name}{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>{below}"


def _value(metric: Metric, score: Score) -> str:
    return escape(score.reason or "" if score.value is None else words.figure(metric, score.value))
