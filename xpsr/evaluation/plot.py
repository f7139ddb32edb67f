"""The table as a picture: a small chart for every score, a bar for every method."""

from __future__ import annotations

import math
from pathlib import Path
from textwrap import fill, wrap

from xpsr.evaluation.table import MEASURED, NOT_HERE, XPSR_MISSING, Line, Table, head, shown

_COLORS = {"model": "#2f6f9f", "bicubic": "#8a8f98", "published": "#d9d4ca"}


def draw(table: Table, path: Path) -> None:
    """Write the chart as SVG; columns without any figure are left out."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    metrics = [one for one in table.metrics if any(one in line.scores for line in table.lines)]
    columns = min(4, max(1, len(metrics)))
    rows = max(1, math.ceil(len(metrics) / columns))
    height = 0.9 + 0.32 * len(table.lines)
    figure = Figure(figsize=(2.2 + 2 * columns, rows * height + 0.9), layout="constrained")
    figure.suptitle(table.dataset, x=0.01, ha="left", fontsize=11, parse_math=False)
    for number, metric in enumerate(metrics, 1):
        axes = figure.add_subplot(rows, columns, number)
        lines = table.lines[::-1]  # the first one at the top, and each at the same height
        values = [line.scores.get(metric, 0.0) for line in lines]
        labels = [shown(metric, line.scores.get(metric)) for line in lines]
        bars = axes.barh(range(len(lines)), values, height=0.62, color=[*map(_color, lines)])
        axes.bar_label(bars, labels, padding=3, fontsize=8)
        names = [*map(_name, lines)] if number % columns == 1 % columns else [""] * len(lines)
        axes.set_yticks(range(len(lines)), names, fontsize=8, parse_math=False)
        axes.set_title(head(metric), fontsize=9, loc="left")
        axes.margins(x=0.4)
        axes.xaxis.set_visible(False)
        axes.spines[["top", "right", "bottom"]].set_visible(False)
        axes.tick_params(length=0)
    figure.supxlabel(_sources(table), x=0.01, ha="left", fontsize=7, parse_math=False)
    # No date and no chance inside: the same table gives the same file.
    with rc_context({"svg.hashsalt": "xpsr"}):
        figure.savefig(path, format="svg", metadata={"Date": None})


def _sources(table: Table) -> str:
    """Where the published bars are from, a line for each."""
    published = [line for line in table.lines if line.source not in (MEASURED, XPSR_MISSING)]
    told = [f"{line.method}, as published: {line.source}" for line in published]
    if any(line.source == XPSR_MISSING for line in table.lines):
        told.append(NOT_HERE)
    return "\n".join(part for one in told for part in wrap(one, 150))


def _name(line: Line) -> str:
    """In two lines where it is long, so that the bars keep their room."""
    marks = {MEASURED: "", XPSR_MISSING: " (figures not here)"}
    return fill(line.method + marks.get(line.source, " (as published)"), 28)


def _color(line: Line) -> str:
    if line.source != MEASURED:
        return _COLORS["published"]
    return _COLORS["bicubic" if line.method == "bicubic" else "model"]
