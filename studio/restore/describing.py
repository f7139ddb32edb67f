"""Describing on the page: both texts grow as they are written, and Stop brings the old ones back.

While a describer writes, the two boxes cannot be typed into, so nobody's words are written over.
`before` keeps the texts as they were until describing has ended, well or not; a message that comes
later, such as a late answer to Stop, finds it empty and leaves the boxes alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import gradio as gr

from .. import markup, texts
from .. import words as page_words
from ..filling import fill
from ..form import FORM, MAIN_TEXTS
from ..incoming import open_picture, sentence
from ..job import Job
from ..models.engine import Engine
from ..texts import NOTHING_BROUGHT, Brought
from ..visit import Visit
from . import words
from .mine import set_aside, take_back

# The components of the page that describing changes.
DESCRIPTION = (*MAIN_TEXTS, "picture_note", "written", "describe", "stop_describing", "before",
               "own_texts", "status")  # fmt: skip
BACK = (*FORM, "before", "written", "picture_note", "own_texts")


class Before(NamedTuple):
    """The texts that come back when describing ends without any, and who wrote them.

    `note`: that it ended is worth a sentence.
    """

    high: str
    low: str
    written: Brought = NOTHING_BROUGHT
    note: bool = True


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
        line = markup.quiet(page_words.describer(describer.name), words.describer_about(why))
        if self.engine.options.model == "mini":
            line += markup.quiet(words.MINI_HEARS, words.MINI_HEARS_ABOUT)
        elif self.engine.reads_one_text and describer.name != "tags":
            line += markup.quiet(words.HEARS_TAGS, words.HEARS_TAGS_ABOUT)
        return line

    def begin(self, high: str, low: str, written: Brought, visit: Visit) -> tuple:
        """At once after a click on Describe: keep the texts, and offer to stop."""
        visit.describing = Job("waiting")
        note = markup.notice(words.DESCRIBER_WAITING)
        return describing(idle=False, picture_note=note, before=Before(high, low, written))

    def stop(self, visit: Visit) -> None:
        """At once after a click on Stop; see `Job`."""
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
        job = visit.describing
        job.work()
        try:
            if (high, low) != before[:2] or not before.note:  # a picture has come in between
                before = before._replace(high=high, low=low, note=True)
                yield describing(before=before)
            for values in self._describing(payload, before, visit):
                if job.is_stopped:
                    note = markup.notice(words.DESCRIBING_STOPPED)
                    yield _undone(before, picture_note=note)
                    break
                yield values
            else:
                if not visit.restoring.is_under_way:
                    yield describing(status=markup.notice(words.READY))
        except Exception as error:
            note = markup.notice(sentence(error), bad=True)
            yield _undone(before, picture_note=note)
        finally:
            job.end()
        # Gradio sends the last values twice. Here are none: the boxes may be typed into again.
        yield describing()

    def _describing(self, payload: Any, before: Before, visit: Visit) -> Iterator[tuple]:
        image = open_picture(payload).image
        name = self.engine.describer()[0].name
        yield describing(picture_note=markup.notice(words.DESCRIBING.format(name=name)))
        shown_texts, said = ("", ""), None
        for said in self.engine.describing(image):
            both = (said.high, said.low)
            pairs = zip(MAIN_TEXTS, both, shown_texts, strict=True)
            grown: dict[str, Any] = {name: text for name, text, old in pairs if text != old}
            if grown:
                grown["written"] = texts.described(said, before.written)
            # Yielded even where nothing is new: a run can be stopped only when it yields.
            yield describing(**grown)
            shown_texts = both
        assert said is not None, "a describer ends with the whole or with an error"
        note = markup.notice(words.described(said.source, said.remembered))
        now: dict[str, Any] = dict(zip(MAIN_TEXTS, before[:2], strict=True))
        new: dict[str, Any] = dict(zip(MAIN_TEXTS, shown_texts, strict=True))
        yield describing(
            idle=True,
            picture_note=note,
            written=texts.described(said, before.written),
            before=None,
            own_texts=set_aside(visit, now, new, before.written),
        )

    def back(self, visit: Visit, written: Brought, before: Before | None, *values: Any) -> tuple:
        """What the visitor had in the form once more: values for the components in `BACK`.

        `values`: the form. While a describer is at work, the texts before it count.
        """
        now = dict(zip(FORM, values, strict=True))
        if before is not None:
            now, written = now | dict(zip(MAIN_TEXTS, before[:2], strict=True)), before.written
        mine, own_texts = take_back(visit, now, written)
        if mine is None:  # pressed twice
            return fill(BACK, own_texts=own_texts)
        changes = dict(mine.values)
        found = changes.keys() & set(MAIN_TEXTS)
        if found:
            high, low = (changes.pop(name, now[name]) for name in MAIN_TEXTS)
            # Where one of the two comes back, what was brought is still that of both.
            written = mine.written if len(found) == len(MAIN_TEXTS) else written
            changes |= {"written": written, **replaced(high, low, written, before)}
        note = markup.notice(words.MINE_BACK)
        return fill(BACK, picture_note=note, own_texts=own_texts, **changes)

    def stopped(self, before: Before | None, visit: Visit) -> tuple:
        """Describing ended without a word: it was stopped, or refused as too many wait."""
        refused = visit.describing.fail()
        if before is None:  # it had ended by itself
            return describing(idle=True)
        if not before.note:
            return _undone(before)
        said = page_words.REFUSED if refused else words.DESCRIBING_STOPPED
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
