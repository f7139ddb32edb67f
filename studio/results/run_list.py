"""The finished runs a visitor may choose from, and what they are called."""

from __future__ import annotations

from dataclasses import asdict

from xpsr.settings import PRESETS, Settings

from ..visit import Visit
from . import words
from .outputs import Outputs, Run

_OWN = ("seed", "upscale")  # what a preset leaves to the visitor


def runs_of(outputs: Outputs, visit: Visit) -> dict[str, Run]:
    """What a visitor has made, by the label it goes under; the newest first."""
    found = {run.id: run for run in outputs.found(visit.runs)}
    numbered = [(number, run_id) for number, run_id in enumerate(visit.runs, 1) if run_id in found]
    return {
        label_of(found[run_id], number, run_id == visit.pinned): found[run_id]
        for number, run_id in reversed(numbered)
    }


def offered(outputs: Outputs, visit: Visit) -> dict[str, Run]:
    """The visitor's runs, then the examples that ship with the project."""
    examples = {label_of(run, pinned=run.id == visit.pinned): run for run in
                outputs.examples.values()}  # fmt: skip
    return runs_of(outputs, visit) | examples


def label_of(run: Run, number: int | None = None, pinned: bool = False) -> str:
    """ "3 · garden · seed 7": the title is foreign text."""
    return words.run_label(run.title, run.recipe.seed, number, pinned)


def caption_of(run: Run, visit: Visit) -> str:
    """The same under a small picture: without the seed, for which there is no room."""
    number = visit.runs.index(run.id) + 1 if run.id in visit.runs else None
    return words.run_label(run.title, None, number, run.id == visit.pinned)


def preset_of(settings: Settings) -> str | None:
    """The preset that has these settings, whatever the seed and the size; None: it has none."""
    return next((name for name in PRESETS if is_of(settings, name)), None)


def is_of(settings: Settings, preset: str) -> bool:
    """Whether they are those of this preset, likewise."""
    ours = {name: one for name, one in asdict(settings).items() if name not in _OWN}
    return ours.items() <= asdict(PRESETS[preset]).items()
