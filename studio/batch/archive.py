"""The results of a batch as one ZIP: pictures, recipes, and a table of the scores."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..results.names import plain_name

if TYPE_CHECKING:
    from ..results.outputs import Run


@dataclass(frozen=True)
class Entry:
    """One picture of a batch: what its owner calls it, and its result or why there is none."""

    name: str
    run: Run | None
    reason: str = ""


def unique_names(names: Sequence[str]) -> list[str]:
    """Plain names that differ from each other, on systems that ignore capitals too."""
    taken: set[str] = set()
    unique = []
    for plain in map(plain_name, names):
        name, number = plain, 1
        while name.casefold() in taken:
            number += 1
            name = f"{plain}-{number}"
        taken.add(name.casefold())
        unique.append(name)
    return unique


def write_archive(entries: Sequence[Entry], path: Path) -> Path:
    """Write NAME.png with its recipe inside, NAME.json (the recipe), and scores.csv."""
    names = unique_names([entry.name for entry in entries])
    # PNGs are compressed already.
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, entry in zip(names, entries, strict=True):
            if entry.run is not None:
                archive.write(entry.run.after, f"{name}.png")
                archive.writestr(f"{name}.json", entry.run.recipe.to_json())
        archive.writestr("scores.csv", _table(names, entries))
    return path


def _table(names: Sequence[str], entries: Sequence[Entry]) -> str:
    runs = [entry.run for entry in entries if entry.run is not None]
    scores = list(dict.fromkeys(row.name for run in runs for row in run.rows))
    both = [f"{name} {when}" for name in scores for when in ("before", "after")]
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["picture", "seed", "seconds", *both, "failed"])
    for name, entry in zip(names, entries, strict=True):
        if entry.run is None:
            table.writerow([name, "", "", *("" for _ in both), entry.reason])
            continue
        known = {row.name: row for row in entry.run.rows}
        figures: list[float | str | None] = []
        for score in scores:
            row = known.get(score)
            figures += [row.before.value, row.after.value] if row else ["", ""]
        table.writerow([name, entry.run.recipe.seed, f"{entry.run.seconds:.2f}", *figures, ""])
    return text.getvalue()
