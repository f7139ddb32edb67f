"""What an ablation will cost, said before it starts."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod

from xpsr.ablation.plan import Cell
from xpsr.ablation.run import CellResult, CellStep, Experiment
from xpsr.counted import counted
from xpsr.errors import XPSRError
from xpsr.frame import Size, plan_sizes
from xpsr.sampling import Step
from xpsr.settings import Settings
from xpsr.work import run_pixels, step_pixels

_TIMED_STEPS = 2  # the first one also warms up


@dataclass(frozen=True)
class Cost:
    """The work of a plan.

    Attributes:
        cells: all of them.
        to_do: those that have to be computed: not equal to another one, not in the folder.
        step_seconds: measured on this picture, for one step of the full prompt.
        seconds: estimate for everything that is to do.
    """

    cells: int
    to_do: int
    step_seconds: float
    seconds: float

    def __str__(self) -> str:
        done = self.cells - self.to_do
        free = f", {done} of them equal to others or finished before" if done else ""
        if not self.to_do:
            return f"{counted(self.cells, 'cell')}, all finished before: nothing to compute."
        return (
            f"{counted(self.cells, 'cell')}{free}: about {duration(self.seconds)} "
            f"({self.step_seconds:.2g} s a step, measured)."
        )


def duration(seconds: float) -> str:
    """Seconds as people say it."""
    if seconds < 100:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 100 * 60 else f"{seconds / 3600:.1f} h"


@dataclass(frozen=True)
class Pace:
    """How fast this picture is restored here.

    Attributes:
        step, rest: seconds of a denoising step, and of everything else of a run.
        size: of the picture, (width, height).
        settings: those it was measured with.
    """

    step: float
    rest: float
    size: Size
    settings: Settings

    def seconds(self, settings: Settings) -> float:
        """What a run with other settings will take; nothing if its size is refused."""
        try:
            steps = run_pixels(self.size, settings) / step_pixels(self.size, self.settings)
        except XPSRError:
            return 0.0
        area, measured = (prod(plan_sizes(self.size, one)[1]) for one in (settings, self.settings))
        return self.step * steps + self.rest * area / measured


class Stopwatch:
    """Times a run while its items pass through `watch`."""

    def __init__(self, size: Size, settings: Settings) -> None:
        self._size, self._settings = size, settings
        self._steps: list[float] = []
        self._whole = 0.0

    def watch(self, items: Iterator[CellStep | CellResult]) -> Iterator[CellStep | CellResult]:
        """The same items.

        Raises:
            XPSRError: the run failed.
        """
        started = last = time.perf_counter()
        for item in items:
            now = time.perf_counter()
            if isinstance(item, CellResult):
                if item.error:
                    raise XPSRError(item.error)
            elif isinstance(item.progress, Step):
                self._steps.append(now - last)
                last = now
            self._whole = now - started
            yield item

    @property
    def pace(self) -> Pace:
        """What was measured; there is one as soon as the run is over."""
        # The first step carries the preparation, so with two of them the second is the measure.
        step = self._steps[-1]
        return Pace(
            step, max(self._whole - step * len(self._steps), 0.0), self._size, self._settings
        )


def trial(experiment: Experiment, cell: Cell) -> tuple[Experiment, Cell]:
    """A run of a cell with at most two steps; one that is the cell itself is kept as its result."""
    steps = min(_TIMED_STEPS, cell.settings.num_inference_steps)
    short = replace(cell, settings=cell.settings.changed(num_inference_steps=steps))
    return (experiment if short == cell else replace(experiment, folder=None)), short


def estimate(cells: int, to_do: Sequence[Cell], pace: Pace) -> Cost:
    """The cost of the cells that are to do, of `cells` in all."""
    seconds = sum(pace.seconds(cell.settings) for cell in to_do)
    return Cost(cells, len(to_do), pace.step, seconds)


def measure(experiment: Experiment) -> Cost:
    """Time a run of the first open cell with at most two steps, and count.

    Raises:
        XPSRError: the picture cannot be restored at all.
    """
    cells = list(experiment.plan.cells())
    open_cells = list({cell.run: cell for cell in cells if experiment.find(cell) is None}.values())
    if not open_cells:
        return Cost(len(cells), 0, 0.0, 0.0)
    timed, short = trial(experiment, open_cells[0])
    watch = Stopwatch(experiment.image.size, short.settings)
    for _ in watch.watch(timed.compute(short)):
        pass
    return estimate(len(cells), open_cells, watch.pace)
