"""The fragments of HTML that tell two runs apart: texts word by word, and a table of the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from html import escape
from typing import TYPE_CHECKING

from xpsr.prompts.changes import compare_words

from .. import labels, markup
from . import words

if TYPE_CHECKING:
    from xpsr.prompts import Prompts
    from xpsr.recipe_changes import Difference


def texts(before: Prompts, after: Prompts, explain: str) -> str:
    """The five texts, each with its changed words marked; equal ones are only named."""
    old, new = asdict(before), asdict(after)
    changed = [name for name in labels.TEXTS if old[name] != new[name]]
    if not changed:
        return markup.quiet(words.TEXTS_SAME)
    parts = "".join(
        f"<section><h5>{escape(labels.TEXTS[name])}</h5>{marked(old[name], new[name])}</section>"
        for name in changed
    )
    same = [labels.TEXTS[name] for name in labels.TEXTS if name not in changed]
    rest = markup.quiet(words.same_texts(same)) if same else ""
    return f'{markup.quiet(explain)}<div class="columns">{parts}</div>{rest}'


def differences(found: Sequence[Difference], columns: tuple[str, str], same: str) -> str:
    """A table of what differs, with its two values."""
    if not found:
        return markup.quiet(same)
    rows = [
        (labels.place(one.place), *(labels.value(one.place, each) for each in one[1:]))
        for one in found
    ]
    return plain_table((words.CHANGED, *columns), rows)


def plain_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A small table; the first cell of a row is its name."""
    heads = "".join(f'<th scope="col">{escape(text)}</th>' for text in head)
    body = "".join(
        f'<tr><th scope="row">{escape(row[0])}</th>'
        + "".join(f"<td>{escape(cell)}</td>" for cell in row[1:])
        + "</tr>"
        for row in rows
    )
    return f'<table class="plain"><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>'


def marked(before: str, after: str) -> str:
    """From one text to another: words that go are struck out, words that come underlined."""
    tags = {"same": "span", "removed": "del", "added": "ins"}
    parts = "".join(
        f"<{tags[change.kind]}>{escape(change.text)}</{tags[change.kind]}>"
        for change in compare_words(before, after)
    )
    return f'<p class="changes">{parts}</p>'
