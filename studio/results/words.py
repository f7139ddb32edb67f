"""What is said of results: their names, how two of them differ, and what became of them."""

from __future__ import annotations

from collections.abc import Sequence

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
