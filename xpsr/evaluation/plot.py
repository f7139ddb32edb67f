"""The table as a picture: a small chart for every score, a bar for every method."""

from __future__ import annotations

import math
from pathlib import Path

from xpsr.evaluation.table import Line, Table, head, shown

_COLORS = {"model": "#2f6f9f", "bicubic": "#8a8f98", "published": "#d9d4ca"}


def draw(table: Table, path: Path) -> None:
    """Write the chart as SVG; columns without any figure are left out."""
    from matplotlib.figure import Figure

    metrics = [one for one in table.metrics if any(one in line.scores for line in table.lines)]
    columns = min(4, max(1, len(metrics)))
    rows = max(1, math.ceil(len(metrics) / columns))
    height = 0.9 + 0.32 * len(table.lines)
    figure = Figure(figsize=(3.1 * columns, rows * height + 0.5), layout="constrained")
    figure.suptitle(table.dataset, x=0.01, ha="left", fontsize=11, parse_math=False)
    for number, metric in enumerate(metrics, 1):
        axes = figure.add_subplot(rows, columns, number)
        lines = table.lines[::-1]  # the first one at the top, and each at the same height
        values = [line.scores.get(metric, 0.0) for line in lines]
        labels = [shown(metric, line.scores.get(metric)) for line in lines]
        bars = axes.barh(range(len(lines)), values, height=0.62, color=[*map(_color, lines)])
        axes.bar_label(bars, labels, padding=3, fontsize=8)
        axes.set_yticks(range(len(lines)), [*map(_name, lines)], fontsize=8, parse_math=False)
        axes.set_title(head(metric), fontsize=9, loc="left")
        axes.margins(x=0.25)
        axes.xaxis.set_visible(False)
        axes.spines[["top", "right", "bottom"]].set_visible(False)
        axes.tick_params(length=0)
    # No date inside: the same table gives the same file.
    figure.savefig(path, format="svg", metadata={"Date": None})


def _name(line: Line) -> str:
    return line.method if line.source == "measured" else f"{line.method} (published)"


def _color(line: Line) -> str:
    if line.source != "measured":
        return _COLORS["published"]
    return _COLORS["bicubic" if line.method == "bicubic" else "model"]
