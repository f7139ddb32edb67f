"""Every finished run on disk: found again after a reload, a restart or a crash."""

from __future__ import annotations

import errno
import logging
import os
import re
import secrets
import shutil
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from xpsr.errors import XPSRError
from xpsr.recipe import Recipe, read_recipe, save_png

from .. import words
from .names import result_name
from .scores import Row, read_rows, write_enlarged, write_rows, write_thumb
from .shelf import KEEP_SECONDS, Shelf

if TYPE_CHECKING:
    from xpsr.pipeline import Restored

log = logging.getLogger(__name__)

GIGABYTE = 1024**3
# All but the result, whose name is that of the picture (once it was "restored" for all of them).
OTHER_PICTURES = ("picture.png", "before.png")
_ID = re.compile(r"\d{8}-\d{6}-[\w-]{22}")


@dataclass(frozen=True)
class Run:
    """One finished run, its files ready to be served.

    Attributes:
        id: what `Outputs.find` takes; nobody can guess the one of a stranger.
        title: the name of the picture, as its owner calls it: foreign text.
        picture: the picture as it was brought (PNG).
        before: the same, enlarged to the size of the result (bicubic).
        after: the result, with its recipe inside.
        thumb: the result at the size of a thumbnail (JPEG).
        recipe_file: the recipe by itself (JSON).
        rows: the scores before and after; empty until they are known.
        kept: it lies in the folder of results; else it is gone with the process.
    """

    id: str
    title: str
    picture: Path
    before: Path
    after: Path
    thumb: Path
    recipe_file: Path
    recipe: Recipe
    seconds: float
    notes: tuple[str, ...] = ()
    rows: tuple[Row, ...] = ()
    kept: bool = True


class _About(BaseModel):
    """run.json: what neither the recipe nor the scores tell."""

    model_config = ConfigDict(extra="forbid")

    title: Annotated[str, Field(max_length=200)]
    seconds: float
    notes: list[str]


class Outputs:
    """The folder of results. Each run has a folder of its own in it:

    `picture.png`, the result as `garden-x4-seed7.png`, `recipe.json`, `run.json` and, when they
    are known, `scores.json`.

    Args:
        folder: where; made when it is first needed.
        shelf: serves the files.
        limit: bytes; beyond it the oldest runs are removed.
        keep_seconds: older runs are removed as well; None: they stay.
        examples: finished runs that ship with the project.
    """

    def __init__(
        self,
        folder: str | Path,
        shelf: Shelf,
        *,
        limit: int = 2 * GIGABYTE,
        keep_seconds: float | None = None,
        examples: Sequence[Run] = (),
    ) -> None:
        self.folder = Path(folder).expanduser().absolute()
        self.shelf, self.limit, self.keep_seconds = shelf, limit, keep_seconds
        self.examples = {run.id: run for run in examples}
        self._tidying = threading.Lock()

    def keep(self, picture: Image.Image, restored: Restored, title: str = "") -> Run:
        """Write a finished run. Where the folder cannot be written, it is served all the same.

        Raises:
            XPSRError: no disk takes it, not even that of temporary files.
        """
        run_id = f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_urlsafe(16)}"
        about = _About(title=title[:200], seconds=restored.seconds, notes=list(restored.notes))
        # Written under another name first, so that what a crash leaves is never taken for a run.
        unfinished = self.folder / f".{run_id}"
        try:
            _write(unfinished, picture, restored, about)
            unfinished.rename(self.folder / run_id)
        except OSError as error:
            shutil.rmtree(unfinished, ignore_errors=True)
            return self._lend_alone(run_id, picture, restored, about, error.strerror or "")
        self.tidy(spare={run_id})
        return self.find(run_id)

    def _lend_alone(
        self, run_id: str, picture: Image.Image, restored: Restored, about: _About, why: str
    ) -> Run:
        """A run that is served, and gone with the process: its note says so."""
        about.notes.append(words.cannot_keep(str(self.folder), why))
        try:
            _write(self.shelf.folder / run_id, picture, restored, about)
        except OSError as error:
            raise XPSRError(words.no_disk(str(self.folder), error.strerror or "")) from error
        return self.find(run_id)

    def add_scores(self, run: Run, rows: Sequence[Row]) -> Run:
        """The run with its scores, which are written beside it."""
        try:
            if (folder := self._place(run.id)).is_dir():
                write_rows(rows, folder / "scores.json")
        except OSError as error:  # the page has them all the same
            log.warning("the scores of %s could not be written: %s", run.id, error.strerror)
        return replace(run, rows=tuple(rows))

    def find(self, run_id: str) -> Run:
        """A run by its id.

        Raises:
            XPSRError: it has been removed, or there never was one.
        """
        if run_id in self.examples:
            return self.examples[run_id]
        folder = self._place(run_id)
        if not _ID.fullmatch(run_id) or not folder.is_dir():
            raise XPSRError(words.RUN_GONE)
        try:
            (after,) = (one for one in folder.glob("*.png") if one.name not in OTHER_PICTURES)
            about = _About.model_validate_json((folder / "run.json").read_bytes())
            recipe, rows = read_recipe(after), read_rows(folder / "scores.json")
            return Run(
                id=run_id,
                title=about.title,
                picture=self.shelf.lend(folder / "picture.png", run_id),
                before=self._before(folder / "picture.png", recipe.output_size, run_id),
                after=(lent := self.shelf.lend(after, run_id)),
                thumb=write_thumb(lent, lent.with_name("thumb.jpg")),
                recipe_file=self.shelf.lend(folder / "recipe.json", run_id),
                recipe=recipe,
                seconds=about.seconds,
                notes=tuple(about.notes),
                rows=rows,
                kept=folder.parent == self.folder,
            )
        except (OSError, ValueError, ValidationError, XPSRError) as error:
            full = isinstance(error, OSError) and error.errno == errno.ENOSPC
            raise XPSRError(words.DISK_FULL if full else words.RUN_DAMAGED) from error

    def _place(self, run_id: str) -> Path:
        """The folder of a run: among the results, or on the shelf where these take none."""
        alone = self.shelf.folder / run_id
        lent = _ID.fullmatch(run_id) and (alone / "run.json").exists()
        return alone if lent else self.folder / run_id

    def found(self, run_ids: Iterable[str]) -> list[Run]:
        """The runs that are still there."""
        runs = []
        for run_id in run_ids:
            try:
                runs.append(self.find(run_id))
            except XPSRError:
                continue
        return runs

    def tidy(self, spare: Iterable[str] = ()) -> None:
        """Remove what is too old, and the oldest runs beyond the limit. Only runs are touched."""
        with self._tidying:
            folders = [p for p in sorted(self.folder.glob("*")) if _ID.fullmatch(p.name)]
            sizes = {folder: _size(folder) for folder in folders}
            total, now = sum(sizes.values()), time.time()
            for folder in folders:
                old = self.keep_seconds and _age(folder, now) > self.keep_seconds
                if folder.name in spare or not (old or total > self.limit):
                    continue
                shutil.rmtree(folder, ignore_errors=True)
                shutil.rmtree(self.shelf.folder / folder.name, ignore_errors=True)
                total -= sizes[folder]
            for left in self.folder.glob(".*"):  # by a crash
                if _ID.fullmatch(left.name[1:]) and _age(left, now) > KEEP_SECONDS:
                    shutil.rmtree(left, ignore_errors=True)

    def _before(self, picture: Path, size: tuple[int, int], name: str) -> Path:
        path = self.shelf.folder / name / "before.png"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with Image.open(picture) as image:
                write_enlarged(image.convert("RGB"), size, path)
        return path


def _write(folder: Path, picture: Image.Image, restored: Restored, about: _About) -> None:
    """All files of a run but its scores."""
    recipe = restored.recipe
    folder.mkdir(parents=True)
    picture.convert("RGB").save(folder / "picture.png", compress_level=1)
    save_png(restored.image, recipe, folder / result_name(about.title, recipe.settings))
    (folder / "recipe.json").write_text(recipe.to_json(), encoding="utf-8")
    (folder / "run.json").write_text(about.model_dump_json(), encoding="utf-8")


def _size(folder: Path) -> int:
    return sum(entry.stat().st_size for entry in os.scandir(folder) if entry.is_file())


def _age(folder: Path, now: float) -> float:
    try:
        return now - folder.stat().st_mtime
    except FileNotFoundError:
        return 0.0
