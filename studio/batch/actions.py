"""What happens on the Batch tab. One picture is one event of its own in the queue of all visitors,
and the end of it calls for the next: so nobody waits for a whole batch.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from xpsr.errors import XPSRError

from .. import markup, texts
from ..compare.partner import partner_of, to_compare
from ..filling import fill
from ..incoming import open_picture, picture_path, sentence
from ..labels import as_labelled
from ..models.engine import is_progress, is_result
from ..models.switching import check_model
from ..models.waiting import SmallerTiles
from ..models.words import CHANGED_MEANWHILE
from ..models.words import step as at_step
from ..restore.showing import Face
from ..results import scores
from ..services import Services
from ..texts import Brought
from ..visit import Visit
from . import words
from .archive import Entry, write_archive
from .batch import MAX_PICTURES, Batch, Item, Order, by_a_system
from .memory import recalled, to_keep
from .table import render

if TYPE_CHECKING:
    from xpsr.prompts.describer import Description

# What the handlers fill, in this order.
SHOWN = (
    "status",
    "table",
    "start",
    "stop",
    "retry",
    "archive",
    "comparison",
    "caption",
    "compare",
    "turn",
    "strip",
)
shown = partial(fill, SHOWN)


class BatchActions:
    """The handlers of one studio; `batch` is the visitor's own and changed in place."""

    def __init__(self, services: Services) -> None:
        self.engine, self.outputs = services.engine, services.outputs
        self.face = Face(services.outputs)

    def receive(self, payloads: Sequence[dict] | None, batch: Batch) -> tuple:
        """The list of files has changed, in the middle of a run as well."""
        try:
            batch.bring(payloads or [])
        except Exception as error:
            return self._refuse(batch, sentence(error))
        if batch.at_work:
            return self._at_work(batch, **self._result(batch))
        if not batch.items:
            return self._idle(batch, words.EMPTY)
        pixels = sum(item.pixels for item in batch.items)
        refused = sum(item.size is None for item in batch.items)
        said = words.brought(len(batch.items) - refused, pixels, refused)
        return self._idle(batch, said)

    def too_many(self, batch: Batch) -> tuple:
        """The browser has found more files than a batch holds, and has sent none of them."""
        return self._refuse(batch, words.more_than(MAX_PICTURES))

    def _refuse(self, batch: Batch, why: str) -> tuple:
        """Files that are not taken; the batch is left as it is, in the middle of a run as well."""
        batch.refused = f"{why} {words.STAYS}" if batch.items else why
        if batch.at_work:
            return self._at_work(batch)
        return self._idle(batch, batch.refused, bad=True)

    def add_folder(self, payloads: Sequence[dict] | None, folder: Sequence[dict] | None) -> Any:
        """The list of files with those of a folder behind it, in the order of their names."""
        more = [one for one in folder or [] if not by_a_system(one)]
        more.sort(key=lambda one: str(one.get("orig_name")))
        return [str(picture_path(one)) for one in [*(payloads or []), *more]]

    def begin(
        self,
        turn: int,
        batch: Batch,
        visit: Visit,
        which: str,
        preset: str,
        learned: Sequence[str],
        brought: Brought,
        *values: Any,
    ) -> tuple:
        """Start or go on; the settings are those that the form shows now."""
        if batch.job.is_under_way:
            return shown()
        if not batch.items:
            return self._idle(batch, words.NOTHING, bad=True)
        try:
            model = self.engine.options.model
            order = Order.read(preset, learned, brought, which == "each", model, values)
            check_model(self.engine, visit, batch.button)
        except Exception as error:
            return self._idle(batch, sentence(error), bad=True)
        batch.begin(order)
        return self._at_work(batch, turn=turn + 1)

    def retry(self, turn: int, batch: Batch, *form: Any) -> tuple:
        """Those that failed once more."""
        if batch.job.is_under_way:
            return shown()
        batch.retry()
        return self.begin(turn, batch, *form)

    def describe(self, batch: Batch) -> Iterator[tuple]:
        """The texts of the next picture; this does not keep anybody from restoring."""
        job, item = batch.job, batch.first("waiting")
        if item is None or batch.order is None:
            yield shown()
            return
        item.order = batch.order
        if batch.order.describe:
            item.state = "describing"
            yield self._at_work(batch)
            try:
                heard: list[Description] = []
                for said in self.engine.describing(open_picture(item.payload).image):
                    heard = [said]
                    yield shown()  # the only moments at which this can be stopped
                    if job.is_stopped:
                        return
                item.order = batch.order.with_description(heard[-1])
            except Exception as error:
                item.fail(sentence(error))
                yield self._at_work(batch)
                return
        item.state = "ready"
        yield self._at_work(batch)

    def restore(self, batch: Batch, turn: int, visit: Visit) -> Iterator[tuple]:
        """The next picture; then another turn is asked for, behind those who wait already."""
        yield shown()  # what is filled by a run that ends without a word is emptied by Gradio
        job, item = batch.job, batch.first("ready")
        if item is not None:
            item.work()
            try:
                with closing(self._restoring(item, visit)) as steps:
                    for note in steps:
                        if job.is_stopped:
                            return
                        item.note = note
                        yield self._at_work(batch)
            except Exception as error:
                item.fail(as_labelled(sentence(error)))
        if job.state != "working":
            return
        strip = self.face.strip(visit) if item is not None and item.run else gr.skip()
        if batch.left:
            yield self._at_work(batch, turn=turn + 1, strip=strip, **self._result(batch))
            return
        job.end()
        said = words.finished(batch.count("done"), batch.count("failed"))
        yield self._idle(batch, said, strip=strip)

    def _restoring(self, item: Item, visit: Visit) -> Generator[str, None, None]:
        """One picture, with a word after every step."""
        order, photo = item.order, open_picture(item.payload)
        assert order is not None, "an item is ready when its order is known"
        if order.model != self.engine.options.model:
            raise XPSRError(CHANGED_MEANWHILE)
        for step in self.engine.stream(photo.image, order.prompts, order.settings):
            if is_progress(step):
                yield at_step(step)
                continue
            if not is_result(step):
                yield words.SMALLER_TILES if isinstance(step, SmallerTiles) else ""
                continue
            told = texts.with_origins(step, order.preset, order.brought)
            run = self.outputs.keep(photo.image, told, Path(item.name).stem)
            visit.add(run.id)
            item.keep(run)
            yield ""
            names = scores.shown_metrics(order.learned)
            rows = scores.compare(photo.image, step.image, names)
            item.finish(self.outputs.add_scores(run, rows))

    def stop(self, batch: Batch) -> tuple:
        """At once; whoever is at work sees it after the present step.

        Until then it cannot go on: the end of that work would be taken for the end of the new one.
        """
        batch.stop()
        return self._stopped(batch)

    def stopped(self, batch: Batch) -> tuple:
        """Whoever was at work has let go: the same once more, behind his last word."""
        batch.job.end()
        return self._stopped(batch)

    def _stopped(self, batch: Batch) -> tuple:
        return self._idle(batch, words.stopped(batch.count("done"), batch.left))

    def refused(self, batch: Batch) -> tuple:
        """An event ended without a word: it was stopped, or the queue is full."""
        if not batch.at_work:
            return shown()
        batch.stop()
        batch.job.end()
        return self._idle(batch, words.REFUSED.format(button=batch.button), bad=True)

    def pick(self, batch: Batch, event: gr.EventData) -> tuple:
        """A line of the table: its result beside it."""
        line = getattr(event, "line", None)
        if not isinstance(line, int) or not 0 <= line < len(batch.items):
            return shown()
        batch.picked = line
        return shown(table=render(batch), **self._result(batch))

    def compare(self, batch: Batch, visit: Visit) -> Any:
        """The result beside the table in the tab Compare: that tab, and what it is asked for."""
        run = batch.shown()
        if run is None:
            return gr.skip()
        other = partner_of(run, self.outputs, visit)
        return gr.Tabs(selected="compare"), to_compare(other.id if other else "", run.id)

    def keep(self, batch: Batch) -> dict[str, Any]:
        """What the browser is to remember."""
        return to_keep(batch)

    def recall(self, stored: Any, batch: Batch) -> tuple:
        """The tab is opened: what the browser remembers, where nothing has been brought yet."""
        try:
            said = recalled(stored, batch, self.outputs)
        except Exception as error:
            return shown(status=markup.notice(sentence(error), bad=True))
        return shown() if said is None else self._idle(batch, said)

    def pack(self, batch: Batch) -> tuple[Any, Any]:
        """The ZIP of what is finished, and a notice."""
        try:
            entries = [self._entry(item) for item in batch.items]
            if not any(entry.run for entry in entries):
                return gr.skip(), markup.notice(words.NOTHING_DONE, bad=True)
            path = write_archive(entries, self.outputs.shelf.new_folder() / words.ZIP_NAME)
        except Exception as error:
            return gr.skip(), markup.notice(sentence(error), bad=True)
        done = batch.count("done")
        gone = done - sum(entry.run is not None for entry in entries)
        return str(path), markup.notice(words.gone(gone), bad=True) if gone else gr.skip()

    def _entry(self, item: Item) -> Entry:
        if item.state != "done" or item.run is None:
            return Entry(item.name, None, item.how)
        run = self.outputs.get(item.run.id)
        return Entry(item.name, run, "" if run else "no longer there")

    def _at_work(self, batch: Batch, **changes: Any) -> tuple:
        done, failed = batch.count("done"), batch.count("failed")
        line = words.at_work(done, failed, len(batch.items), batch.seconds_left())
        return shown(
            status=markup.lines([line, batch.refused] if batch.refused else [line]),
            table=render(batch),
            start=gr.update(interactive=False),
            stop=gr.update(interactive=True),
            retry=gr.update(visible=False),
            archive=gr.update(interactive=done > 0),
            **changes,
        )

    def _idle(self, batch: Batch, said: str, bad: bool = False, **changes: Any) -> tuple:
        return shown(
            status=markup.notice(said, bad=bad),
            table=render(batch),
            start=gr.update(value=batch.button, interactive=not batch.job.is_under_way),
            stop=gr.update(interactive=False),
            retry=gr.update(
                visible=any(item.may_retry for item in batch.items),
                interactive=not batch.job.is_under_way,
            ),
            archive=gr.update(interactive=batch.count("done") > 0),
            **self._result(batch),
            **changes,
        )

    def _result(self, batch: Batch) -> dict[str, Any]:
        """The comparison beside the table."""
        run = batch.shown()
        nothing = {"comparison": gr.update(visible=False), "compare": gr.update(visible=False)}
        if run is None:
            return {**nothing, "caption": ""}
        try:
            pair = (str(run.before), str(run.after))
        except XPSRError as error:  # there is no room to enlarge the picture for the page
            return {**nothing, "caption": markup.notice(str(error), bad=True)}
        said = words.result(run.title, run.seconds, run.recipe.seed)
        return {
            "comparison": gr.update(value=pair, visible=True),
            "caption": markup.notice(said),
            "compare": gr.update(visible=True),
        }
