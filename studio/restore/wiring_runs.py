"""What triggers what around finished runs: the slider, the strip, scores, the closer look."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..divider import connect_divider
from ..triggers import ALOUD, PRIVATE, QUICK, bring_into_view, follow, stop_from, stop_until
from . import words
from .runs import RunActions
from .showing import RESULT

if TYPE_CHECKING:
    from ..page import Page


def connect_runs(page: Page, runs: RunActions) -> None:
    """Tie the column of the result to its handlers."""
    result = page.named(RESULT)
    connect_divider(page.position, page.comparison)
    page.restore.click(None, js=bring_into_view("#status"), **PRIVATE)
    page.strip.select(runs.open, [page.visit, page.against], result, **QUICK)
    page.pin.click(runs.pin, [page.visit, page.against], result, **QUICK)
    page.against.input(runs.compare_with, [page.visit, page.against], result, **QUICK)
    stop_from(page.score, page.stop_scoring, page.score_note)
    scoring = page.score.click(
        runs.score_more,
        [page.visit, page.learned, page.reference],
        [page.scores, page.score_note],
        preprocess=False,
        concurrency_limit=1,
        show_progress="hidden",
        **PRIVATE,
    )
    stop_until([scoring], page.stop_scoring, page.score_note, words.SCORING_STOPPED)
    _connect_closer(page, runs)


def _connect_closer(page: Page, runs: RunActions) -> None:
    closer = page.closer
    controls = (closer.across, closer.down, closer.zoom)
    look = {
        "fn": runs.look,
        "inputs": [closer.open, page.visit, page.against, *controls],
        "outputs": [closer.overview, closer.before, closer.after],
        **ALOUD,
    }
    # Of the whole picture, so by itself: another place or zoom leaves it as it is.
    whole = {
        "fn": runs.draw,
        "inputs": [closer.open, page.visit, page.against, closer.gain],
        "outputs": closer.difference,
        **ALOUD,
    }
    opened = closer.accordion.expand(lambda: True, None, closer.open, **QUICK)
    closer.accordion.collapse(lambda: False, None, closer.open, **QUICK)
    for event, changed in ((look, controls), (whole, (closer.gain,))):
        opened.then(**event)
        follow([one.change for one in (*changed, page.comparison)], **event)
    closer.overview.select(runs.point, page.visit, [closer.across, closer.down], **QUICK)
