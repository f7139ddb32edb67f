"""Every finished run on disk: found again after a reload, a restart or a crash."""

from __future__ import annotations

import errno
import logging
import re
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple
from weakref import WeakSet

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from xpsr.errors import XPSRError
from xpsr.recipe import Recipe, read_recipe, save_png

from ..words import RUN_GONE
from . import words
from .names import result_name
from .scores import Row, read_rows, write_enlarged, write_rows, write_thumb
from .shelf import GIGABYTE, KEEP_SECONDS, Shelf
from .together import Together

if TYPE_CHECKING:
    from PIL import Image

    from xpsr.pipeline import Restored

    from ..visit import Visit

log = logging.getLogger(__name__)

# All but the result, whose name is that of the picture (once it was "restored" for all of them).
OTHER_PICTURES = ("picture.png", "before.png")
AT_HAND = 1000  # so many runs are not read again while nothing in their folders changes
_ID = re.compile(r"\d{8}-\d{6}-[\w-]{22}")


@dataclass(frozen=True)
class Run:
    """One finished run, its files ready to be served.

    Attributes:
        id: what `Outputs.find` takes; nobody can guess the one of a stranger.
        title: the name of the picture, as its owner calls it: foreign text.
        picture: the picture as it was brought (PNG).
        after: the result, with its recipe inside.
        thumb: the result at the size of a thumbnail (JPEG).
        recipe_file: the recipe by itself (JSON), named as the result is.
        make_before: see `before`.
        rows: the scores before and after; empty until they are known.
        kept: it lies in the folder of results; else it is gone with the process.
    """

    id: str
    title: str
    picture: Path
    after: Path
    thumb: Path
    recipe_file: Path
    recipe: Recipe
    seconds: float
    make_before: Callable[[], Path] = field(compare=False, repr=False)
    notes: tuple[str, ...] = ()
    rows: tuple[Row, ...] = ()
    kept: bool = True

    @property
    def before(self) -> Path:
        """The picture, enlarged to the size of the result (bicubic); made when first asked for.

        Raises:
            XPSRError: there is no room for it, or the picture is damaged.
        """
        with _told():
            return self.make_before()


class _About(BaseModel):
    """run.json: what neither the recipe nor the scores tell."""

    model_config = ConfigDict(extra="forbid")

    title: Annotated[str, Field(max_length=200)]
    seconds: float
    notes: list[str]


class Outputs:
    """The folder of results. Each run has a folder of its own in it:

    `picture.png`, the result as `garden-x4-seed7-1a2b.png`, `thumb.jpg`, `recipe.json`, `run.json`
    and, when they are known, `scores.json`.

    Args:
        folder: where; made when it is first needed.
        shelf: serves the files.
        limit: bytes; beyond it the oldest runs are removed.
        keep_seconds: older runs are removed as well; None: they stay.
        examples: finished runs that ship with the project, by their ids.

    `together` knows what the pages of one browser have made.
    """

    def __init__(
        self,
        folder: str | Path,
        shelf: Shelf,
        *,
        limit: int = 2 * GIGABYTE,
        keep_seconds: float | None = None,
        examples: Mapping[str, Run] | None = None,
    ) -> None:
        self.folder = Path(folder).expanduser().absolute()
        self.shelf, self.limit, self.keep_seconds = shelf, limit, keep_seconds
        self.examples = examples or {}
        self._visits: WeakSet[Visit] = WeakSet()
        self._visiting = threading.Lock()
        self.together = Together(self.has)
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
        folder = self.shelf.folder / run_id
        try:
            _write(folder, picture, restored, about)
        except OSError as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise XPSRError(words.no_disk(str(self.folder), error.strerror or "")) from error
        return self.find(run_id)

    def add_scores(self, run: Run, rows: Sequence[Row]) -> Run:
        """The run with these scores, and those others that it has; written beside it."""
        rows = tuple({row.name: row for row in (*run.rows, *rows)}.values())
        try:
            if (folder := self._place(run.id)).is_dir():
                write_rows(rows, folder / "scores.json")
        except OSError as error:  # the page has them all the same
            log.warning("the scores of %s could not be written: %s", run.id, error.strerror)
        return replace(run, rows=rows)

    def find(self, run_id: str) -> Run:
        """A run by its id.

        Raises:
            XPSRError: it has been removed, or there never was one.
        """
        if run_id in self.examples:
            return self.examples[run_id]
        if not self.has(run_id):
            raise XPSRError(RUN_GONE)
        with _told():
            folder = self._place(run_id)
            return self._lent(folder, _read(folder, _state_of(folder)))

    def get(self, run_id: str | None) -> Run | None:
        """The same for one that may have been removed meanwhile; None: there is none."""
        try:
            return self.find(run_id) if run_id else None
        except XPSRError:
            return None

    def has(self, run_id: str) -> bool:
        """Whether there is such a run, be it damaged."""
        if run_id in self.examples:
            return True
        return bool(_ID.fullmatch(run_id)) and self._place(run_id).is_dir()

    def _lent(self, folder: Path, read: _Read) -> Run:
        lend, make = self.shelf.lend, self.shelf.make
        picture, after = lend(folder / "picture.png", folder.name), lend(read.after, folder.name)
        enlarged = partial(write_enlarged, picture, read.recipe.output_size)
        thumb = folder / "thumb.jpg"  # not in older folders
        return Run(
            id=folder.name,
            title=read.about.title,
            picture=picture,
            after=after,
            thumb=lend(thumb, folder.name)
            if thumb.exists()
            else make(folder.name, thumb.name, partial(write_thumb, after)),
            recipe_file=lend(folder / "recipe.json", folder.name, f"{after.stem}.json"),
            recipe=read.recipe,
            seconds=read.about.seconds,
            make_before=partial(make, folder.name, "before.png", enlarged),
            notes=tuple(read.about.notes),
            rows=read.rows,
            kept=folder.parent == self.folder,
        )

    def _place(self, run_id: str) -> Path:
        """The folder of a run: among the results, or on the shelf where these take none."""
        alone = self.shelf.folder / run_id
        lent = _ID.fullmatch(run_id) and (alone / "run.json").exists()
        return alone if lent else self.folder / run_id

    def found(self, run_ids: Iterable[str]) -> list[Run]:
        """The runs that are still there."""
        return [run for one in run_ids if (run := self.get(one))]

    def welcome(self, visit: Visit) -> None:
        """What this visitor sees is not removed to make room, as long as the page is open."""
        with self._visiting:
            self._visits.add(visit)

    def _on_pages(self) -> set[str]:
        with self._visiting:
            visits = list(self._visits)
        return {one for visit in visits for one in (visit.shown, visit.pinned) if one}

    def renew(self) -> None:
        """Gradio serves for another day what is on a page."""
        for run in self.found(self._on_pages()):
            with suppress(XPSRError):  # there may be no room
                _ = run.before

    def tidy(self, spare: Iterable[str] = ()) -> None:
        """Remove what is too old, and the oldest runs beyond the limit. Only runs are touched.

        For room, no run goes that is in `spare` or on a page.
        """
        spare = {*spare, *self._on_pages()}
        with self._tidying:
            now = time.time()
            runs = {p: _weigh(p, now) for p in self.folder.glob("*") if _ID.fullmatch(p.name)}
            total = sum(size for size, _ in runs.values())
            for folder, (size, age) in sorted(runs.items()):
                old = self.keep_seconds and age > self.keep_seconds
                if not old and (folder.name in spare or total <= self.limit):
                    continue
                shutil.rmtree(folder, ignore_errors=True)
                shutil.rmtree(self.shelf.folder / folder.name, ignore_errors=True)
                total -= size
            for left in self.folder.glob(".*"):  # by a crash
                if _ID.fullmatch(left.name[1:]) and _weigh(left, now)[1] > KEEP_SECONDS:
                    shutil.rmtree(left, ignore_errors=True)
        self.shelf.tidy()


class _Read(NamedTuple):
    """What the files of a run say."""

    after: Path
    about: _About
    recipe: Recipe
    rows: tuple[Row, ...]


@lru_cache(AT_HAND)
def _read(folder: Path, _state: tuple) -> _Read:
    """The files of a run, which are in this state; see `_state_of`."""
    (after,) = (one for one in folder.glob("*.png") if one.name not in OTHER_PICTURES)
    about = _About.model_validate_json((folder / "run.json").read_bytes())
    return _Read(after, about, read_recipe(after), read_rows(folder / "scores.json"))


def _state_of(folder: Path) -> tuple:
    """Changes as soon as any finished file of the folder does."""
    entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    stats = [(entry.name, entry.stat()) for entry in entries]
    return tuple((name, one.st_ino, one.st_size, one.st_mtime_ns) for name, one in stats)


@contextmanager
def _told() -> Iterator[None]:
    """What can go wrong with the files of a run, in a sentence for a visitor."""
    try:
        yield
    except (OSError, ValueError, ValidationError, XPSRError) as error:
        full = isinstance(error, OSError) and error.errno == errno.ENOSPC
        raise XPSRError(words.DISK_FULL if full else words.RUN_DAMAGED) from error


def _write(folder: Path, picture: Image.Image, restored: Restored, about: _About) -> None:
    """All files of a run but its scores."""
    recipe = restored.recipe
    folder.mkdir(parents=True)
    picture.convert("RGB").save(folder / "picture.png", compress_level=1)
    after = folder / result_name(about.title, recipe)
    save_png(restored.image, recipe, after)
    write_thumb(after, folder / "thumb.jpg")
    (folder / "recipe.json").write_text(recipe.to_json(), encoding="utf-8")
    (folder / "run.json").write_text(about.model_dump_json(), encoding="utf-8")


def _weigh(folder: Path, now: float) -> tuple[int, float]:
    """The bytes of a run, and for how many seconds it has been there."""
    size, since = 0, now
    for path in (folder, *folder.glob("*")):
        with suppress(FileNotFoundError):  # removed meanwhile
            status = path.stat()
            size += status.st_size if path != folder else 0
            since = min(since, status.st_mtime)  # scores may have come later
    return size, now - since
