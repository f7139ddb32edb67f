"""Sums up the rows of pictures to the rows of a table, as CSV and Markdown."""

from __future__ import annotations

import csv
import io
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from xpsr import spreadsheet
from xpsr.counted import counted
from xpsr.errors import XPSRError
from xpsr.evaluation.fid import IN_TABLES
from xpsr.metrics import Score

MEASURED = "measured"
# An empty line of XPSR says so itself, so that nobody takes its absence for a result.
NOT_HERE = (
    "The XPSR paper's lines for XPSR itself, StableSR, DiffBIR, PASD and others are not among the "
    "figures that come with this project; lines of your own are added with --published FILE.csv."
)
XPSR_MISSING = "published, but not among the figures that come with this project"
CONVENTIONS = (
    "PSNR and SSIM are those of the Y channel (BT.601, 16 to 235), no border left out, as pyiqa "
    "gives them: SSIM is that of rounded Y in a Gaussian window of 11 pixels, where likeness below "
    "0 counts as 0."
)
FEW_FOR_FID = (
    "FID compares 2,048 features. Of fewer pictures it comes out too high, the more so the fewer "
    "there are: set it only beside FID of as many."
)
MAX_NAMED = 20  # pictures left out, in the table
LABELS = {"clipiqa": "CLIPIQA"}  # as tables of this field have them
_DECIMALS = {"psnr": 2, "fid": 2, "musiq": 2, "piqe": 2, "backprojection": 2}
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Line:
    """One method in a table.

    Attributes:
        method: its name.
        scores: {metric: mean over the pictures}; without those that could not be had.
        source: "measured", or where the figures were published.
        pictures: how many were measured; None for published lines.
    """

    method: str
    scores: dict[str, float]
    source: str
    pictures: int | None = None


@dataclass(frozen=True)
class Table:
    """What an evaluation found.

    Attributes:
        dataset: a name for people.
        metrics: columns, in their order.
        lines: measured ones first.
        missing: {metric: why its column has no measured figure, or not for all pictures}.
        left_out: pictures that are not in the means, and why, a sentence each.
    """

    dataset: str
    metrics: list[str]
    lines: list[Line]
    missing: dict[str, str] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)


def summarise(
    method: str,
    rows: Sequence[dict[str, Any]],
    metrics: Sequence[str],
    dataset: str,
    of_set: dict[str, dict[str, Score]] | None = None,
) -> Table:
    """The measured lines: the model's and bicubic enlargement's, over the same pictures.

    A picture of which one of the two has no figure counts in neither mean of that column.

    Args:
        method: name of the model's line.
        rows: from `Judge.row`.
        metrics: columns.
        dataset: name.
        of_set: {"scores" | "bicubic": {metric: score}} for scores of the whole set, such as FID.
    """
    lines, missing = [], {}
    for name, key in ((method, "scores"), ("bicubic", "bicubic")):
        means: dict[str, float] = {}
        for metric in metrics:
            whole = (of_set or {}).get(key, {}).get(metric)
            told = [row for row in rows if _in_both(row, metric)]
            values = [row[key][metric] for row in told]
            if whole is not None:
                values = [] if whole.value is None else [whole.value]
            if values:
                means[metric] = float(np.mean(values))
            reason = whole.reason if whole else _reason(rows, metric, len(values))
            if reason:
                missing.setdefault(metric, reason)
        lines.append(Line(name, means, MEASURED, len(rows)))
    return Table(dataset, list(metrics), lines, missing)


def published(dataset: str, more: Path | None = None) -> list[Line]:
    """Lines that papers report for a test set; the figures are theirs, not ours.

    Args:
        dataset: its name; there are lines of ours for "RealSR", "DRealSR" and "DIV2K-Val".
        more: a CSV file with further lines and the same heads: dataset, method, names of scores,
            source. All of its lines count that name this set or none.

    Raises:
        XPSRError: the file cannot be used.
    """
    text = files("xpsr.evaluation").joinpath("published.csv").read_text(encoding="utf-8")
    lines = [_line(row, "published.csv") for row in csv.DictReader(io.StringIO(text))
             if row["dataset"] == dataset]  # fmt: skip
    if more is not None:
        try:
            rows = list(csv.DictReader(io.StringIO(more.read_text(encoding="utf-8-sig"))))
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            reason = getattr(error, "strerror", None) or error
            raise XPSRError(f"{more} cannot be read as CSV: {reason}.") from None
        own = [row for row in rows if (row.get("dataset") or dataset) == dataset]
        if not own:
            logger.warning(
                'No line of %s belongs to this set. Those that do have "%s" in their column '
                "dataset, or nothing.",
                more.name,
                dataset,
            )
        lines += [_line(row, more.name) for row in own]
    if lines and not any(line.method.casefold().startswith("xpsr") for line in lines):
        lines.insert(0, Line("XPSR", {}, XPSR_MISSING))
    return lines


def to_csv(table: Table) -> str:
    """A row a line; published ones are named as such in the column "source"."""
    heads = ["dataset", "method", *table.metrics, "pictures", "source"]
    rows = [
        [
            table.dataset,
            line.method,
            *(line.scores.get(metric) for metric in table.metrics),
            line.pictures,
            _origin(line),
        ]
        for line in table.lines
    ]
    return spreadsheet.to_csv(heads, rows)


def rows_to_csv(rows: Sequence[dict[str, Any]], metrics: Sequence[str]) -> str:
    """A row a picture: the model's scores, then those of bicubic enlargement."""
    heads = ["name", *metrics, *(f"bicubic_{metric}" for metric in metrics), "seconds", "sha256"]
    cells = [
        [
            row["name"],
            *(row[key].get(metric) for key in ("scores", "bicubic") for metric in metrics),
            row["seconds"],
            row["sha256"],
        ]
        for row in rows
    ]
    return spreadsheet.to_csv(heads, cells)


def to_markdown(table: Table) -> str:
    """The table for reading: measured lines, then published ones marked as such, then notes."""
    heads = [head(metric) for metric in table.metrics]
    lines = [
        f"# {_safe(table.dataset)}",
        "",
        f"| Method | {' | '.join(heads)} |",
        f"|---|{'---:|' * len(heads)}",
    ]
    for line in table.lines:
        figures = [shown(metric, line.scores.get(metric)) for metric in table.metrics]
        mark = "" if line.source == MEASURED else f" ({_origin(line)})"
        lines.append(f"| {_safe(line.method + mark)} | {' | '.join(figures)} |")
    return "\n".join([*lines, "", *(f"- {note}" for note in _notes(table)), ""])


def _notes(table: Table) -> list[str]:
    """What has to be known to read the table."""
    counts = {line.pictures for line in table.lines if line.pictures is not None}
    notes = [
        f"Means over {counted(max(counts, default=0), 'picture')}. ↑ higher is better, ↓ lower."
    ]
    if {"psnr", "ssim"} & set(table.metrics):
        notes.append(CONVENTIONS)
    if any("fid" in line.scores and (line.pictures or 2048) < 2048 for line in table.lines):
        notes.append(FEW_FOR_FID)
    if any(line.source != MEASURED for line in table.lines):
        notes.append(
            "Figures as published stand in the source that their line names, and were not measured "
            "here. Values of MANIQA from different sources are not comparable: its weights differ."
        )
    else:
        notes.append("No published figures belong to this set.")
    if any(line.source == XPSR_MISSING for line in table.lines):
        notes.append(NOT_HERE)
    notes += [
        f"{head(metric)[:-2]} is missing or incomplete: {_safe(reason)}."
        for metric, reason in table.missing.items()
    ]
    named = table.left_out[:MAX_NAMED]
    notes += [f"Not in the means: {_safe(sentence.rstrip('.'))}." for sentence in named]
    if more := len(table.left_out) - len(named):
        notes.append(f"And {more} other pictures are not in the means.")
    return notes


def shown(metric: str, value: float | None) -> str:
    """A figure with the decimals usual in tables."""
    return "–" if value is None else f"{value:.{_DECIMALS.get(metric, 4)}f}"


def head(metric: str) -> str:
    """Name of a column, with its direction."""
    label = LABELS.get(metric, IN_TABLES[metric].label)
    return f"{label} {'↓' if IN_TABLES[metric].lower_better else '↑'}"


def _origin(line: Line) -> str:
    """Where a line's figures are from; those of papers say "as published"."""
    known = line.source in (MEASURED, XPSR_MISSING)
    return line.source if known else f"as published: {line.source}"


def _in_both(row: dict[str, Any], metric: str) -> bool:
    return all(row[key].get(metric) is not None for key in ("scores", "bicubic"))


def _reason(rows: Sequence[dict[str, Any]], metric: str, have: int) -> str | None:
    reasons = [row["reasons"][metric] for row in rows if metric in row["reasons"]]
    if have == len(rows) or not reasons:
        return None
    if have == 0:
        return reasons[0]
    return f"{len(rows) - have} of {len(rows)} pictures: {reasons[0]}; the means are of the others"


def _line(row: dict[str, Any], file: str) -> Line:
    if not row.get("method") or not row.get("source"):
        raise XPSRError(f"{file} needs the columns method and source, filled in every line.")
    scores = {}
    for name, value in row.items():
        if name in ("dataset", "method", "source") or not value:
            continue
        if name not in IN_TABLES:
            raise XPSRError(f'{file} has a column "{str(name)[:40]}", which is no score.')
        try:
            scores[name] = float(value)
            if not math.isfinite(scores[name]):
                raise ValueError(value)
        except (TypeError, ValueError):
            raise XPSRError(f'{file}: {name} is "{str(value)[:40]}", which is no number.') from None
    return Line(row["method"], scores, row["source"])


def _safe(text: str) -> str:
    """A file name or a model's name must not break the table."""
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")
