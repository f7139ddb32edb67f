"""Runs the cells of a plan, one after another, each exactly as if it were run alone."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from PIL import Image

from xpsr.ablation.plan import Cell, Plan
from xpsr.errors import XPSRError
from xpsr.image import pixel_sha256
from xpsr.metrics import METRICS, Score, check_names, score
from xpsr.shared import Shared

if TYPE_CHECKING:
    from xpsr.pipeline import XPSRPipeline
    from xpsr.recipe import Recipe
    from xpsr.sampling import Step, TileDone

# Scores that need no download and no long wait.
ALONE = ("backprojection", "piqe")
WITH_REFERENCE = ("psnr", "ssim", "gmsd")


@dataclass(frozen=True)
class CellStep:
    """How far the cell is that is being computed: what the pipeline gave before its result."""

    cell: Cell
    progress: Step | TileDone


@dataclass(frozen=True, eq=False)
class CellResult:
    """What became of one cell.

    Attributes:
        cell: which one.
        recipe: how it was made; None if it failed.
        scores: {metric: figure, or the reason why there is none}.
        seconds: what it took, 0 if nothing had to be computed for it.
        origin: "computed" | "shared" (with an equal cell of this plan) | "resumed" (from the
            folder) | "failed".
        error: a sentence, if it failed.
        path: the file of the picture, if the results are kept in a folder.
        reference_sha256: of the true picture that scores compare with, if there was one.
    """

    cell: Cell
    recipe: Recipe | None
    scores: dict[str, Score]
    seconds: float
    origin: str
    error: str | None = None
    path: Path | None = None
    reference_sha256: str | None = None
    _image: Image.Image | None = field(default=None, repr=False)

    def picture(self) -> Image.Image:
        """The result, RGB; read from the folder if it is kept there."""
        if self._image is not None:
            return self._image
        if self.path is None:
            raise ValueError("this cell failed and has no picture")
        with Image.open(self.path) as image:
            return image.convert("RGB")


class Keeper(Protocol):
    """Keeps results and finds them again: a folder, or the studio's runs."""

    def find(self, cell: Cell, pipe: XPSRPipeline, image: Image.Image) -> CellResult | None:
        """A kept result that this pipeline would make again from this image."""

    def keep(self, result: CellResult) -> CellResult:
        """Keep a new result; gives it back as it is kept.

        Raises:
            CellsLostError: nothing can be kept any more.
        """
        ...

    def note(self, result: CellResult) -> None:
        """A kept result has further scores."""


class CellsLostError(Exception):
    """Results can no longer be kept: not a matter of one cell, so the whole run ends."""


@dataclass
class Experiment:
    """A picture, a plan and how to judge: everything that does not change from cell to cell.

    Args:
        pipe: the pipeline.
        image: the low-quality picture, RGB.
        plan: what to run.
        metrics: names; None takes `ALONE`, and `WITH_REFERENCE` if there is one.
        reference: the true picture, of the size of the results.
        folder: keeps results and finds those of earlier runs; None keeps them in memory.

    Raises:
        XPSRError: an unknown metric.
    """

    pipe: XPSRPipeline
    image: Image.Image
    plan: Plan
    metrics: Sequence[str] | None = None
    reference: Image.Image | None = None
    folder: Keeper | None = None

    def __post_init__(self) -> None:
        if self.metrics is None:
            self.metrics = (*ALONE, *(WITH_REFERENCE if self.reference is not None else ()))
        check_names(self.metrics)
        self._known: dict[tuple, CellResult] = {}
        self._shared = Shared()
        self._truth = None if self.reference is None else pixel_sha256(self.reference)

    def run(self) -> Iterator[CellStep | CellResult]:
        """Every cell in the plan's order; closing the iterator stops, what was yielded stays.

        Cells that are equal are computed once, and what different ones have in common (embeddings
        of the texts and of the picture, its latents) as well.

        Cells are not batched, though the memory would allow it. Measured with the embedded model at
        512 pixels on one core: a step of one cell takes 1.18 s, in a batch of two 1.23 s, of four
        1.54 s. And a batch rounds differently (by 1e-6 in the noise that is predicted), while each
        cell promises the pixels of `pipe(...)` bit for bit.
        """
        for cell in self.plan.cells():
            yield from self.cell(cell)

    def cell(self, cell: Cell) -> Iterator[CellStep | CellResult]:
        """The same of one cell; the last thing it gives is the result."""
        known = self.find(cell)
        if known is not None:
            yield known
        else:
            yield from self.compute(cell)

    def find(self, cell: Cell) -> CellResult | None:
        """The result of this cell if an equal one was computed before, here or in the folder."""
        known = self._known.get(cell.run)
        if known is not None:
            if known.cell == cell:
                return known
            return replace(known, cell=cell, seconds=0.0, origin="shared")
        kept = self.folder.find(cell, self.pipe, self.image) if self.folder else None
        if kept is None:
            return None
        kept = self._without_strangers(kept)
        missing = [name for name in self.metrics or () if name not in kept.scores]
        if missing:
            scores = {**kept.scores, **self._scores(kept.picture(), missing)}
            kept = replace(kept, scores=scores)
            assert self.folder is not None
            self.folder.note(kept)
        self._known[cell.run] = kept
        return kept

    def _without_strangers(self, kept: CellResult) -> CellResult:
        """Without the scores against another true picture; the result itself never saw one."""
        if kept.reference_sha256 == self._truth:
            return kept
        alone = {name for name, metric in METRICS.items() if not metric.needs_reference}
        scores = {name: one for name, one in kept.scores.items() if name in alone}
        return replace(kept, scores=scores, reference_sha256=self._truth)

    def compute(self, cell: Cell) -> Iterator[CellStep | CellResult]:
        """Run one cell, whether or not it was run before; the last thing it gives is the result."""
        from xpsr.pipeline import Restored

        started = time.perf_counter()
        try:
            for item in self.pipe.stream(self.image, cell.prompts, cell.settings, self._shared):
                if not isinstance(item, Restored):
                    yield CellStep(cell, item)
                    continue
                scores = self._scores(item.image, self.metrics or ())
                seconds = time.perf_counter() - started
                result = CellResult(
                    cell,
                    item.recipe,
                    scores,
                    seconds,
                    "computed",
                    reference_sha256=self._truth,
                    _image=item.image,
                )
                if self.folder:
                    result = self.folder.keep(result)
                self._known[cell.run] = result
                yield result
        except XPSRError as error:
            seconds = time.perf_counter() - started
            yield CellResult(cell, None, {}, seconds, "failed", error=str(error))

    def _scores(self, image: Image.Image, metrics: Sequence[str]) -> dict[str, Score]:
        return score(image, reference=self.reference, input=self.image, metrics=metrics)
