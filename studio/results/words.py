"""What is said of results: their names, and how two of them differ."""

from __future__ import annotations

from collections.abc import Sequence

PLACES = {
    "model": "Model",
    "revision": "Weights",
    "base": "Base model",
    "base_revision": "Weights of the base",
    "device": "Device",
    "dtype": "Number format",
    "hardware": "Processor",
    "threads": "Threads",
    "version of xpsr": "Version of XPSR Studio",
}
CHANGED = "Changed"
TEXTS_SAME = "All five texts are the same."
NO_TITLE = "picture"


def run_label(title: str, seed: int | None, number: int | None, pinned: bool) -> str:
    first = f"{number}" if number else "Example"
    seeded = "" if seed is None else f"seed {seed}"
    parts = (first, title or NO_TITLE, seeded, "pinned" if pinned else "")
    return " · ".join(part for part in parts if part)


def same_texts(names: Sequence[str]) -> str:
    return f"The same in both: {', '.join(f'“{name}”' for name in names)}."
