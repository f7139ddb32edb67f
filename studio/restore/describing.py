"""Describing on the page: both texts grow as they are written, and Stop brings the old ones back.

While a describer writes, the two boxes cannot be typed into, so nobody's words are written over.
`before` keeps the texts as they were until describing has ended, well or not; a message that comes
later, such as a late answer to Stop, finds it empty and leaves the boxes alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import gradio as gr

from .. import markup, words
from ..filling import fill
from ..form import MAIN_TEXTS
from ..incoming import open_picture, sentence
from ..models.engine import Engine
from ..results.visit import Visit
from . import texts
from .texts import NOTHING_BROUGHT, Brought

# The components of the page that describing changes.
DESCRIPTION = (*MAIN_TEXTS, "picture_note", "written", "describe", "stop_describing", "before",
               "mine", "own_texts", "status")  # fmt: skip
BACK = (*MAIN_TEXTS, "before", "written", "picture_note", "mine", "own_texts", "seed")


class Before(NamedTuple):
    """The texts that come back when describing ends without any, and who wrote them.

    `note`: that it ended is worth a sentence. `seed`: as it was; None: it was not changed.
    """

    high: str
    low: str
    written: Brought = NOTHING_BROUGHT
    note: bool = True
    seed: int | None = None


def describing(idle: bool | None = None, **changes: Any) -> tuple[Any, ...]:
    """Values for the components in `DESCRIPTION`; what is not named stays as it is.

    `idle` says which of the two buttons is shown, and whether the boxes can be typed into.
    """
    if idle is not None:
        changes["describe"] = gr.update(visible=idle)
        changes["stop_describing"] = gr.update(visible=not idle)
        for name in MAIN_TEXTS:
            value = {"value": changes[name]} if name in changes else {}
            changes[name] = gr.update(interactive=idle, **value)
    return fill(DESCRIPTION, **changes)


class Describing:
    """The handlers around the button Describe of one studio."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def introduce(self) -> str:
        """The line that names the describer, and another where the model hears little of it."""
        try:
            describer, why = self.engine.describer()
        except Exception as error:
            return markup.notice(sentence(error), bad=True)
        line = markup.quiet(words.describer(describer.name), words.describer_about(why))
        hears_little = self.engine.options.model == "mini"
        return line + (
            markup.quiet(words.MINI_HEARS, words.MINI_HEARS_ABOUT) if hears_little else ""
        )

    def begin(self, high: str, low: str, written: Brought, visit: Visit) -> tuple:
        """At once after a click on Describe: keep the texts, and offer to stop."""
        visit.describing.begin()
        note = markup.notice(words.DESCRIBER_WAITING)
        return describing(idle=False, picture_note=note, before=Before(high, low, written))

    def stop(self, visit: Visit) -> None:
        """At once after a click on Stop; see `Presses`."""
        visit.describing.stop()

    def describe(
        self, payload: Any, before: Before, high: str, low: str, visit: Visit
    ) -> Iterator[tuple]:
        """Fill both texts while they are written; on failure they are as they were.

        Args:
            payload: the picture.
            before: the texts when Describe was pressed.
            high, low: the texts now, where somebody may have typed until the boxes were locked.
        """
        if (high, low) != before[:2] or not before.note:  # a picture has come in between
            before = before._replace(high=high, low=low, note=True)
            yield describing(before=before)
        try:
            is_stopped = visit.describing.stops()
            for values in self._describing(payload, before):
                if is_stopped():
                    note = markup.notice(words.DESCRIBING_STOPPED)
                    yield _undone(before, picture_note=note)
                    break
                yield values
            else:
                if not visit.restoring.pending:
                    yield describing(status=markup.notice(words.READY))
        except Exception as error:
            note = markup.notice(sentence(error), bad=True)
            yield _undone(before, picture_note=note)
        # Gradio sends the last values twice. Here are none: the boxes may be typed into again.
        yield describing()

    def _describing(self, payload: Any, before: Before) -> Iterator[tuple]:
        image = open_picture(payload).image
        name = self.engine.describer()[0].name
        yield describing(picture_note=markup.notice(words.DESCRIBING.format(name=name)))
        shown_texts, said = ("", ""), None
        for said in self.engine.describing(image):
            both = (said.high, said.low)
            pairs = zip(MAIN_TEXTS, both, shown_texts, strict=True)
            new: dict[str, Any] = {name: text for name, text, old in pairs if text != old}
            if new:
                new["written"] = texts.described(said, before.written)
            # Yielded even where nothing is new: a run can be stopped only when it yields.
            yield describing(**new)
            shown_texts = both
        assert said is not None, "a describer ends with the whole or with an error"
        note = markup.notice(words.described(said.source, said.remembered))
        brought = texts.described(said, before.written)
        yield describing(
            idle=True, picture_note=note, written=brought, before=None, **own_texts(before)
        )

    def back(self, mine: Before | None, before: Before | None) -> Any:
        """The visitor's own texts once more: values for the components in `BACK`."""
        if mine is None:  # pressed twice
            return gr.skip()
        return fill(
            BACK,
            **replaced(mine.high, mine.low, mine.written, before),
            written=mine.written,
            picture_note=markup.notice(words.MINE_BACK),
            mine=None,
            own_texts=gr.update(visible=False),
            seed=gr.skip() if mine.seed is None else mine.seed,
        )

    def stopped(self, before: Before | None, note: str) -> tuple:
        """Describing ended without a word: it was stopped, or refused as too many wait."""
        if before is None:  # it had ended by itself
            return describing(idle=True)
        if not before.note:
            return _undone(before)
        refused = words.DESCRIBER_WAITING in note
        said = words.REFUSED if refused else words.DESCRIBING_STOPPED
        return _undone(before, picture_note=markup.notice(said, bad=refused))


def _undone(before: Before, **changes: Any) -> tuple:
    return describing(
        idle=True,
        prompt=before.high,
        lowlevel_prompt=before.low,
        written=before.written,
        before=None,
        **changes,
    )


def replaced(high: Any, low: Any, written: Brought, before: Before | None) -> dict[str, Any]:
    """Both texts and `before` when other texts, by `written`, take their place.

    A describer at work is ended by the same event, but may still write a word meanwhile; so its
    end is what brings the texts for good.
    """
    changes: dict[str, Any] = dict(zip(MAIN_TEXTS, (high, low), strict=True))
    if before is not None:  # else Describe may have been pressed meanwhile, and keep it anew
        changes["before"] = Before(high, low, written, note=False)
    return changes


def left(high: str, low: str, written: Brought, before: Before | None) -> dict[str, Any]:
    """Both texts and `before` when another picture has come: those of a describer are gone.

    Where a describer is at work, those before it count.
    """
    now = (high, low)
    # Skipped and not sent back where nothing changes: somebody may be typing into them by now.
    kept: tuple[Any, Any] = (gr.skip(), gr.skip())
    if before is not None:
        now = kept = before[:2]
        written = before.written
    high, low = (
        "" if text and text == texts.joined(old) else same
        for text, same, old in zip(now, kept, written[: len(MAIN_TEXTS)], strict=True)
    )
    return replaced(high, low, NOTHING_BROUGHT, before)


def any_stays(high: str, low: str, changes: Mapping[str, Any]) -> bool:
    """Whether one of the texts is still there when `left` has had its way."""
    both = zip((high, low), MAIN_TEXTS, strict=True)
    return any(text if changes[name] == gr.skip() else changes[name] for text, name in both)


def own_texts(before: Before) -> dict[str, Any]:
    """`mine`, and the row that offers it: where one of the texts that were replaced is typed.

    Where none is, what has been offered already stays: it was not to be lost either.
    """
    both = zip(before[:2], before.written, strict=False)
    if any(text and text != texts.joined(old) for text, old in both):
        return {"mine": before, "own_texts": gr.update(visible=True)}
    return {}
