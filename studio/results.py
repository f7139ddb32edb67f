"""The scores of a result beside those of its input."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

if TYPE_CHECKING:
    from xpsr.metrics import Score
    from xpsr.pipeline import Restored
    from xpsr.prompts.provenance import Sentence


@dataclass(frozen=True)
class Row:
    """One score of the picture before and after."""

    name: str
    before: Score
    after: Score


def with_origins(restored: Restored, origins: Mapping[str, Sequence[Sentence]]) -> Restored:
    """A result whose recipe tells who wrote the sentences."""
    return replace(restored, recipe=restored.recipe.with_provenance(origins))


def enlarge(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    return image.resize(size, Image.Resampling.BICUBIC)


def write_enlarged(image: Image.Image, size: tuple[int, int], path: Path) -> Path:
    enlarge(image, size).save(path, compress_level=1)  # read once by a browser: speed over size
    return path


def shown_metrics(learned: Sequence[str] = ()) -> list[str]:
    """The scores of the table: all that need no reference and no download, and `learned`."""
    from xpsr.metrics import METRICS

    free = [m.name for m in METRICS.values() if not (m.needs_reference or m.needs_download)]
    return [*free, *(name for name in learned if name in learned_metrics())]


def learned_metrics() -> dict[str, str]:
    """Name and label of the scores that need a download and no reference."""
    from xpsr.metrics import METRICS

    return {m.name: m.label for m in METRICS.values() if m.needs_download and not m.needs_reference}


def compare(image: Image.Image, after: Image.Image, learned: Sequence[str] = ()) -> list[Row]:
    """Scores of the enlarged input and of the result, both against the input where that counts."""
    from xpsr.metrics import score

    names = shown_metrics(learned)
    first = score(enlarge(image, after.size), input=image, metrics=names)
    second = score(after, input=image, metrics=names)
    return [Row(name, first[name], second[name]) for name in names]


def write_rows(rows: Sequence[Row], path: Path) -> None:
    """Scores as {name: {"before", "after"}}; those that could not be had are left out."""
    pairs = {
        row.name: {"before": row.before.value, "after": row.after.value}
        for row in rows
        if row.before.value is not None and row.after.value is not None
    }
    path.write_text(json.dumps(pairs, indent=1) + "\n", encoding="utf-8")


def read_rows(path: Path) -> tuple[Row, ...]:
    """What `write_rows` wrote; nothing where there is no such file."""
    from xpsr.metrics import METRICS, Score

    if not path.exists():
        return ()
    saved = json.loads(path.read_text(encoding="utf-8"))
    return tuple(
        Row(name, Score(pair["before"], None), Score(pair["after"], None))
        for name, pair in saved.items()
        if name in METRICS
    )
