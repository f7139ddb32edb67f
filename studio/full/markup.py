"""The fragments of HTML of the tab "Full quality"; whatever comes from outside is escaped."""

from __future__ import annotations

from html import escape

from ..models.machine import Machine
from ..models.words import size
from . import words


def now(
    model: str, base: str | None, weights: int, place: str, describer: str, machine: Machine
) -> str:
    """What is in use at the moment, as a list of terms."""
    rows = (
        (words.MODEL_NOW, words.model_now(model, base, weights, place)),
        (words.DESCRIBER_NOW, describer),
        (words.MACHINE, words.machine(machine)),
    )
    return '<dl class="facts">{}</dl>'.format(
        "".join(f"<dt>{escape(term)}</dt><dd>{escape(said)}</dd>" for term, said in rows)
    )


def requirements(machine: Machine) -> str:
    """What the parts of the full system take, and whether it is there."""
    head = "".join(f'<th scope="col">{escape(text)}</th>' for text in words.COLUMNS)
    body = "".join(_requirement(row, machine) for row in words.REQUIREMENTS)
    return f'<table class="plain needs"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def _requirement(row: words.Requirement, machine: Machine) -> str:
    cells = (
        size(row.disk) if row.disk else "–",
        size(row.memory) if row.memory else "–",
        words.verdict(row, machine),
    )
    origin = f'<a href="{escape(row.link)}" target="_blank" rel="noopener">{escape(row.origin)}</a>'
    name = f'{escape(row.name)}<br><span class="quiet">{escape(row.what)}</span>'
    where = origin if row.link else escape(row.origin)
    return (
        f'<tr><th scope="row">{name}</th><td>{where}</td>'
        + "".join(
            f'<td data-label="{escape(label)}">{escape(cell)}</td>'
            for label, cell in zip(words.COLUMNS[2:], cells, strict=True)
        )
        + "</tr>"
    )
