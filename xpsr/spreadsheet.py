"""Tables as CSV that a spreadsheet opens without running anything that stands in them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

# What makes a spreadsheet take a text for a formula, the wide signs of Chinese keyboards included.
_FORMULA = ("=", "+", "-", "@", "\t", "\n", "＝", "＋", "－", "＠")


def to_csv(heads: Sequence[str], rows: Iterable[Iterable[Any]]) -> str:
    """The table as CSV. None is an empty cell; texts that look like formulas begin with "'"."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([_plain(value) for value in row] for row in (heads, *rows))
    return text.getvalue()


def _plain(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    # The writer would leave a carriage return bare, and readers would take it for the row's end.
    text = value.replace("\r\n", "\n").replace("\r", "\n")
    return f"'{text}" if text.startswith(_FORMULA) else text
