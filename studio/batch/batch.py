"""The pictures of one batch: what was brought, how each of them fares, and what comes next."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from xpsr.errors import XPSRError
from xpsr.image import read_size

from .. import texts
from ..form import read_form
from ..incoming import picture_path, sentence
from ..job import Job
from ..texts import NOTHING_BROUGHT, Brought
from . import words

if TYPE_CHECKING:
    from xpsr.prompts import Prompts
    from xpsr.prompts.describer import Description
    from xpsr.settings import Settings

    from ..results.outputs import Run

MAX_PICTURES = 100
# Enlarged 4 times their results take about a gigabyte, which is half of what is kept by default.
MAX_PIXELS = 40_000_000
LEFT_BY_SYSTEMS = ("Thumbs.db", "desktop.ini")  # in folders, where nobody sees them

State = Literal["waiting", "describing", "ready", "working", "scoring", "done", "failed"]


@dataclass(frozen=True)
class Order:
    """What is to be done with every picture, as the form stood at the start.

    Attributes:
        describe: whether each picture is described; else the two main texts of the form count.
        brought: who wrote these.
        model: the one that was in use.
    """

    preset: str
    prompts: Prompts
    settings: Settings
    learned: tuple[str, ...] = ()
    brought: Brought = NOTHING_BROUGHT
    describe: bool = False
    model: str = ""

    @classmethod
    def read(
        cls,
        preset: str,
        learned: Sequence[str],
        brought: Brought,
        describe: bool,
        model: str,
        values: Sequence[Any],
    ) -> Order:
        """The order as the form has it.

        Raises:
            XPSRError: a value is out of its range.
        """
        return cls(preset, *read_form(preset, values), tuple(learned), brought, describe, model)

    def with_description(self, said: Description) -> Order:
        """For one picture: its own two texts."""
        prompts = replace(self.prompts, prompt=said.high, lowlevel_prompt=said.low)
        return replace(self, prompts=prompts, brought=texts.described(said, self.brought))


@dataclass
class Item:
    """One file of a batch.

    Attributes:
        payload: what the browser sent for it.
        name: what the visitor calls it: foreign text.
        size: (width, height) in pixels; None for what is no picture.
        note: what there is to say of it beside its state: its step, or why it failed.
        order: how it is restored, once that is known.
        run: its result.
        began, took: when its turn began, and how many seconds it took, scores included.
    """

    payload: dict[str, Any]
    name: str
    size: tuple[int, int] | None
    state: State = "waiting"
    note: str = ""
    order: Order | None = None
    run: Run | None = None
    began: float = 0.0
    took: float = 0.0

    @classmethod
    def of(cls, payload: dict[str, Any]) -> Item:
        """A file as it was brought: looked at, not decoded."""
        path = picture_path(payload)
        item = cls(payload, str(payload.get("orig_name") or path.name)[:200], None)
        try:
            item.size = read_size(path)
        except Exception as error:
            item.fail(sentence(error))
        return item

    @property
    def pixels(self) -> int:
        return self.size[0] * self.size[1] if self.size else 0

    @property
    def how(self) -> str:
        """How it goes, in words."""
        if self.state == "done" and self.run is not None:
            kept = "" if self.run.kept else f" {words.NOT_KEPT}"
            return words.done(self.run.seconds) + kept
        return self.note or words.STATES[self.state]

    @property
    def may_retry(self) -> bool:
        """It failed, and may do better next time: a picture, and its file is known."""
        return self.state == "failed" and bool(self.size and self.payload.get("path"))

    def wait(self) -> None:
        self.state, self.note, self.order = "waiting", "", None

    def fail(self, why: str) -> None:
        self.state, self.note = "failed", words.failed(why)

    def work(self) -> None:
        self.state, self.began = "working", time.monotonic()

    def keep(self, run: Run) -> None:
        """It has a result, which stays whatever comes; the scores are still to be computed."""
        self.state, self.note, self.run = "scoring", "", run

    def finish(self, run: Run) -> None:
        self.state, self.note, self.run = "done", "", run
        self.took = time.monotonic() - self.began


@dataclass
class Batch:
    """The batch of one visitor, in a `gr.State`; changed in place.

    Attributes:
        order: what is done now, or was done last.
        job: the last press on a button that begins it; "stopping" until Gradio has let go of
            whoever was at work.
        refused: why the files that were brought last are not among the items.
        begun: it has been at work since these files were brought, or before a reload.
        picked: the item whose result the visitor wants to see; None: the newest.
    """

    items: list[Item] = field(default_factory=list)
    order: Order | None = None
    job: Job = field(default_factory=Job)
    refused: str = ""
    begun: bool = False
    picked: int | None = None

    def bring(self, payloads: Sequence[dict[str, Any]]) -> None:
        """Take these files and no others; what is known of them already stays.

        Raises:
            XPSRError: they are too many or too large together; then all stays as it was.
        """
        # By their paths: the same file brought twice is one picture.
        own = {str(one.get("path")): one for one in payloads if not by_a_system(one)}
        if len(own) > MAX_PICTURES:
            raise XPSRError(words.too_many(len(own), MAX_PICTURES))
        known = {str(item.payload.get("path")): item for item in self.items}
        items = [known.get(path) or Item.of(one) for path, one in own.items()]
        if (pixels := sum(item.pixels for item in items)) > MAX_PIXELS:
            raise XPSRError(words.too_large(pixels, MAX_PIXELS))
        self.begun = self.begun and bool(known.keys() & own.keys())
        self.items, self.picked, self.refused = items, None, ""

    def count(self, *states: State) -> int:
        return sum(item.state in states for item in self.items)

    @property
    def at_work(self) -> bool:
        """Whether the next picture is still to come; not any more once Stop was pressed."""
        return self.job.state == "working"

    @property
    def left(self) -> int:
        """How many are not through."""
        return len(self.items) - self.count("done", "failed")

    @property
    def button(self) -> str:
        """What stands on the button that begins it, or goes on with it."""
        if self.items and not self.left:
            return words.AGAIN
        if self.begun and self.count("done", "failed"):
            return words.go_on(self.left)
        return words.RESTORE_ALL

    def begin(self, order: Order) -> None:
        """Go on with those that wait; where none does, with all of them anew."""
        self.order, self.job, self.begun, self.picked = order, Job("working"), True, None
        self.refused = ""
        if not self.left:
            for item in self.items:
                item.wait()

    def retry(self) -> None:
        """Let those that failed wait once more."""
        for item in self.items:
            if item.may_retry:
                item.wait()

    def stop(self) -> None:
        self.job.stop()
        for item in self.items:
            if item.state in ("describing", "ready", "working"):
                item.wait()
            elif item.state == "scoring":
                item.state = "done"

    def first(self, state: State) -> Item | None:
        """The next one in this state, if the batch is at work."""
        if not self.at_work:
            return None
        return next((item for item in self.items if item.state == state), None)

    def seconds_left(self) -> float | None:
        """As the finished ones let expect; None as long as there are none."""
        took = [item.took for item in self.items if item.took]
        return self.left * sum(took) / len(took) if took else None

    def shown(self) -> Run | None:
        """The result that stands beside the table."""
        if self.picked is not None and self.picked < len(self.items):
            return self.items[self.picked].run
        return next((item.run for item in reversed(self.items) if item.state == "done"), None)


def by_a_system(payload: dict[str, Any]) -> bool:
    """Whether a file lies in folders where its owner does not see it."""
    name = Path(str(payload.get("orig_name") or payload.get("path"))).name
    return name.startswith(".") or name in LEFT_BY_SYSTEMS
