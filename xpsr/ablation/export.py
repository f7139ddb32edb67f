"""Writes what an ablation found: report, tables, environment, and all of it as one ZIP."""

from __future__ import annotations

import io
import json
import platform
import zipfile
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from xpsr.ablation.plan import Plan
from xpsr.ablation.report import Subject, render
from xpsr.ablation.run import CellResult
from xpsr.ablation.statistics import adjusted, change_by_seed, changes, effects
from xpsr.prompts import PROMPT_NAMES
from xpsr.recipe import save_png
from xpsr.spreadsheet import to_csv
from xpsr.whole import whole

_PACKAGES = ("xpsr-studio", "torch", "diffusers", "transformers", "numpy", "pillow", "pyiqa")


def tables(plan: Plan, results: Sequence[CellResult], subject: Subject) -> dict[str, str]:
    """{file name: its text}: everything but the pictures.

    Files: report.html, scores.csv (a row a cell), effects.csv (a row a variant and score),
    environment.json (the plan, and the software).
    """
    return {
        "report.html": render(plan, results, subject),
        "scores.csv": scores_csv(plan, results),
        "effects.csv": effects_csv(plan, results),
        "environment.json": json.dumps({**_of_plan(plan), **environment()}, indent=2) + "\n",
    }


def report_in_the_way(out: Path, plan: Plan) -> str | None:
    """The name of the plan whose report in `out` that of `plan` would replace; None: its own.

    A report of the same variants with more of its seeds takes the place of the earlier one.
    """
    try:
        before = json.loads((out / "environment.json").read_text(encoding="utf-8"))
        name, variants, seeds = (before[key] for key in _of_plan(plan))
        more = variants == _of_plan(plan)["variants"] and set(seeds) <= set(plan.seeds)
    except (OSError, ValueError, KeyError, TypeError):
        return None  # none, or from before it was written down
    return None if more else str(name)


def _of_plan(plan: Plan) -> dict[str, Any]:
    names = [variant.name for variant in plan.variants]
    return {"plan": plan.name, "variants": names, "seeds": list(plan.seeds)}


def write(out: Path, plan: Plan, results: Sequence[CellResult], subject: Subject) -> None:
    """Write `tables` and `ablation.zip` into the folder that holds the cells.

    Raises:
        OSError: it cannot be written.
    """
    texts = tables(plan, results, subject)
    for name, text in texts.items():
        with whole(out / name) as part:
            part.write_bytes(text.encode("utf-8"))
    with whole(out / "ablation.zip") as part, part.open("wb") as file:
        pack(file, texts, results, subject)


def pack(file: Any, texts: dict[str, str], results: Sequence[CellResult], subject: Subject) -> None:
    """Write a ZIP of tables, pictures with their recipes and the input into an open binary file."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in texts.items():
            archive.writestr(name, text)
        # PNG is compressed already.
        picture = io.BytesIO()
        subject.image.save(picture, format="PNG")
        archive.writestr("cells/input.png", picture.getvalue(), zipfile.ZIP_STORED)
        for name, result in _pictures(results).items():
            archive.writestr(f"cells/{name}", _png(result), zipfile.ZIP_STORED)


def scores_csv(plan: Plan, results: Sequence[CellResult]) -> str:
    """A row a cell: variant, seed, scores, texts, file, hash of the pixels, or the error."""
    metrics = list(dict.fromkeys(name for one in results for name in one.scores))
    heads = ["variant", "seed", *metrics, *PROMPT_NAMES, "seconds", "file", "sha256", "error"]
    rows = [
        [
            plan.variants[one.cell.variant].name,
            one.cell.seed,
            *(one.scores[name].value if name in one.scores else None for name in metrics),
            *(getattr(one.cell.prompts, name) for name in PROMPT_NAMES),
            round(one.seconds, 3),
            "" if one.error else _file_name(one),
            one.recipe.output_sha256 if one.recipe else "",
            one.error or "",
        ]
        for one in sorted(results, key=lambda one: (one.cell.variant, one.cell.seed))
    ]
    return to_csv(heads, rows)


def effects_csv(plan: Plan, results: Sequence[CellResult]) -> str:
    """A row a variant and score: paired difference, interval, p-values, noise floor, change."""
    heads = ["variant", "metric", "pairs", "effect", "interval_low", "interval_high"]
    heads += ["p", "p_adjusted", "noise_floor", "seed_spread", "verdict"]
    heads += ["change_rms_of_255", "change_by_seed_rms_of_255"]
    distances, by_seed = changes(results), change_by_seed(results)
    found = effects(plan, results)
    rows = [
        [
            plan.variants[one.variant].name,
            one.metric,
            one.pairs,
            one.mean,
            *(one.interval or (None, None)),
            one.p,
            p_adjusted,
            one.floor,
            one.spread,
            one.verdict,
            distances.get(one.variant),
            by_seed,
        ]
        for one, p_adjusted in zip(found, adjusted(found), strict=True)
    ]
    return to_csv(heads, rows)


def environment() -> dict[str, str]:
    """The software that the cells were made with."""
    found = {"python": platform.python_version(), "system": platform.platform(terse=True)}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _pictures(results: Sequence[CellResult]) -> dict[str, CellResult]:
    """{file name: result}, one for each file: equal cells of a folder share theirs."""
    return {_file_name(one): one for one in results if not one.error}


def _file_name(result: CellResult) -> str:
    if result.path is not None:
        return result.path.name
    return f"variant{result.cell.variant}-seed{result.cell.seed}.png"


def _png(result: CellResult) -> bytes:
    if result.path is not None:
        return result.path.read_bytes()
    assert result.recipe is not None
    data = io.BytesIO()
    save_png(result.picture(), result.recipe, data)
    return data.getvalue()
