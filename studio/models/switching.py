"""Another model while the page runs: looked at first, and the old one stays until it is there."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future, wait
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from xpsr.errors import XPSRError

from ..words import PRESETS
from . import words
from .choice import ModelChoice
from .engine import Engine, load
from .room import give_back_memory, weight_bytes
from .waiting import POLL_SECONDS, Waiting, turn

if TYPE_CHECKING:
    from xpsr.inspection import ModelFacts
    from xpsr.pipeline import XPSRPipeline

    from ..visit import Visit


@dataclass(frozen=True)
class Look:
    """What a model is, and whether it fits.

    Attributes:
        facts: kind and size.
        needed: bytes its weights take in memory here.
        free: bytes that are free where it would run.
        freed: bytes that come free when the present model goes.
        place: "cuda", "mps" or "cpu".
    """

    facts: ModelFacts
    needed: int
    free: int
    freed: int
    place: str

    @property
    def fits_beside(self) -> bool:
        """Whether it fits while the present model stays loaded."""
        return self.needed <= self.free

    @property
    def fits(self) -> bool:
        return self.needed <= self.free + self.freed


@dataclass(frozen=True)
class Stage:
    """Where a change of the model is: "looked", "dropped", "loading" or "done"."""

    name: str
    look: Look


def look(engine: Engine, choice: ModelChoice) -> Look:
    """Check a model before it is loaded.

    Raises:
        XPSRError: it does not exist, is not whole, or is of another family.
    """
    from xpsr.inspection import inspect_model
    from xpsr.placement import choose_device, choose_dtype, free_bytes

    facts = inspect_model(choice.model, choice.base)
    device = choose_device(engine.options.device)
    dtype = choose_dtype(device, engine.options.dtype)
    present = engine.loaded
    return Look(
        facts=facts,
        needed=facts.bytes(dtype),
        free=free_bytes(device),
        freed=weight_bytes(present) if present else 0,
        place=device.type,
    )


def switch(engine: Engine, choice: ModelChoice) -> Iterator[Stage | Waiting]:
    """Load another model and use it from then on; closed before the end, nothing is changed.

    Raises:
        XPSRError: it cannot be used; the studio goes on with the model it has.
    """
    found = look(engine, choice)
    yield Stage("looked", found)
    if not found.fits:
        free = found.free + found.freed
        raise XPSRError(words.no_room(found.facts.name, found.needed, free, found.place))
    options = replace(engine.options, model=choice.model, base=choice.base)
    yield from turn(engine.loading)  # what is being loaded right now comes first
    engine.loading.release()
    if found.fits_beside:
        yield Stage("loading", found)
        pipeline = yield from _loaded(options)
        yield from turn(engine.running)
        try:
            engine.use(pipeline, options)
        finally:
            engine.running.release()
    else:
        yield from _in_its_place(engine, options, found)
    give_back_memory()
    yield Stage("done", found)


def _in_its_place(engine: Engine, options: Any, found: Look) -> Iterator[Stage | Waiting]:
    """Let the old model go first, because both do not fit. Nobody runs or loads meanwhile."""
    yield from turn(engine.running)
    try:
        yield from turn(engine.loading)
        try:
            engine.use(None, engine.options)  # if this fails, the next who needs it loads it again
            give_back_memory()
            yield Stage("dropped", found)
            pipeline = yield from _loaded(options)
            engine.use(pipeline, options)
        finally:
            engine.loading.release()
    finally:
        engine.running.release()


def _loaded(options: Any) -> Iterator[Waiting]:
    """Load in the background, so that who waits for it can stop; returns the pipeline."""
    future: Future[XPSRPipeline] = Future()

    def work() -> None:
        try:
            future.set_result(load(options))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=work, name="load another model", daemon=True).start()
    while not wait([future], timeout=POLL_SECONDS).done:
        yield Waiting()
    return future.result()


def check_model(engine: Engine, visit: Visit, button: str) -> None:
    """Before anything is made with settings of the page: tell once that their model has gone.

    Args:
        button: what is pressed, and once more by whoever wants to keep the settings.

    Raises:
        XPSRError: another page has changed the model, and this one has not been told yet.
    """
    now = engine.options.model
    if visit.model not in ("", now) and visit.told != now:
        visit.told = now
        preset = PRESETS[engine.default_preset()]
        raise XPSRError(words.changed_elsewhere(now, visit.model, preset, button))
    visit.set_for(now)
