"""The folder of an ablation: finished cells go in as they come, and a later run finds them."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from xpsr.ablation.plan import Cell
from xpsr.ablation.run import CellResult, CellsLostError
from xpsr.earlier import has_pixels, reusable
from xpsr.errors import XPSRError
from xpsr.image import pixel_sha256
from xpsr.metrics import Score
from xpsr.recipe import Recipe, read_recipe, save_png
from xpsr.recipe_changes import changed_surroundings, other_weights, surroundings
from xpsr.whole import whole

if TYPE_CHECKING:
    from xpsr.pipeline import XPSRPipeline


class CellFolder:
    """Pictures with their recipes, and a line of JSON with the scores of each.

    `cells/NAME.png` is named after its seed, its variant and a hash of all it was made with, so
    that another plan in the same folder finds the cells that both share. The input lies beside
    them as `cells/input.png`, where `python -m xpsr rerun` looks for it.

    Args:
        out: made, where it does not exist, as soon as there is something to keep.
        names: names of the plan's variants, for the file names.

    Raises:
        XPSRError: what is there cannot be read.
    """

    def __init__(self, out: Path, names: list[str]) -> None:
        self.cells = out / "cells"
        self.names = names
        self._notes = self.cells / "cells.jsonl"
        try:
            self._kept = _read_notes(self._notes)
        except OSError as error:
            raise _unwritable(out, error) from None

    def check(self, pipe: XPSRPipeline, image: Image.Image) -> list[str]:
        """Whether the cells in the folder belong with those to come; sentences for the user.

        Raises:
            XPSRError: they are of another picture or model, and would be written over.
        """
        recipe = next(self._recipes(), None)
        if recipe is None:
            return []
        if not recipe.is_input(image):
            raise XPSRError(
                f"{self.cells.parent} holds an ablation of another picture; choose another --out."
            )
        before, now = surroundings(recipe), pipe.surroundings()
        if other := other_weights(before, now):
            raise XPSRError(
                f"{self.cells.parent} holds an ablation with another model ({other.place} "
                f"{other.before}, now {other.after}); choose another --out."
            )
        return [
            f"The cells in {self.cells} are computed again: {one.place} was {one.before} and is "
            f"{one.after}."
            for one in changed_surroundings(before, now)
        ]

    def _recipes(self) -> Iterator[Recipe]:
        """Of the finished cells."""
        for path in sorted(self.cells.glob("seed*.png")):
            try:
                yield read_recipe(path)
            except (XPSRError, OSError):
                continue

    def path(self, cell: Cell) -> Path:
        """Where the picture of a cell lies, or will."""
        # An equal cell may have been written under the name of another variant.
        for path in sorted(self.cells.glob(f"*-{_key(cell)}.png")):
            return path
        return self.cells / file_name(cell, self.names[cell.variant])

    def keep_input(self, image: Image.Image) -> None:
        """Put the input beside the results; it is not written again if it is there."""
        path = self.cells / "input.png"
        try:
            self.cells.mkdir(parents=True, exist_ok=True)
            if not has_pixels(path, pixel_sha256(image)):
                with whole(path) as part:
                    image.save(part, format="PNG")
        except OSError as error:
            raise _unwritable(path, error) from None

    def keep(self, result: CellResult) -> CellResult:
        """Write a result; it is on the disk, whole, when this returns."""
        assert result.recipe is not None
        path = self.path(result.cell)
        try:
            self.cells.mkdir(parents=True, exist_ok=True)
            with whole(path) as part:
                save_png(result.picture(), result.recipe, part)
        except OSError as error:
            raise CellsLostError(str(_unwritable(path, error))) from None
        kept = replace(result, path=path, _image=None)
        self.note(kept)
        return kept

    def note(self, result: CellResult) -> None:
        """Write down the scores of a kept result."""
        assert result.path is not None and result.recipe is not None
        record = {
            "file": result.path.name,
            "output_sha256": result.recipe.output_sha256,
            "seconds": round(result.seconds, 3),
            "reference_sha256": result.reference_sha256,
            "scores": {name: found.value for name, found in result.scores.items()},
            "reasons": {name: found.reason for name, found in result.scores.items()},
        }
        try:
            with self._notes.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record, ensure_ascii=True) + "\n")
        except OSError as error:
            raise CellsLostError(str(_unwritable(self._notes, error))) from None

    def find(self, cell: Cell, pipe: XPSRPipeline, image: Image.Image) -> CellResult | None:
        """The kept result of a cell, if this pipeline here would make the same from this image."""
        path = self.path(cell)
        if not path.exists():  # to ask the pipeline takes longer, and a plan has many cells
            return None
        there = reusable(path, image, cell.prompts, cell.settings, pipe.surroundings())
        if there is None:
            return None
        recipe, _ = there
        noted = self._kept.get(path.name, {})
        if noted.get("output_sha256", recipe.output_sha256) != recipe.output_sha256:
            noted = {}  # of the picture before: a stop came between this one and its scores
        scores = {
            # A reason may have gone since, for example "no connection": asked again.
            name: Score(value)
            for name, value in noted.get("scores", {}).items()
            if isinstance(value, (int, float))
        }
        truth = noted.get("reference_sha256")  # not in older folders
        return CellResult(cell, recipe, scores, 0.0, "resumed", path=path, reference_sha256=truth)


@dataclass(frozen=True)
class LookedAt:
    """A folder whose finished cells are found, and to which nothing is written."""

    folder: CellFolder

    def find(self, cell: Cell, pipe: XPSRPipeline, image: Image.Image) -> CellResult | None:
        """See `CellFolder.find`."""
        return self.folder.find(cell, pipe, image)

    def keep(self, result: CellResult) -> CellResult:
        """The result as it is, in memory."""
        return result

    def note(self, result: CellResult) -> None:
        """Nothing is written down."""


def file_name(cell: Cell, variant: str) -> str:
    """The name of a cell's picture: seed, name of the variant, hash of all it is made with."""
    name = re.sub(r"[^a-z0-9]+", "-", variant.lower()).strip("-")[:40]
    return f"seed{cell.seed}-{name or 'variant'}-{_key(cell)}.png"


def _key(cell: Cell) -> str:
    made_with = {"prompts": asdict(cell.prompts), "settings": asdict(cell.settings)}
    return hashlib.sha256(json.dumps(made_with, sort_keys=True).encode()).hexdigest()[:10]


def _read_notes(path: Path) -> dict[str, dict[str, Any]]:
    """{file name: its last record}; a line that was cut short is left out."""
    kept: dict[str, dict[str, Any]] = {}
    if not path.exists():
        return kept
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            record = json.loads(line)
            kept[record["file"]] = record
        except (ValueError, TypeError, KeyError):
            continue
    return kept


def _unwritable(path: Path, error: OSError) -> XPSRError:
    return XPSRError(f"{path} cannot be written: {error.strerror or error}; choose another --out.")
