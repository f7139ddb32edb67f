"""Effects and pictures as tables of HTML: the same in the report and on the studio's page.

Every text goes through jinja2's escaping: a prompt that looks like markup stays text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

import jinja2

from xpsr.ablation.plan import Plan
from xpsr.ablation.run import CellResult
from xpsr.ablation.statistics import Effect, effects, figures
from xpsr.metrics import METRICS


def effect_tables(
    plan: Plan, results: Sequence[CellResult], distances: Mapping[int, float]
) -> list[dict[str, Any]]:
    """What the table of each score shows.

    Args:
        plan: what was meant to be run.
        results: what is finished.
        distances: how far the pictures of each variant lie from the full prompt's, see
            `statistics.changes`.
    """
    found = effects(plan, results)
    return [_table(plan, name, found, results, distances) for name in scores_of(results)]


def scores_of(results: Sequence[CellResult]) -> list[str]:
    """Names of all scores, in their order."""
    return list(dict.fromkeys(name for one in results for name in one.scores))


def grid_rows(
    plan: Plan, results: Sequence[CellResult], address: Callable[[CellResult], str]
) -> list[dict[str, Any]]:
    """A row for each variant with a cell for each seed; `address` gives that of a picture."""
    finished = {(one.cell.variant, one.cell.seed): one for one in results}
    return [
        {
            "name": variant.name,
            "cells": [_cell(seed, finished.get((number, seed)), address) for seed in plan.seeds],
        }
        for number, variant in enumerate(plan.variants)
    ]


def effects_html(tables: Sequence[dict[str, Any]]) -> str:
    """The tables of `effect_tables`; buttons in them carry `data-variant`."""
    return _macros().effect_tables(tables)


def grid_html(rows: Sequence[dict[str, Any]], seeds: Sequence[int]) -> str:
    """The table of `grid_rows`; buttons in it carry `data-variant` and `data-seed`."""
    return _macros().picture_grid(rows, seeds)


def style() -> str:
    """The rules for both; colours come from variables of the page around them."""
    return _source("views.css")


@cache
def environment() -> jinja2.Environment:
    """Templates of this package."""
    made = jinja2.Environment(
        loader=jinja2.FunctionLoader(_source),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["figure"] = figure
    made.filters["signed"] = lambda value: figure(value, sign=True)
    return made


def figure(value: float | None, sign: bool = False) -> str:
    """A number with as many decimals as it bears."""
    if value is None:
        return "–"
    digits = 4 if abs(value) < 0.1 else 3 if abs(value) < 10 else 2
    text = f"{value:.{digits}f}".removeprefix("-")
    if float(text):  # a zero has no sign
        text = f"{value:{'+' if sign else ''}.{digits}f}"
    return text.replace("-", "\N{MINUS SIGN}")


def _source(name: str) -> str:
    return files("xpsr.ablation").joinpath(name).read_text(encoding="utf-8")


def _macros() -> Any:
    return environment().get_template("views.html.j2").module


def _table(
    plan: Plan,
    metric: str,
    found: Sequence[Effect],
    results: Sequence[CellResult],
    distances: Mapping[int, float],
) -> dict[str, Any]:
    rows = [one for one in found if one.metric == metric]
    reach = max(
        (abs(end) for one in rows for end in (*(one.interval or (one.mean,)), one.floor or 0)),
        default=0,
    )
    values = figures(results).get((0, metric), {}).values()
    return {
        "metric": METRICS[metric],
        "full": sum(values) / len(values) if values else None,
        "spread": rows[0].spread if rows else None,
        "rows": [
            {
                "name": plan.variants[one.variant].name,
                "effect": one,
                "change": distances.get(one.variant),
                "chart": _chart(one, reach or 1.0),
            }
            for one in rows
        ],
    }


def _chart(effect: Effect, reach: float) -> dict[str, float]:
    """Places in a drawing of 200 units: 0 lies in the middle, `reach` at the ends."""

    def at(value: float) -> float:
        return round(100 + 94 * value / reach, 2)

    low, high = effect.interval or (effect.mean, effect.mean)
    floor = effect.floor or 0.0
    return {
        "low": at(low),
        "high": at(high),
        "mean": at(effect.mean),
        "floor_start": at(-floor),
        "floor_width": round(at(floor) - at(-floor), 2),
    }


def _cell(
    seed: int, result: CellResult | None, address: Callable[[CellResult], str]
) -> dict[str, Any]:
    good = result is not None and not result.error
    return {
        "seed": seed,
        "src": address(result) if result and good else None,
        "problem": None if good else result.error if result else "not finished",
        "scores": [
            (METRICS[name].label, score.value)
            for name, score in (result.scores.items() if result else ())
            if score.value is not None
        ],
    }
