"""The scores of a result beside those of its input."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from xpsr.whole import whole

if TYPE_CHECKING:
    from xpsr.metrics import Score


@dataclass(frozen=True)
class Row:
    """One score of the picture before and after."""

    name: str
    before: Score
    after: Score


def enlarge(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    return image.resize(size, Image.Resampling.BICUBIC)


def write_enlarged(picture: Path, size: tuple[int, int], path: Path) -> None:
    """A picture at another size, as `path`."""
    with Image.open(picture) as image:
        large = enlarge(image.convert("RGB"), size)
    large.save(path, "PNG", compress_level=1)  # read once by a browser: speed over size


def write_thumb(picture: Path, path: Path) -> None:
    """A small JPEG of a picture for strips and lists."""
    with Image.open(picture) as image:
        image.thumbnail((192, 192))
        image.convert("RGB").save(path, "JPEG", quality=88)


def shown_metrics(learned: Sequence[str] = (), with_reference: bool = False) -> list[str]:
    """The scores of the table: all that need no download, and `learned`."""
    from xpsr.metrics import METRICS

    return [
        m.name
        for m in METRICS.values()
        if (with_reference or not m.needs_reference) and (not m.needs_download or m.name in learned)
    ]


def learned_metrics() -> dict[str, str]:
    """Name and label of the scores that need a download."""
    from xpsr.metrics import METRICS

    return {m.name: m.label for m in METRICS.values() if m.needs_download}


def compare(
    image: Image.Image,
    after: Image.Image,
    names: Sequence[str],
    reference: Image.Image | None = None,
) -> list[Row]:
    """Scores of the enlarged input and of the result, against the input where that counts."""
    from xpsr.metrics import score

    first = score(enlarge(image, after.size), reference=reference, input=image, metrics=names)
    second = score(after, reference=reference, input=image, metrics=names)
    return [Row(name, first[name], second[name]) for name in names]


def write_rows(rows: Sequence[Row], path: Path) -> None:
    """Scores as {name: {"before", "after"}}; where there is none, the reason stands instead."""
    pairs = {row.name: {"before": _saved(row.before), "after": _saved(row.after)} for row in rows}
    text = json.dumps(pairs, indent=1) + "\n"
    with whole(path) as part:
        part.write_text(text, encoding="utf-8")


def read_rows(path: Path) -> tuple[Row, ...]:
    """What `write_rows` wrote; nothing where there is no such file."""
    from xpsr.metrics import METRICS

    if not path.exists():
        return ()
    saved = json.loads(path.read_text(encoding="utf-8"))
    return tuple(
        Row(name, *(_score(pair[side]) for side in ("before", "after")))
        for name, pair in saved.items()
        if name in METRICS
    )


def _saved(score: Score) -> float | str:
    return score.value if score.value is not None else score.reason or ""


def _score(saved: float | str) -> Score:
    from xpsr.metrics import Score

    return Score(None, saved) if isinstance(saved, str) else Score(saved)
