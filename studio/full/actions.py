"""What the tab "Full quality" does: what runs now, what the full system needs, and getting there.

Handlers never raise; what visitors may not do is refused here and not only hidden on the page.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import gradio as gr

from xpsr.errors import XPSRError

from .. import markup
from .. import words as page_words
from ..filling import fill
from ..form import FORM, REST, preset_values
from ..incoming import sentence
from ..models.choice import ModelChoice
from ..models.machine import Machine
from ..models.room import weight_count
from ..models.switching import look, switch
from ..models.waiting import Waiting
from ..restore.mine import set_aside
from ..services import Services
from ..texts import Brought
from ..visit import Visit
from . import words
from .markup import now, requirements

# Gradio fills it in by its type; without one it is no visitor who asks.
Asking = gr.Request | None
FORMATS = ("float16", "float32")
# The components that tell of another model, and then those of the form, which gets what suits it.
CHANGED = ("used", "now", "banner")
SUITED = ("preset", *REST, "own_texts")
changing = partial(fill, CHANGED)


class FullActions:
    """The handlers of the tab."""

    def __init__(self, services: Services) -> None:
        self.services, self.engine = services, services.engine

    def read(self) -> tuple[str, Any]:
        """What runs now, and the table of what the full system needs against what is here."""
        try:
            machine = Machine.here()
            return self._now(machine), requirements(machine)
        except Exception as error:
            return markup.notice(sentence(error), bad=True), gr.skip()

    def _now(self, machine: Machine) -> str:
        options, pipeline = self.engine.options, self.engine.loaded
        try:
            describer = page_words.describer(self.engine.describer()[0].name)
        except XPSRError as error:
            describer = str(error)
        weights = 0 if pipeline is None else weight_count(pipeline)
        place = str(pipeline.device) if pipeline is not None else ""
        return now(options.model, options.base, weights, place, describer, machine)

    def check(self, folder: str, request: Asking = None) -> str:
        """Whether a download is whole, in words."""
        try:
            self.services.may_change_model.check(_headers(request))
            from xpsr.models.checkpoint import check

            found = check(_checkpoint(folder).model)
            return markup.lines(words.checked(found), bad=bool(found.problems))
        except Exception as error:
            return markup.notice(sentence(error), bad=True)

    def convert(
        self, folder: str, base: str, out: str, dtype: str, request: Asking = None
    ) -> Iterator[tuple]:
        """Convert a checkpoint; values for the status and for the field of the model."""
        yield markup.notice(words.CHECKING), gr.skip()
        try:
            self.services.may_change_model.check(_headers(request))
            from xpsr.conversion import convert

            checkpoint = _checkpoint(folder, base)
            target = ModelChoice.typed(out).model
            number_format = dtype if dtype in FORMATS else None
            for progress in convert(
                checkpoint.model, target, base=checkpoint.base, dtype=number_format
            ):
                yield markup.notice(words.converting(progress)), gr.skip()
            yield markup.notice(words.CONVERTED.format(out=target)), target
        except Exception as error:
            yield markup.notice(sentence(error), bad=True), gr.skip()

    def look(self, model: str, base: str, request: Asking = None) -> str:
        """What a model is and whether it fits, before anything is loaded."""
        try:
            self.services.may_change_model.check(_headers(request))
            found = look(self.engine, ModelChoice.typed(model, base))
            return markup.notice(words.looked(found), bad=not found.fits)
        except Exception as error:
            return markup.notice(sentence(error), bad=True)

    def use(self, model: str, base: str, visit: Visit, request: Asking = None) -> Iterator[tuple]:
        """Change the model; `suit` comes behind it."""
        yield changing(used=markup.notice(words.CHECKING))
        try:
            self.services.may_change_model.check(_headers(request))
            choice = ModelChoice.typed(model, base)
            for item in switch(self.engine, choice):
                if isinstance(item, Waiting):
                    yield changing()  # so that it can be stopped
                else:
                    yield changing(used=markup.notice(words.stage(item)))
            visit.set_for("")
            yield self._changed()
            # Last: where this fails, the page has changed all the same.
            if self.services.last_choice is not None:
                self.services.last_choice.write(choice)
        except Exception as error:
            yield changing(used=markup.notice(sentence(error), bad=True))

    def use_mini(self, visit: Visit, request: Asking = None) -> Iterator[tuple]:
        """Back to the built-in model."""
        yield from self.use("mini", "", visit, request)

    def suit(self, visit: Visit, written: Brought, *values: Any) -> tuple:
        """What suits the new model, for the form as it stands when that is there.

        Loading may take minutes, and whoever waits may go on typing.
        """
        if visit.model:
            return fill(SUITED)  # it was stopped, or refused
        visit.set_for(self.engine.options.model)
        preset = self.engine.default_preset()
        new, now = preset_values(preset), dict(zip(FORM, values, strict=True))
        return fill(SUITED, preset=preset, **new, own_texts=set_aside(visit, now, new, written))

    def _changed(self) -> tuple:
        model, preset = self.engine.options.model, self.engine.default_preset()
        return changing(
            used=markup.notice(words.in_use(model, preset, self.engine.reads_one_text)),
            now=self._now(Machine.here()),
            banner=gr.update(visible=False),
        )


def _checkpoint(folder: str, base: str | None = None) -> ModelChoice:
    if not folder.strip():
        raise XPSRError(words.NO_CHECKPOINT)
    return ModelChoice.typed(folder, base)


def _headers(request: gr.Request | None) -> dict[str, str] | None:
    if request is None:
        return None
    return {name.lower(): value for name, value in dict(request.headers).items()}
