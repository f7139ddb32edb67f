"""An ablation on the page: what is finished of it, and how its runs are kept and found again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from PIL import Image

from xpsr.ablation.plan import Cell, Plan
from xpsr.errors import XPSRError

from .. import texts
from ..job import Job
from ..results.outputs import Outputs, Run
from ..results.scores import Row, enlarge
from ..results.whole import lend_as
from ..results.words import not_lent
from ..texts import Brought
from ..visit import Visit

if TYPE_CHECKING:
    from xpsr.ablation import CellResult
    from xpsr.ablation.cost import Pace
    from xpsr.ablation.report import Subject
    from xpsr.metrics import Score


class Study:
    """The ablation of one visitor: one object in a `gr.State`, changed in place.

    Attributes:
        plan: the one that was started last.
        results: what is finished of it.
        runs: {(variant, seed): id of its run}.
        paces: {size of a picture: how fast it is restored}, as measured.
        timed: whether the timing that was begun last has come to its end.
        listed: the plan whose parts were listed last.
        job: the last press on Start.
        said: the last word about this ablation; "" while it runs, or before the first.
        recalled: the name of the plan that the browser remembers, its finished cells and all of
            them; None: nobody has asked it yet.
    """

    def __init__(self) -> None:
        self.plan: Plan | None = None
        self.subject: Subject | None = None
        self.folder: Path | None = None
        self.results: list[CellResult] = []
        self.runs: dict[tuple[int, int], str] = {}
        self.paces: dict[tuple[int, int], Pace] = {}
        self.job, self.timed, self.listed = Job(), False, ""
        self.said = ""
        self.recalled: tuple[str, int, int] | None = None
        self._addresses: dict[tuple[int, int], str] = {}
        self._distances: dict[int, list[float]] = defaultdict(list)
        self._by_seed: list[float] = []

    def begin(self, plan: Plan, subject: Subject, folder: Path) -> None:
        """Another ablation takes the place of this one, whose runs stay among the results."""
        self.plan, self.subject, self.folder = plan, subject, folder
        self.results, self.runs, self._addresses = [], {}, {}
        self._distances, self._by_seed = defaultdict(list), []

    def add(self, result: CellResult, run: Run | None) -> None:
        """A cell is finished; `run` is None where it failed."""
        from xpsr.ablation.statistics import distance

        before = [one for one in self.results if not one.cell.variant and not one.error]
        self.results.append(result)
        if run is None:
            return
        if before and not result.cell.variant:
            self._by_seed.append(distance(before[-1], result))
        cell = result.cell
        self.runs[cell.variant, cell.seed] = run.id
        self._addresses[cell.variant, cell.seed] = f"gradio_api/file={quote(str(run.thumb))}"
        full = next((one for one in self.results if _place(one) == (0, cell.seed)), None)
        if cell.variant and full is not None and not full.error:
            self._distances[cell.variant].append(distance(full, result))

    def pair(self, variant: int, seed: int | None) -> tuple[str, str] | None:
        """Two runs to compare: the full prompt's and a variant's, both with the same seed.

        Of the full prompt itself: with the first variant that is finished.
        """
        seeds = [seed] if seed is not None else [one for v, one in self.runs if v == variant]
        others = sorted({v for v, _ in self.runs} - {0}) if variant == 0 else [variant]
        for one in seeds:
            for other in others:
                if (0, one) in self.runs and (other, one) in self.runs:
                    return self.runs[0, one], self.runs[other, one]
        return None

    def grid(self) -> str:
        """The pictures as a table of HTML."""
        from xpsr.ablation.views import grid_html, grid_rows

        assert self.plan is not None
        rows = grid_rows(self.plan, self.results, lambda one: self._addresses[_place(one)])
        return grid_html(rows, self.plan.seeds)

    def effects(self) -> str:
        """The effects as tables of HTML; empty while there are none."""
        from xpsr.ablation.views import effect_tables, effects_html

        assert self.plan is not None
        means = {v: sum(found) / len(found) for v, found in self._distances.items()}
        tables = effect_tables(self.plan, self.results, {v: m for v, m in means.items() if m == m})
        return effects_html(tables) if any(table["rows"] for table in tables) else ""

    def by_seed(self) -> float | None:
        """How far the pictures of the full prompt lie apart by their seeds alone."""
        return sum(self._by_seed) / len(self._by_seed) if self._by_seed else None

    def clear(self) -> int:
        """How many variants move a score beyond what another seed does."""
        from xpsr.ablation import effects

        assert self.plan is not None
        return len({one.variant for one in effects(self.plan, self.results) if one.clear})

    def export(self) -> tuple[Path, Path] | None:
        """Report and ZIP of what is finished; None if there is nothing."""
        from xpsr.ablation.export import write

        if self.plan is None or self.subject is None or self.folder is None or not self.runs:
            return None
        write(self.folder, self.plan, self.results, self.subject)
        return self.folder / "report.html", self.folder / "ablation.zip"


class RunKeeper:
    """Keeps the cells of an ablation as runs of the visitor, and finds those made before.

    Args:
        outputs, visit: where runs go and whose they are.
        image, title: the picture.
        origins: who wrote the sentences: (preset, texts as they were brought).
        folder: of the ablation; cells lie in it under names of their own.
        names: of the plan's variants.
    """

    def __init__(
        self,
        outputs: Outputs,
        visit: Visit,
        image: Image.Image,
        title: str,
        origins: tuple[str, Brought],
        folder: Path,
        names: Sequence[str],
    ) -> None:
        self.outputs, self.visit, self.image, self.title = outputs, visit, image, title
        self.origins, self.cells, self.names = origins, folder / "cells", names
        self.cells.mkdir(parents=True, exist_ok=True)
        self.runs = runs_by_recipe(outputs, visit, image)
        self._before: dict[tuple[str, tuple[int, int]], Score] = {}

    def find(self, cell: Cell, pipe: Any, image: Image.Image) -> CellResult | None:
        from xpsr.ablation import CellResult
        from xpsr.earlier import reusable

        run, now = self.runs.get(cell.run), pipe.surroundings()
        if run is None or not reusable(run.after, image, cell.prompts, cell.settings, now):
            return None
        scores = {row.name: row.after for row in run.rows if row.after.value is not None}
        path = self._lend(run, cell)
        return CellResult(cell, run.recipe, scores, 0.0, "resumed", path=path)

    def keep(self, result: CellResult) -> CellResult:
        from xpsr.ablation.run import CellsLostError
        from xpsr.pipeline import Restored

        assert result.recipe is not None
        image, cell = result.picture(), result.cell
        restored = Restored(image, result.recipe, result.seconds, result.recipe.notes)
        try:
            told = texts.with_origins(restored, *self.origins)
            run = self.outputs.keep(self.image, told, self.title)
            run = self.outputs.add_scores(run, self._rows(result.scores, image.size))
            self.runs[cell.run] = run
            self.visit.add_cell(run.id)
            return replace(result, recipe=run.recipe, path=self._lend(run, cell), _image=None)
        except XPSRError as error:
            raise CellsLostError(str(error)) from error

    def note(self, result: CellResult) -> None:
        run = self.runs[result.cell.run]
        rows = self._rows(result.scores, run.recipe.output_size)
        self.runs[result.cell.run] = self.outputs.add_scores(run, rows)

    def _rows(self, scores: Mapping[str, Score], size: tuple[int, int]) -> list[Row]:
        from xpsr.metrics import score

        missing = [name for name in scores if (name, size) not in self._before]
        if missing:
            found = score(enlarge(self.image, size), input=self.image, metrics=missing)
            self._before |= {(name, size): one for name, one in found.items()}
        return [Row(name, self._before[name, size], one) for name, one in scores.items()]

    def _lend(self, run: Run, cell: Cell) -> Path:
        """The run's picture under a name that says what it is, for the report and the ZIP."""
        from xpsr.ablation.folder import file_name

        path = self.cells / file_name(cell, self.names[cell.variant])
        try:
            return lend_as(run.after, path)
        except OSError as error:
            raise XPSRError(not_lent(error.strerror or "")) from error


def runs_by_recipe(outputs: Outputs, visit: Visit, image: Image.Image) -> dict[Any, Run]:
    """{(texts, settings): run} of everything this visitor has made of this picture."""
    from xpsr.image import pixel_sha256

    digest = pixel_sha256(image)
    return {
        (run.recipe.prompts, run.recipe.settings): run
        for run in outputs.found(dict.fromkeys([*visit.runs, *visit.cells]))
        if run.recipe.input_sha256 == digest
    }


def _place(result: CellResult) -> tuple[int, int]:
    return result.cell.variant, result.cell.seed
