"""What is said of results: their names and scores, how two differ, and what became of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xpsr.metrics import Metric

SCORE_COLUMNS = ("Scores", "Before", "After", "Change")
SCORES_INFO = "Scores do not see what you see: trust your eyes first."
NEEDS_DOWNLOAD = "These need a download; choose them under “More scores”: {names}."
CHANGED = "Changed"
TEXTS_SAME = "All five texts are the same."
NO_TITLE = "picture"
RUN_DAMAGED = (
    "The files of this result are damaged, or by another version of XPSR Studio or another program."
)
DISK_FULL = "The disk of temporary files is full: make room there, and try again."
OTHER_MODEL = (
    "Your two texts are as you left them. Everything else was set for another model and comes back "
    "with it; what stands there now suits this one."
)


def figure(metric: Metric, value: float) -> str:
    """A score, in as many digits as its range asks for."""
    return f"{value:.{3 if metric.high <= 1 else 2}f}"


def change(metric: Metric, before: float, after: float) -> str:
    """What a difference of a score means: arrow, word and amount."""
    delta = after - before
    amount = figure(metric, abs(delta))
    if not float(amount):
        return "no change"
    good, bad = ("closer", "further") if metric.needs_input else ("better", "worse")
    arrow = "↑" if delta > 0 else "↓"
    return f"{arrow} {good if (delta < 0) == metric.lower_better else bad} by {amount}"


def meaning(metric: Metric) -> str:
    """Direction and range of a score."""
    better = "↓ Lower is better" if metric.lower_better else "↑ Higher is better"
    return f"{better}; usually {metric.low:g} to {metric.high:g}."


def against_pinned(metric: Metric, pinned: float, now: float) -> str:
    return f"Pinned: {figure(metric, pinned)}; this one: {change(metric, pinned, now)}."


def run_label(title: str, seed: int | None, number: int | None, pinned: bool) -> str:
    first = f"{number}" if number else "Example"
    seeded = "" if seed is None else f"seed {seed}"
    parts = (first, title or NO_TITLE, seeded, "pinned" if pinned else "")
    return " · ".join(part for part in parts if part)


def same_texts(names: Sequence[str]) -> str:
    return f"The same in both: {', '.join(f'“{name}”' for name in names)}."


def not_lent(why: str) -> str:
    """A cell of an ablation is kept, but the page cannot have it."""
    return (
        f"The temporary files take nothing more ({why.lower() or 'no reason given'}). What is "
        "finished is kept: make room there, and start again."
    )


def cannot_keep(folder: str, why: str) -> str:
    """A result that is shown all the same."""
    return (
        f"It could not be written to {folder} ({why.lower() or 'no reason given'}), so download it "
        "now: it is gone when the page is stopped, or before that to make room. Make room there, "
        "or start the page with another folder, --outputs FOLDER."
    )


def no_disk(folder: str, why: str) -> str:
    return (
        f"The result could not be written, neither to {folder} nor among the temporary files "
        f"({why.lower() or 'no reason given'}): make room, and press Restore once more."
    )


def welcome_back(kept: int, lost: int, mine: bool = True) -> str:
    """After a reload. `mine`: the settings are those that the visitor had with this model."""
    texts = "Texts and settings are as you left them." if mine else OTHER_MODEL
    if not kept and not lost:
        return texts
    if not kept:
        gone = "Your last result is" if lost == 1 else f"Your {lost} results are"
        return f"{texts} {gone} no longer there: removed to make room, or because of age."
    results = "Your last result is" if kept == 1 else f"Your {kept} results are"
    gone = "1 older one is" if lost == 1 else f"{lost} older ones are"
    return f"{texts} {results} below." + (f" {gone} no longer there." if lost else "")
