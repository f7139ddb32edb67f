"""Finished runs as files and scores: what the comparison, the table and the download show."""

from __future__ import annotations

import atexit
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

if TYPE_CHECKING:
    from xpsr.metrics import Score
    from xpsr.pipeline import Restored
    from xpsr.prompts.provenance import Sentence
    from xpsr.recipe import Recipe

KEEP_SECONDS = 24 * 3600


@dataclass(frozen=True)
class Result:
    """One finished run on disk: two pictures of the same size and what made them."""

    before: Path
    after: Path
    size: tuple[int, int]
    recipe: Recipe
    seconds: float
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Row:
    """One score of the picture before and after."""

    name: str
    before: Score
    after: Score


class Shelf:
    """The folder with the results of this process: gone with it, and each result after a day.

    It lies inside Gradio's own cache, so results are served from where they are written. No name
    in it comes from a visitor.
    """

    def __init__(self) -> None:
        if "GRADIO_TEMP_DIR" not in os.environ:
            # Gradio's default is one folder for all users and all apps of a machine.
            own = tempfile.mkdtemp(prefix="xpsr-studio-")
            atexit.register(shutil.rmtree, own, ignore_errors=True)
            os.environ["GRADIO_TEMP_DIR"] = own
        self.folder = Path(os.environ["GRADIO_TEMP_DIR"]).resolve() / "results"

    def new_folder(self) -> Path:
        """An empty folder with a name that cannot be guessed."""
        self._sweep()
        folder = self.folder / secrets.token_urlsafe(16)
        folder.mkdir(parents=True)
        return folder

    def _sweep(self) -> None:
        old = time.time() - KEEP_SECONDS
        for folder in self.folder.glob("*"):
            if folder.stat().st_mtime < old:
                shutil.rmtree(folder, ignore_errors=True)

    def keep(self, image: Image.Image, restored: Restored) -> Result:
        """Write the pair: the input enlarged to the size of the result, and the result."""
        from xpsr.recipe import save_png

        folder = self.new_folder()
        settings = restored.recipe.settings
        after = folder / f"restored-x{settings.upscale}-seed{settings.seed}.png"
        save_png(restored.image, restored.recipe, after)
        before = write_enlarged(image, restored.image.size, folder / "before.png")
        return Result(
            before, after, restored.image.size, restored.recipe, restored.seconds, restored.notes
        )


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
