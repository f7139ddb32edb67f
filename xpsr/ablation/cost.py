"""What an ablation will cost, said before it starts."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from xpsr.ablation.plan import Cell
from xpsr.ablation.run import CellResult, CellStep, Experiment
from xpsr.errors import XPSRError
from xpsr.settings import Settings

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
            return f"{self.cells} cells, all finished before: nothing to compute."
        return (
            f"{self.cells} cells{free}: about {duration(self.seconds)} "
            f"({self.step_seconds:.2g} s a step, measured)."
        )


def duration(seconds: float) -> str:
    """Seconds as people say it."""
    if seconds < 100:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 100 * 60 else f"{seconds / 3600:.1f} h"


def measure(experiment: Experiment) -> Cost:
    """Time a run of the first open cell with at most two steps, and count.

    Raises:
        XPSRError: the picture cannot be restored at all.
    """
    cells = list(experiment.plan.cells())
    open_cells = list({cell.run: cell for cell in cells if experiment.find(cell) is None}.values())
    if not open_cells:
        return Cost(len(cells), 0, 0.0, 0.0)
    first = open_cells[0]
    step, rest = _time(experiment, first)
    seconds = sum(
        rest * _area(cell.settings, first.settings) + step * _effort(cell.settings, first.settings)
        for cell in open_cells
    )
    return Cost(len(cells), len(open_cells), step, seconds)


def _time(experiment: Experiment, cell: Cell) -> tuple[float, float]:
    """Seconds of a step and of all the rest of a run. A run that is a cell already is kept."""
    steps = min(_TIMED_STEPS, cell.settings.num_inference_steps)
    short = replace(cell, settings=cell.settings.changed(num_inference_steps=steps))
    trial = experiment if short == cell else replace(experiment, folder=None)
    started = last = time.perf_counter()
    spent: list[float] = []
    for item in trial.compute(short):
        now = time.perf_counter()
        if isinstance(item, CellStep):
            spent.append(now - last)
            last = now
        elif isinstance(item, CellResult) and item.error:
            raise XPSRError(item.error)
    # The first step carries the preparation, so with two of them the second is the measure.
    step = spent[-1]
    return step, max(time.perf_counter() - started - step * len(spent), 0.0)


def _effort(settings: Settings, timed: Settings) -> float:
    """How many of the timed steps a run amounts to."""
    halves = [2 if one.guidance_scale > 1 else 1 for one in (settings, timed)]
    return settings.num_inference_steps * halves[0] / halves[1] * _area(settings, timed)


def _area(settings: Settings, timed: Settings) -> float:
    return (settings.upscale / timed.upscale) ** 2
