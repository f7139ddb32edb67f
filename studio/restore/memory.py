"""What the browser keeps between visits: texts, settings and the ids of results. No pictures."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import gradio as gr
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from xpsr.errors import XPSRError
from xpsr.prompts import MAX_CHARACTERS, PROMPT_NAMES
from xpsr.prompts.provenance import MAX_RUNS, from_runs, to_runs
from xpsr.recipe import Run as Sentences
from xpsr.settings import PRESETS

from .. import markup, texts
from .. import words as page_words
from ..filling import fill
from ..form import FORM, MAIN_TEXTS, fill_form, preset_values, read_usable
from ..page import Page
from ..results.outputs import Run
from ..results.words import welcome_back
from ..services import Services
from ..texts import NOTHING_BROUGHT, Brought
from ..visit import MAX_CELLS, Mine, Picture, Visit
from ..visit import MAX_RUNS as MAX_RESULTS
from . import words
from .describing import Before
from .mine import MOST, offered
from .showing import BICUBIC, RESULT, Face

log = logging.getLogger(__name__)

# What comes back, by the names of the components.
RECALLED = (*FORM, "preset", "written", "picture", "picture_note", *RESULT, "own_texts",
            "greeting")  # fmt: skip
STORAGE_KEY = "xpsr-studio"
# Gradio scrambles what it stores with this; fixed, or a restart of the server would lose it all.
SECRET = "kept-by-the-browser"

Id = Annotated[str, Field(max_length=80)]


class Written(BaseModel):
    """A main text as a describer or a recipe brought it, and who wrote its sentences."""

    model_config = ConfigDict(extra="forbid")

    text: Annotated[str, Field(max_length=MAX_CHARACTERS)]
    runs: Annotated[list[Sentences], Field(max_length=MAX_RUNS)]


class Own(BaseModel):
    """What stood in the form until something else took its place; see `Mine`."""

    model_config = ConfigDict(extra="forbid")

    values: dict[Literal[FORM], str | int | float | None]  # pyright: ignore[reportInvalidTypeForm]
    brought: Annotated[list[Written], Field(max_length=len(PROMPT_NAMES))]


def _as_list(kept: Any) -> Any:
    """Earlier pages kept one, of another form; that is no reason to forget everything else."""
    return kept if isinstance(kept, list) else []


class Settled(BaseModel):
    """Texts and settings, and the model they were made with; `form` is in the order of `FORM`."""

    model_config = ConfigDict(extra="forbid")

    model: Annotated[str, Field(max_length=1000)] = ""
    preset: Literal[tuple(PRESETS)]  # pyright: ignore[reportInvalidTypeForm]
    form: Annotated[
        list[str | int | float | None], Field(min_length=len(FORM), max_length=len(FORM))
    ]


class Memory(Settled):
    """One visitor's page. `form` is in the order of its `fields`.

    `picture` is the digest of the picture on the page, which itself is not kept. `running`: it was
    being restored when this was kept. `aside`: what the page had with the model before this one.
    `browser`: see `Together`.
    """

    version: Literal[1] = 1
    fields: tuple[str, ...] = FORM
    brought: Annotated[
        list[Written], Field(min_length=len(MAIN_TEXTS), max_length=len(PROMPT_NAMES))
    ]
    runs: Annotated[list[Id], Field(max_length=MAX_RESULTS)]
    cells: Annotated[list[Id], Field(max_length=MAX_CELLS)] = Field(default_factory=list)
    shown: Id | None = None
    pinned: Id | None = None
    picture: Annotated[str, Field(max_length=64)] = ""
    running: bool = False
    greeted: bool = False
    aside: Settled | None = None
    mine: Annotated[list[Own], Field(max_length=MOST), BeforeValidator(_as_list)] = []
    browser: Annotated[str, Field(max_length=80)] = ""

    @classmethod
    def read(cls, kept: Any) -> Memory | None:
        """What the browser remembers; None: nothing that can be used."""
        try:
            memory = cls.model_validate(kept) if kept else None
        except ValidationError as error:
            log.info("what the browser remembers cannot be used: %s", error)
            return None
        return memory if memory and memory.fields == FORM else None

    def aside_from(self, model: str) -> Settled | None:
        """What is to be kept aside once the page has `model`: what another one had before."""
        if self.model == model:
            return self.aside
        return Settled(model=self.model, preset=self.preset, form=self.form)


def to_keep(page: Page) -> list[Any]:
    """The components that `MemoryActions.keep` takes the values of."""
    return [
        page.browser, page.back, page.visit, page.written, page.before, page.greeted, page.preset,
        *page.form,
    ]  # fmt: skip


class MemoryActions:
    """Keep the page in the browser, and bring it back."""

    def __init__(self, services: Services) -> None:
        self.engine, self.outputs = services.engine, services.outputs
        self.face = Face(services.outputs)

    def keep(
        self,
        kept: Any,
        back: bool,
        visit: Visit,
        brought: Brought,
        before: Before | None,
        greeted: bool,
        preset: str,
        *values: Any,
    ) -> Any:
        """What the browser is to remember, after every change.

        `before`: a describer is at work. A reload ends it, as Stop does, and so these texts count.

        `back`: the page has got back what is `kept`. Where the visit does not know of that, Gradio
        has dropped it for those of other visitors, and this is a new one.
        """
        self.outputs.welcome(visit)
        was = Memory.read(kept)
        if back and visit.takes_back():
            if was is not None:
                self._take_back(was, visit)
                if visit.shown not in visit.runs:  # nothing has been made since
                    visit.shown = was.shown
                    if not visit.picture.digest:
                        visit.bring(Picture(digest=was.picture))
            visit.recalled = True
        if not visit.recalled:  # the page has not yet got back what would be overwritten here
            return gr.skip()
        if before is not None:
            values = (before.high, before.low, *values[len(MAIN_TEXTS) :])
            brought = before.written
        model = visit.model or self.engine.options.model
        run = visit.restoring
        browser = was.browser if was and was.browser else secrets.token_urlsafe(16)
        unite = self.outputs.together.unite
        try:
            memory = Memory(
                model=model,
                preset=preset,
                form=list(values),
                brought=_to_written(brought),
                runs=unite(browser, visit.runs, MAX_RESULTS),
                cells=unite(f"{browser} cells", visit.cells, MAX_CELLS),
                shown=visit.shown,
                pinned=visit.pinned,
                picture=visit.picture.digest,
                running=run.is_under_way and not run.is_stopped,
                greeted=greeted or bool(was and was.greeted),
                aside=was and was.aside_from(model),
                mine=[
                    Own(values=one.values, brought=_to_written(one.written)) for one in visit.mine
                ],
                browser=browser,
            )
        except ValidationError:  # half typed, or longer than any text may be: the last one stays
            return gr.skip()
        return memory.model_dump()

    def recall(self, kept: Any, visit: Visit) -> tuple:
        """Fill the page with what the browser remembers: values for `RECALLED`."""
        self.outputs.welcome(visit)
        if not visit.takes_back():
            return fill(RECALLED)
        # The page was laid out for the model of the start, which may have been changed since.
        preset = self.engine.default_preset()
        changes = {"preset": preset, **preset_values(preset)}
        memory = Memory.read(kept)
        if memory is not None:
            changes |= self._recalled(memory, visit)
        visit.set_for(self.engine.options.model)
        visit.recalled = True  # last: until then, nothing of the page may be kept instead
        return fill(RECALLED, **changes)

    def _take_back(self, memory: Memory, visit: Visit) -> None:
        """What the server knows of a visitor; what has been made meanwhile stays."""
        # A result that cannot be shown now may be tomorrow, when there is room on the disk.
        there = [one for one in memory.runs if self.outputs.has(one)]
        visit.runs[:] = list(dict.fromkeys([*there, *visit.runs]))[-MAX_RESULTS:]
        visit.cells[:] = list(dict.fromkeys([*memory.cells, *visit.cells]))[-MAX_CELLS:]
        if visit.pinned is None and self.outputs.get(memory.pinned):
            visit.pinned = memory.pinned
        visit.model = memory.model
        kept = [Mine(dict(one.values), _from_written(one.brought)) for one in memory.mine]
        visit.mine = [*kept, *visit.mine][-MOST:]

    def _recalled(self, memory: Memory, visit: Visit) -> dict[str, Any]:
        self._take_back(memory, visit)
        form, mine = self._settled(memory)
        runs = self.outputs.found(memory.runs)
        lost = len(memory.runs) - len(runs)
        brought = _from_written(memory.brought)
        run = self.outputs.get(memory.shown)
        picture, note = self._picture(memory, visit, [run, *reversed(runs)])
        said = [words.RUN_DROPPED] if memory.running else []
        if run is not None:
            visit.shown = run.id
        if run is not None or said or lost or not mine:
            said.append(welcome_back(len(runs), lost, mine))
        face: dict[str, Any] = {"strip": self.face.strip(visit)}
        if run is not None:
            try:
                face = self.face.of(run, visit, BICUBIC)
            except XPSRError as error:
                said.append(str(error))
        return {
            **form,
            "written": brought or NOTHING_BROUGHT,
            "picture": picture,
            "picture_note": note,
            "status": markup.notice(" ".join(said)) if said else gr.skip(),
            **face,
            "own_texts": offered(visit),
            "greeting": gr.update(visible=not memory.greeted),
        }

    def _settled(self, memory: Memory) -> tuple[dict[str, Any], bool]:
        """Form and preset by name, and whether they are as this model had them last.

        Settings are made for one model: with another the page has what it had there before, or what
        is usual for it.
        """
        now, was = self.engine.options.model, memory
        if memory.model != now:
            was = memory.aside if memory.aside and memory.aside.model == now else None
        form = _usable(memory)
        main = {name: form[name] for name in MAIN_TEXTS}
        if was is None:
            return main, False
        return {**_usable(was), **main, "preset": was.preset}, True

    def _picture(self, memory: Memory, visit: Visit, runs: Sequence[Run | None]) -> tuple[Any, Any]:
        """The picture that was on the page, where one of the runs has it, and the note about it.

        The texts tell of that picture, so no other one may take its place.
        """
        if not memory.picture:
            return gr.skip(), gr.skip()
        for run in (*runs, *self.outputs.examples.values()):
            if run is not None and run.recipe.input_sha256 == memory.picture:
                size = run.recipe.input_size
                visit.bring(Picture(run.title, memory.picture, str(run.picture), size))
                return str(run.picture), markup.notice(page_words.picture(size))
        return None, markup.notice(words.PICTURE_AGAIN)


def _usable(kept: Settled) -> dict[str, Any]:
    """The form by name. One bad value, such as a seed below zero, does not take all others."""
    return dict(zip(FORM, fill_form(*read_usable(kept.preset, kept.form)), strict=True))


def _to_written(brought: Brought) -> list[Written]:
    return [
        Written(text=texts.joined(one), runs=[Sentences(**run) for run in to_runs(one)])
        for one in brought
    ]


def _from_written(told: Sequence[Written]) -> Brought:
    return tuple(from_runs(one.text, [run.model_dump() for run in one.runs]) for one in told)
