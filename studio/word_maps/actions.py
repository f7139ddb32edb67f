"""What happens in the Word maps tab: make a result once more, watched, and show what was seen."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from html import escape
from typing import TYPE_CHECKING, Any

import gradio as gr
import numpy as np
from PIL import Image

from xpsr.errors import XPSRError
from xpsr.recipe_changes import changed_surroundings, surroundings

from .. import markup
from .. import words as page_words
from ..filling import fill
from ..incoming import sentence
from ..job import Job
from ..labels import as_labelled
from ..models.engine import is_result
from ..models.waiting import sign
from ..results.difference import open_rgb
from ..results.run_list import caption_of, offered
from ..results.scores import enlarge
from ..services import Services
from ..visit import Visit
from . import words

if TYPE_CHECKING:
    from xpsr.pipeline import Restored
    from xpsr.recipe import Recipe
    from xpsr.wordmaps import Piece, WordMaps

    from ..results.outputs import Run

SIDE = 768  # pixels of the pictures that are shown
KEPT = 8  # so many recordings are found again
BRANCHES = ("high", "low")
# What the handlers give values for, in this order; the second for each text.
RECORDING = ("status", "job", "recorded", "record", "stop", "panel", "steps", "layers", "download")
FOR_TEXT = ("text", "picture", "about")
OWN_RANGE, ONE_SCALE = "own", "one"


@dataclass(frozen=True, eq=False)
class Recorded:
    """The maps of one run.

    Attributes:
        image: its result, as it is shown.
        told: how that compares with the first time.
        folder: where their file is served from; a name that cannot be guessed.
    """

    maps: WordMaps
    image: Image.Image
    told: str
    folder: str


@dataclass(frozen=True)
class View:
    """How maps are to be shown: all parts and levels are None."""

    part: int | None
    level: int | None
    colors: str
    strength: float

    def tokens(self, maps: WordMaps, branch: str) -> np.ndarray:
        parts = None if self.part is None else [self.part]
        levels = None if self.level is None else [self.level]
        return maps.tokens(branch, parts, levels)


values = partial(fill, RECORDING)


def at_rest(status: Any, **changes: Any) -> tuple:
    """Nothing is being recorded."""
    buttons = {"record": gr.update(interactive=True), "stop": gr.update(interactive=False)}
    return values(status=status, **buttons, **changes)


class WordMapActions:
    """The handlers of one studio."""

    def __init__(self, services: Services) -> None:
        self.engine, self.outputs = services.engine, services.outputs
        self._kept: dict[str, Recorded] = {}  # by the ids of the runs, the newest last

    def offer(self, visit: Visit, chosen: str | None, first: str | None) -> tuple[Any, Any, Any]:
        """The results a visitor may choose from, whether there are any, and the first choice.

        What the visitor has chosen stays; the `first` choice, which was ours, makes room for what
        is on the slider now.
        """
        runs = offered(self.outputs, visit)
        choices = [(label, run.id) for label, run in runs.items()]
        known = [run_id for _, run_id in choices]
        own = chosen if chosen != first and chosen in known else None
        ours = next((one for one in (visit.shown, *known) if one in known), None)
        choice = gr.update(choices=choices, value=own or ours)
        return choice, gr.update(interactive=bool(choices)), None if own else ours

    def begin(self) -> tuple:
        """At once after a click, before the model is free."""
        return values(
            status=markup.notice(page_words.WAITING),
            job=Job("waiting"),
            record=gr.update(interactive=False),
            stop=gr.update(interactive=True),
        )

    def record(self, visit: Visit, run_id: str | None, job: Job) -> Iterator[tuple]:
        """Repeat a run with somebody looking on: the one chosen, or else the one on the slider."""
        job.work()
        try:
            yield from self._recording(run_id or visit.shown, visit, job)
        except Exception as error:
            yield at_rest(markup.notice(as_labelled(sentence(error)), bad=True))
        finally:
            job.end()

    def _recording(self, run_id: str | None, visit: Visit, job: Job) -> Iterator[tuple]:
        from xpsr.wordmaps import WordRecorder

        if not run_id:
            raise XPSRError(words.NO_RUNS)
        run = self.outputs.find(run_id)
        recipe, said = run.recipe, run.recipe.prompts
        if not (said.prompt or said.lowlevel_prompt or said.added_prompt):
            raise XPSRError(words.NO_TEXTS)
        yield values(status=markup.notice(page_words.BEGINNING))
        picture, recorder = open_rgb(run.picture), WordRecorder()
        for item in self.engine.stream(picture, recipe.prompts, recipe.settings, recorder):
            if job.is_stopped:
                yield at_rest(markup.notice(words.STOPPED))
                return
            if is_result(item):
                yield at_rest(**self._below(run, visit, self._keep(run, item)))
            else:
                yield values(status=markup.notice(sign(item)))

    def _keep(self, run: Run, again: Restored) -> Recorded:
        assert again.word_maps is not None, "the pipeline was given a recorder"
        scale = SIDE / max(again.image.size)
        wide, high = (max(1, round(side * scale)) for side in again.image.size)
        recorded = Recorded(
            again.word_maps,
            enlarge(again.image, (wide, high)),
            compared(run.recipe, again),
            secrets.token_urlsafe(16),
        )
        self._kept.pop(run.id, None)
        self._kept[run.id] = recorded
        if len(self._kept) > KEPT:
            del self._kept[next(iter(self._kept))]
        return recorded

    def recall(self, visit: Visit, run_id: str | None) -> tuple:
        """A run was chosen: its maps, if it has some."""
        run = self.outputs.get(run_id)
        recorded = self._kept.get(run.id) if run else None
        return values(**self._below(run, visit, recorded)) if run and recorded else values()

    def _below(self, run: Run, visit: Visit, recorded: Recorded) -> dict[str, Any]:
        maps = recorded.maps
        path = self.outputs.shelf.make(recorded.folder, "word-maps.npz", maps.save)
        below = words.BELOW.format(name=caption_of(run, visit))
        steps = [(words.ALL, -1), *((words.steps(p), n) for n, p in enumerate(maps.parts))]
        layers = [(words.ALL, -1), *((words.LAYER.format(size=s), s) for s in maps.levels)]
        return {
            "status": markup.notice(f"{recorded.told} {below}"),
            "recorded": recorded,
            "panel": gr.update(visible=True),
            "steps": gr.update(choices=steps, value=-1, visible=len(steps) > 2),
            "layers": gr.update(choices=layers, value=-1, visible=len(layers) > 2),
            "download": gr.update(value=str(path), visible=True),
        }

    def stop(self, job: Job) -> tuple:
        """At once after a click on Stop; see `Job`."""
        job.stop()
        return values(status=markup.notice(page_words.STOPPING), stop=gr.update(interactive=False))

    def let_go(self, job: Job) -> tuple:
        """A moment after Stop: one that still works tells by itself, any other one may be gone."""
        return at_rest(markup.notice(words.STOPPED)) if job.state == "stopped" else values()

    def measure_words(self, run_id: str | None) -> tuple:
        """To the Ablate tab, with the plan that leaves out one word at a time."""
        return gr.Tabs(selected="ablate"), run_id or gr.skip(), "words"

    def failed(self, job: Job) -> tuple:
        """It ended without a word: stopped, or refused because too many wait."""
        refused = job.fail()
        return at_rest(markup.notice(page_words.REFUSED if refused else words.STOPPED, bad=refused))

    def choices(self, recorded: Recorded | None) -> tuple:
        """The words of both texts; to begin with, the one that gets most attention."""
        return tuple(_choice(recorded.maps, b) if recorded else gr.skip() for b in BRANCHES)

    def show(self, branch: str, recorded: Recorded | None, word: int | None, *view: Any) -> Any:
        """One text with the chosen word marked, its map on the picture, and what it says."""
        if recorded is None:
            return gr.skip()
        if branch not in recorded.maps.texts:
            return None, gr.update(value=None, visible=False), markup.notice(words.UNREAD)
        pieces = recorded.maps.texts[branch].pieces
        if not pieces:
            return None, gr.update(value=None, visible=False), markup.notice(words.EMPTY)
        if word is None:  # `choices` is choosing one
            return gr.skip()
        number = word if isinstance(word, int) and 0 <= word < len(pieces) else 0
        part, level, colors, strength = view
        chosen = View(
            None if part in (None, -1) else part,
            None if level in (None, -1) else level,
            colors,
            float(strength),
        )
        found = chosen.tokens(recorded.maps, branch)
        picture, about = _drawn(recorded, found, number, pieces, chosen)
        marked = _marked(recorded.maps.texts[branch].sent, pieces, number)
        label = words.PICTURE.format(word=pieces[number].text)
        shown = gr.update(value=picture, label=label, alt_text=label, visible=True)
        return marked, shown, about

    def point_high(self, recorded: Recorded | None, event: gr.SelectData) -> Any:
        """A word of the first text was clicked."""
        return _pointed_at(recorded, "high", event)

    def point_low(self, recorded: Recorded | None, event: gr.SelectData) -> Any:
        """A word of the second text was clicked."""
        return _pointed_at(recorded, "low", event)


def compared(recipe: Recipe, again: Restored) -> str:
    """Whether recording has changed anything, and where it seems so, what has."""
    if recipe.is_output(again.image):
        return words.SAME
    changed = changed_surroundings(surroundings(recipe), surroundings(again.recipe))
    reasons = ", ".join(
        words.DIFFERENCE.format(place=one.place, before=one.before, now=one.after)
        for one in changed
    )
    why = words.OTHER_BECAUSE.format(reasons=reasons) if reasons else words.OTHER_UNKNOWN
    return words.OTHER.format(why=why)


def _choice(maps: WordMaps, branch: str) -> Any:
    if branch not in maps.texts or not maps.pieces(branch):
        return gr.update(choices=[], value=None, visible=False)
    pieces, shares = maps.pieces(branch), maps.words(branch).mean((1, 2))
    choices = [
        (words.word_choice(piece.text, share), number)
        for number, (piece, share) in enumerate(zip(pieces, shares, strict=True))
    ]
    return gr.update(choices=choices, value=int(np.argmax(shares * _words(pieces))), visible=True)


def _words(pieces: tuple[Piece, ...]) -> np.ndarray:
    """Which pieces are words: a full stop often gets most of the attention, but says little."""
    return np.array([piece.text[0].isalnum() for piece in pieces])


def _pointed_at(recorded: Recorded | None, branch: str, event: gr.SelectData) -> Any:
    """The number of the word that was clicked in the text."""
    if recorded is None or branch not in recorded.maps.texts:
        return gr.skip()
    text = recorded.maps.texts[branch]
    parts = _parts(text.sent, text.pieces)
    index = event.index if isinstance(event.index, int) else -1
    number = parts[index][1] if 0 <= index < len(parts) else None
    return gr.skip() if number is None else number


def _drawn(
    recorded: Recorded, tokens: np.ndarray, number: int, pieces: tuple[Piece, ...], view: View
) -> tuple[Image.Image, str]:
    from xpsr.wordmaps import overlay

    found = tokens[number]
    low, high, mean = float(found.min()), float(found.max()), float(found.mean())
    if view.colors == ONE_SCALE:
        low, high = 0.0, max(high, float((tokens[:-2].max((1, 2)) * _words(pieces)).max()))
    picture = overlay(recorded.image, found, view.strength, (low, high))
    least, most = (float(one) / max(mean, 1e-12) for one in (found.min(), found.max()))
    told = words.about_word(pieces[number].text, mean, least, most)
    rest = words.about_text(float(tokens[:-2].sum(0).mean()))
    ends = words.percent(low), words.percent(high)
    label = escape(words.SCALE_LABEL.format(low=ends[0], high=ends[1]), quote=True)
    scale = (
        f'<div class="heat" role="img" aria-label="{label}">'
        f"<span>{escape(ends[0])}</span><i></i><span>{escape(ends[1])}</span></div>"
    )
    return picture, f"{scale}{markup.quiet(told)}{markup.quiet(rest)}"


def _parts(sent: str, pieces: tuple[Piece, ...]) -> list[tuple[str, int | None]]:
    """The whole text in parts; those that are a word or signs have a number, the rest none."""
    parts: list[tuple[str, int | None]] = []
    at = 0
    for number, piece in enumerate(pieces):
        parts += [(sent[at : piece.start], None)] if piece.start > at else []
        parts.append((piece.text, number))
        at = piece.end
    return [*parts, (sent[at:], None)] if at < len(sent) else parts


def _marked(sent: str, pieces: tuple[Piece, ...], chosen: int) -> list[tuple[str, str | None]]:
    return [
        (text, words.CHOSEN if number == chosen else None) for text, number in _parts(sent, pieces)
    ]
