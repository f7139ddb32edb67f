"""What the page shows before anybody has done anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Opening:
    """What the page shows before anybody has done anything."""

    preset: str
    texts: Mapping[str, str]
    settings: Mapping[str, Any]
    learned: Mapping[str, str]
    example_pictures: tuple[Path, ...] = ()
    example_titles: tuple[str, ...] = ()
    pair: tuple[str, str] | None = None
    download: str | None = None
    recipe: str | None = None
    scores: str = ""
    status: str = ""
    shown: str | None = None  # the id of the run on the slider
    gigabytes: float = 2.0  # beyond so many the oldest results are removed
    may_change_model: bool = False  # shows what only a local page may do
