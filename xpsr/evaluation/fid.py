"""FID: how far a set of results lies from the set of originals, which no single picture can say."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from xpsr.earlier import has_pixels
from xpsr.errors import XPSRError
from xpsr.evaluation.pairs import Pair
from xpsr.image import open_image, resize
from xpsr.metric_models import Judge, judge
from xpsr.metrics import METRICS, Metric, Score

FID = Metric(
    "fid", "FID", 0, 500,
    "How far the features of a set of results lie from those of the originals.",
    lower_better=True, needs_reference=True, needs_download=True,
)  # fmt: skip
IN_TABLES = {**METRICS, FID.name: FID}  # what a table may have a column for


def fid_of_set(
    pairs: Sequence[Pair], rows: Sequence[Mapping[str, Any]], results: Path
) -> dict[str, dict[str, Score]]:
    """FID of the results and of bicubic enlargement, each against all originals.

    Args:
        pairs: all have originals.
        rows: one for each pair; what is not the result that its row tells of is not measured.
        results: folder of `NAME.png`.

    Returns:
        {"scores" | "bicubic": {"fid": score}}, as `table.summarise` takes it; without a figure,
        but with the reason, where a picture of the set is not there.
    """
    try:
        ask = judge("fid", needs_download=True)  # before a picture is touched
        with tempfile.TemporaryDirectory() as folder:
            places = {name: Path(folder, name) for name in ("scores", "bicubic", "originals")}
            for place in places.values():
                place.mkdir()
            for pair, row in zip(pairs, rows, strict=True):
                _copy(pair, row, results / f"{pair.name}.png", places)
            return {
                key: {"fid": _between(ask, places[key], places["originals"])}
                for key in ("scores", "bicubic")
            }
    except (XPSRError, OSError) as error:  # such as no room for the copies
        reason = str(error).rstrip(".")
        return {key: {"fid": Score(None, reason)} for key in ("scores", "bicubic")}


def _copy(pair: Pair, row: Mapping[str, Any], result: Path, places: Mapping[str, Path]) -> None:
    """A pair's three pictures in one form, each in its folder."""
    if not has_pixels(result, row["sha256"]):
        raise XPSRError(f"needs all results, and {result.name} is gone or was changed")
    assert pair.high is not None
    restored = open_image(result).image
    pictures = {
        "scores": restored,
        "bicubic": resize(open_image(pair.low).image, restored.size),
        "originals": open_image(pair.high).image,
    }
    for name, picture in pictures.items():
        picture.save(places[name] / f"{pair.name}.png")


def _between(ask: Judge, results: Path, originals: Path) -> Score:
    """Fréchet Inception Distance of two folders of pictures, by pyiqa; lower is better."""
    try:
        value = float(ask(str(results), str(originals)))
        found = math.isfinite(value)
        return Score(value) if found else Score(None, "has no value for so few pictures")
    except Exception as error:  # the judges raise what they like
        return Score(None, f"could not be computed for these pictures ({type(error).__name__})")
