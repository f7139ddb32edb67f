"""FID: how far a set of results lies from the set of originals, which no single picture can say."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from xpsr.errors import XPSRError
from xpsr.evaluation.pairs import Pair
from xpsr.image import open_image, resize
from xpsr.metric_models import Judge, judge
from xpsr.metrics import Score


def fid_of_set(pairs: Sequence[Pair], results: Path) -> dict[str, dict[str, Score]]:
    """FID of the results and of bicubic enlargement, each against all originals.

    Args:
        pairs: all have originals.
        results: folder of `NAME.png`.

    Returns:
        {"scores" | "bicubic": {"fid": score}}, as `table.summarise` takes it.
    """
    try:
        ask = judge("fid", needs_download=True)  # before a picture is touched
    except XPSRError as error:
        return {key: {"fid": Score(None, str(error))} for key in ("scores", "bicubic")}
    with tempfile.TemporaryDirectory() as folder:
        places = {name: Path(folder, name) for name in ("scores", "bicubic", "originals")}
        for place in places.values():
            place.mkdir()
        for pair in pairs:
            assert pair.high is not None
            result = open_image(results / f"{pair.name}.png").image
            pictures = {
                "scores": result,
                "bicubic": resize(open_image(pair.low).image, result.size),
                "originals": open_image(pair.high).image,
            }
            for name, picture in pictures.items():
                picture.save(places[name] / f"{pair.name}.png")
        return {
            key: {"fid": _between(ask, places[key], places["originals"])}
            for key in ("scores", "bicubic")
        }


def _between(ask: Judge, results: Path, originals: Path) -> Score:
    """Fréchet Inception Distance of two folders of pictures, by pyiqa; lower is better."""
    try:
        return Score(float(ask(str(results), str(originals))))
    except Exception as error:  # the judges raise what they like
        return Score(None, f"could not be computed for these pictures ({type(error).__name__})")
