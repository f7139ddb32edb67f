"""An experiment of the library on the studio's model, its cells kept as runs of the visitor."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Any

from xpsr.ablation.plan import Plan

from ..models.engine import Engine
from ..results import scores
from ..services import Services
from . import words
from .asked import Asked, Subject
from .study import RunKeeper

if TYPE_CHECKING:
    from PIL import Image

    from xpsr.ablation import Experiment
    from xpsr.prompts import Prompts
    from xpsr.settings import Settings
    from xpsr.shared import Shared


def experiment_of(services: Services, asked: Asked, subject: Subject, plan: Plan) -> Experiment:
    """The experiment that the visitor asks for; raises XPSRError while there is no model."""
    from xpsr.ablation import Experiment

    outputs = services.outputs
    keeper = RunKeeper(
        outputs,
        asked.visit,
        subject.image,
        subject.title,
        (subject.preset, subject.written),
        asked.study.folder or outputs.shelf.new_folder(),
        [variant.name for variant in plan.variants],
    )
    names = scores.shown_metrics(asked.learned or ())
    pipe: Any = _InTurn(services.engine)
    return Experiment(pipe, subject.image, plan, names, folder=keeper)


class _InTurn:
    """What `Experiment` needs of a pipeline; every cell is a turn of its own."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.pipe = engine, engine.pipeline()
        self.surroundings = self.pipe.surroundings

    def stream(
        self, image: Image.Image, prompts: Prompts, settings: Settings, shared: Shared
    ) -> Iterator[Any]:
        from xpsr.ablation.run import CellsLostError

        if self.engine.pipeline() is not self.pipe:  # results of two models must not be mixed
            raise CellsLostError(words.MODEL_CHANGED)
        with closing(self.engine.stream(image, prompts, settings, shared=shared)) as items:
            yield from items  # also that it waits for its turn: so that waiting can be stopped
