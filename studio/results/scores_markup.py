"""The table of the scores of a run."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from . import words
from .scores import Row

if TYPE_CHECKING:
    from xpsr.metrics import Metric, Score


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
