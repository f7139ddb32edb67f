"""What happens to finished runs on the page: open one again, pin one, score it further."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from xpsr.errors import XPSRError

from .. import markup
from .. import words as page_words
from ..incoming import open_picture, plain_errors, sentence
from ..results import scores
from ..results.difference import open_rgb
from ..results.outputs import Run
from ..services import Services
from ..visit import Visit
from . import closer, words
from .showing import BICUBIC, PINNED, STANDS, Face, shown


class RunActions:
    """The handlers around the runs of one visitor."""

    def __init__(self, services: Services) -> None:
        self.outputs, self.face = services.outputs, Face(services.outputs)

    def open(self, event: gr.SelectData, visit: Visit, against: str) -> tuple:
        """One of the strip back on the slider; texts and settings stay."""
        run = self.outputs.get(_clicked(event))
        if run is None:
            gone = markup.notice(page_words.RUN_GONE, bad=True)
            return shown(status=gone, strip=self.face.strip(visit))
        try:
            changes = self.face.of(run, visit, against)
        except XPSRError as error:
            return shown(status=markup.notice(str(error), bad=True))
        visit.open(run.id)
        number = visit.runs.index(run.id) + 1 if run.id in visit.runs else None
        line = words.run_open(run.title, number, run.recipe.seed)
        return shown(status=markup.notice(line), **STANDS | changes)

    def pin(self, visit: Visit, against: str) -> tuple:
        """The run on the slider becomes the baseline, or is one no longer."""
        run = self.outputs.get(visit.shown)
        if run is None:
            return shown(status=markup.notice(words.NOTHING_TO_PIN, bad=True))
        before = visit.pinned
        was = before == run.id
        visit.pinned = None if was else run.id
        try:
            changes = self.face.of(run, visit, against)
        except XPSRError as error:
            visit.pinned = before
            return shown(status=markup.notice(str(error), bad=True))
        if was:
            visit.against = BICUBIC
        # What is compared with depends on this button: without a pinned run there is no choice.
        changes["against"] = gr.update(value=BICUBIC if was else against, visible=not was)
        return shown(status=markup.notice(words.UNPINNED if was else words.PINNED_NOW), **changes)

    def compare_with(self, visit: Visit, against: str) -> tuple:
        """What stands on the left of the slider."""
        visit.against = against
        run, pinned = self.outputs.get(visit.shown), self.face.pinned(visit)
        if run is None:
            return shown()
        status: Any = gr.skip()
        if against == PINNED and pinned is not None:
            if pinned.id == run.id:
                status = markup.notice(words.IS_THE_PINNED)
            elif pinned.recipe.output_size != run.recipe.output_size:
                status = markup.notice(words.PINNED_OTHER_SIZE, bad=True)
        try:
            changes = self.face.of(run, visit, against)
        except XPSRError as error:
            return shown(status=markup.notice(str(error), bad=True))
        return shown(status=status, comparison=changes["comparison"])

    def score_more(
        self, visit: Visit, learned: Sequence[str], reference: Any
    ) -> Iterator[tuple[Any, str]]:
        """Further scores of the run on the slider: table and notice, anew with every score."""
        from xpsr.metrics import METRICS

        run = self.outputs.get(visit.shown)
        if run is None:
            yield gr.skip(), markup.notice(words.NOTHING_TO_SCORE, bad=True)
            return
        try:
            true = open_picture(reference).image if reference else None
            size = run.recipe.output_size
            if true is not None and true.size != size:
                raise XPSRError(words.reference_size(true.size, size))
            names = scores.shown_metrics(learned, with_reference=true is not None)
            before, result = open_rgb(run.picture), open_rgb(run.after)
            for index, name in enumerate(names, 1):
                said = words.scoring(METRICS[name].label, index, len(names))
                yield self._table(run, visit), markup.notice(said)
                rows = scores.compare(before, result, [name], true)
                run = self.outputs.add_scores(self.outputs.get(run.id) or run, rows)
        except Exception as error:
            yield gr.skip(), markup.notice(sentence(error), bad=True)
            return
        said = words.SCORED if visit.shown == run.id else words.SCORED_ANOTHER
        yield self._table(run, visit), markup.notice(said)

    def _table(self, run: Run, visit: Visit) -> Any:
        """Its scores, unless another one was opened meanwhile."""
        return self.face.table(run, visit) if visit.shown == run.id else gr.skip()

    def look(
        self, is_open: bool, visit: Visit, against: str, across: float, down: float, zoom: int
    ) -> Any:
        """Overview, detail before and detail after of the run on the slider."""
        run = self.outputs.get(visit.shown)
        if run is None or not is_open:
            return gr.skip()
        pinned = self.face.pinned(visit)
        with plain_errors():
            left = self.face.left(run, pinned, against)
        before, after = open_rgb(left), open_rgb(run.after)
        place = across / 100, down / 100, zoom
        is_pinned = pinned is not None and left == pinned.after
        return (
            closer.marked(after, *place, side=480),
            gr.update(
                value=closer.detail(before, *place),
                label=words.DETAIL_PINNED if is_pinned else words.DETAIL_BEFORE,
            ),
            closer.detail(after, *place),
        )

    def draw(self, is_open: bool, visit: Visit, against: str, gain: float) -> Any:
        """The difference of the run on the slider from what stands on the left of it."""
        run = self.outputs.get(visit.shown)
        if run is None or not is_open:
            return gr.skip()
        with plain_errors():
            left = self.face.left(run, self.face.pinned(visit), against)
            return closer.difference_file(left, run.after, gain, self.outputs.shelf)

    def point(self, event: gr.SelectData, visit: Visit) -> Any:
        """The place in the overview that was clicked, in per cent."""
        run = self.outputs.get(visit.shown)
        if run is None:
            return gr.skip()
        size = closer.fitted(run.recipe.output_size, 480)
        return tuple(round(100 * at / of) for at, of in zip(event.index, size, strict=True))


def _clicked(event: gr.SelectData) -> str:
    """The id of the run whose thumbnail was clicked, which the folder of its file bears.

    Its place would not do: the strip in the browser may be older than the list of runs here.
    """
    try:
        return Path(event.value["image"]["path"]).parent.name
    except (KeyError, TypeError):
        return ""
