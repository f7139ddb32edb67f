"""What the browser keeps between visits: texts, settings and the ids of results. No pictures."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import gradio as gr
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from xpsr.prompts import MAX_CHARACTERS, PROMPT_NAMES
from xpsr.prompts.provenance import MAX_RUNS, from_runs, to_runs
from xpsr.recipe import Run as Sentences
from xpsr.settings import PRESETS

from .. import markup, words
from ..form import FORM, MAIN_TEXTS, fill_form, read_usable
from ..restore import texts
from ..restore.showing import BICUBIC, RESULT, Face, shown
from ..restore.texts import NOTHING_BROUGHT, Brought
from ..services import Services
from .outputs import Run
from .visit import MAX_CELLS, Visit
from .visit import MAX_RUNS as MAX_RESULTS

log = logging.getLogger(__name__)

STORAGE_KEY = "xpsr-studio"
# Gradio scrambles what it stores with this; fixed, or a restart of the server would lose it all.
SECRET = "kept-by-the-browser"

Id = Annotated[str, Field(max_length=80)]


class Written(BaseModel):
    """A main text as a describer or a recipe brought it, and who wrote its sentences."""

    model_config = ConfigDict(extra="forbid")

    text: Annotated[str, Field(max_length=MAX_CHARACTERS)]
    runs: Annotated[list[Sentences], Field(max_length=MAX_RUNS)]


class Memory(BaseModel):
    """One visitor's page. `form` is in the order of its `fields`.

    `picture` is the digest of the picture on the page, which itself is not kept. `running`: it was
    being restored when this was kept.
    """

    model_config = ConfigDict(extra="forbid")

    version: Literal[1] = 1
    model: Annotated[str, Field(max_length=1000)] = ""
    preset: Literal[tuple(PRESETS)]  # pyright: ignore[reportInvalidTypeForm]
    fields: tuple[str, ...] = FORM
    form: Annotated[
        list[str | int | float | None], Field(min_length=len(FORM), max_length=len(FORM))
    ]
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


class MemoryActions:
    """Keep the page in the browser, and bring it back."""

    def __init__(self, services: Services) -> None:
        self.engine, self.outputs = services.engine, services.outputs
        self.face = Face(services.outputs)

    def keep(self, visit: Visit, brought: Brought, greeted: bool, preset: str, *values: Any) -> Any:
        """What the browser is to remember, after every change."""
        if not visit.recalled:  # the page has not yet got back what would be overwritten here
            return gr.skip()
        try:
            told = [
                Written(text=texts.joined(one), runs=[Sentences(**run) for run in to_runs(one)])
                for one in brought
            ]
            memory = Memory(
                model=self.engine.options.model,
                preset=preset,
                form=list(values),
                brought=told,
                runs=visit.runs,
                cells=visit.cells,
                shown=visit.shown,
                pinned=visit.pinned,
                picture=visit.picture,
                running=visit.restoring.pending,
                greeted=greeted,
            )
        except ValidationError:  # half typed, or longer than any text may be: the last one stays
            return gr.skip()
        return memory.model_dump()

    def recall(self, kept: Any, visit: Visit) -> tuple:
        """Fill the page with what the browser remembers.

        Values for the form, the preset, who wrote what, picture and note, the result, and
        whether the visitor has been here before.
        """
        nothing = (*(gr.skip() for _ in range(len(FORM) + 4 + len(RESULT))), gr.skip())
        try:
            memory = Memory.model_validate(kept) if kept else None
            if memory is None or memory.fields != FORM:
                return nothing
        except ValidationError as error:
            log.info("what the browser remembers cannot be used: %s", error)
            return nothing
        finally:
            visit.recalled = True
        # One bad value, such as a seed below zero, must not take all the others with it.
        form = fill_form(*read_usable(memory.preset, memory.form))
        chosen = memory.preset
        if memory.model != self.engine.options.model:
            # Settings are made for one model; with another the page opens with those for that.
            chosen = gr.skip()
            form = tuple(
                value if name in MAIN_TEXTS else gr.skip()
                for name, value in zip(FORM, form, strict=True)
            )
        return self._recalled(memory, visit, form, chosen)

    def _recalled(self, memory: Memory, visit: Visit, form: tuple, preset: Any) -> tuple:
        runs = self.outputs.found(memory.runs)
        found = [run.id for run in runs]
        visit.runs[:] = [*found, *(one for one in visit.runs if one not in found)]
        visit.cells[:] = list(dict.fromkeys([*memory.cells, *visit.cells]))[-MAX_CELLS:]
        if self.face.found(memory.pinned):
            visit.pinned = memory.pinned
        brought = tuple(
            from_runs(one.text, [run.model_dump() for run in one.runs]) for one in memory.brought
        )
        run = self.face.found(memory.shown)
        picture, note = self._picture(memory, visit, [run, *reversed(runs)])
        said = [words.RUN_DROPPED] if memory.running else []
        if run is not None:
            visit.show(run.id)
        if run is not None or said:
            said.append(words.welcome_back(len(found), len(memory.runs) - len(found)))
        result = shown(
            status=markup.notice(" ".join(said)) if said else gr.skip(),
            **({"strip": self.face.strip(visit)} if run is None else
               self.face.of(run, visit, BICUBIC)),
        )  # fmt: skip
        greeting = gr.update(visible=not memory.greeted)
        return (*form, preset, brought or NOTHING_BROUGHT, picture, note, *result, greeting)

    def _picture(self, memory: Memory, visit: Visit, runs: Sequence[Run | None]) -> tuple[Any, Any]:
        """The picture that was on the page, where one of the runs has it, and the note about it.

        The texts tell of that picture, so no other one may take its place.
        """
        if not memory.picture:
            return gr.skip(), gr.skip()
        for run in (*runs, *self.outputs.examples.values()):
            if run is not None and run.recipe.input_sha256 == memory.picture:
                visit.bring(run.title, memory.picture, str(run.picture))
                return str(run.picture), markup.notice(words.picture(run.recipe.input_size))
        return None, markup.notice(words.PICTURE_AGAIN)
