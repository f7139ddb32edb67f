"""Restores one picture and scores it, and plain bicubic enlargement beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from xpsr.earlier import reusable
from xpsr.errors import XPSRError
from xpsr.evaluation.fid import IN_TABLES
from xpsr.evaluation.identity import identity
from xpsr.evaluation.pairs import Pair
from xpsr.image import open_image, pixel_sha256, resize
from xpsr.metric_models import NEEDS_DOWNLOAD, is_to_be_had
from xpsr.metrics import METRICS, Score, reasons, score, to_json
from xpsr.prompts import Prompts
from xpsr.recipe import save_png
from xpsr.settings import Settings
from xpsr.whole import cannot_write, whole

if TYPE_CHECKING:
    from xpsr.pipeline import Restored, XPSRPipeline

# The columns of the paper's Table 1 in its order, then two that need no download.
PAPER = ("psnr", "ssim", "lpips", "dists", "fid", "maniqa", "clipiqa", "musiq")
COLUMNS = (*PAPER, "piqe", "backprojection")


def choose_metrics(names: Sequence[str] | None, with_originals: bool) -> list[str]:
    """The columns of a table: those named, or all that the pictures allow, in the paper's order.

    Raises:
        XPSRError: an unknown name, or one that needs originals where there are none.
    """
    for name in names or ():
        if name not in IN_TABLES:
            raise XPSRError(f'There is no score "{name}"; there are {", ".join(IN_TABLES)}.')
        if IN_TABLES[name].needs_reference and not with_originals:
            raise XPSRError(f"{name} needs the originals; name their folder with --hr.")
    wanted = dict.fromkeys(names or COLUMNS)
    ordered = [name for name in COLUMNS if name in wanted]
    ordered += [name for name in wanted if name not in ordered]
    return [one for one in ordered if with_originals or not IN_TABLES[one].needs_reference]


def to_be_had_now(rows: Iterable[Mapping[str, Any]]) -> set[str]:
    """The scores that some of the rows lack for want of a download, and that are here by now."""
    lacking = {
        name
        for row in rows
        for name, reason in row.get("reasons", {}).items()
        if name in METRICS and reason.startswith(NEEDS_DOWNLOAD)
    }
    return {name for name in lacking if is_to_be_had(name)}


@dataclass
class Judge:
    """One model with one set of options.

    Args:
        pipeline: gives the pipeline; asked only when something has to be restored.
        metrics: from `choose_metrics`.
        texts: the texts for a picture.
        settings: of every run; each picture has the seed of these and a generator of its own.
        folder: where results lie, `NAME.png` with the recipe inside.
    """

    pipeline: Callable[[], XPSRPipeline]
    metrics: Sequence[str]
    texts: Callable[[Image.Image], Prompts]
    settings: Settings
    folder: Path

    def row(self, pair: Pair) -> dict[str, Any]:
        """The record of one picture: scores of the result and of bicubic enlargement.

        Its "seconds" are those of the restoring; None where the result was there already.

        Raises:
            XPSRError: a picture that cannot be used.
        """
        photos = [open_image(path) for path in (pair.low, pair.high) if path]
        low, high = photos[0].image, photos[1].image if pair.high else None
        result, seconds = self._restored(pair, low)
        if high is not None and high.size != result.size:
            sizes = ["{} x {}".format(*one.size) for one in (high, result)]
            raise XPSRError(f"the original has {sizes[0]} pixels and the result {sizes[1]}")
        enlarged = resize(low, result.size)
        found, plain = (self._scores(one, high, low) for one in (result, enlarged))
        return {
            "name": pair.name,
            "seconds": None if seconds is None else round(seconds, 3),
            "sha256": pixel_sha256(result),
            **identity(low, high),
            "scores": to_json(found),
            "bicubic": to_json(plain),
            "reasons": {**reasons(plain), **reasons(found)},
            "notes": list(dict.fromkeys(note for photo in photos for note in photo.notes)),
        }

    def _restored(self, pair: Pair, low: Image.Image) -> tuple[Image.Image, float | None]:
        """The result, from the folder if the very same run left it there, and what it took."""
        from xpsr.pipeline import result_of

        pipe, prompts = self.pipeline(), self.texts(low)
        path = self.folder / f"{pair.name}.png"
        now = pipe.surroundings()  # of these, other weights are refused before
        counting = {name: now[name] for name in ("model", "base", "device", "dtype")}
        if there := reusable(path, low, prompts, self.settings, counting):
            return there[1], None
        restored = result_of(pipe.stream(low, prompts, self.settings))
        _write(restored, path)
        return restored.image, restored.seconds

    def _scores(
        self, image: Image.Image, high: Image.Image | None, low: Image.Image
    ) -> dict[str, Score]:
        single = [name for name in self.metrics if name in METRICS]
        return score(image, reference=high, input=low, metrics=single)


def _write(restored: Restored, path: Path) -> None:
    try:
        with whole(path) as part:
            save_png(restored.image, restored.recipe, part)
    except OSError as error:
        raise cannot_write(path, error) from None
