"""All runs of a visit in one ZIP: results with their recipes, and the pictures they came from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from zipfile import ZIP_STORED, ZipFile

from ..results.outputs import Run

MAX_BYTES = 500 * 1024**2


def pack(runs: Sequence[Run], path: Path, limit: int = MAX_BYTES) -> int:
    """Write the ZIP, the newest run (the first one) first; returns how many did not fit.

    `python -m xpsr rerun` finds the picture of each recipe beside it.
    """
    inputs: dict[str, str] = {}
    used, left_out = 0, 0
    with ZipFile(path, "w", ZIP_STORED) as archive:  # PNGs do not get smaller
        for number, run in reversed(list(enumerate(reversed(runs), 1))):
            name = f"{number:02}-{run.after.stem}"
            size = run.after.stat().st_size + run.picture.stat().st_size
            if used + size > limit:
                left_out += 1
                continue
            used += size
            archive.write(run.after, f"{name}.png")
            archive.writestr(f"{name}.json", run.recipe.to_json())
            if run.recipe.input_sha256 not in inputs:
                inputs[run.recipe.input_sha256] = f"{name}-input{run.picture.suffix}"
                archive.write(run.picture, inputs[run.recipe.input_sha256])
    return left_out
