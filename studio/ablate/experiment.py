"""An experiment of the library on the studio's model, its cells kept as runs of the visitor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from xpsr.ablation.plan import Plan

from ..results import scores
from ..services import Services
from .asked import Asked, Subject
from .in_turn import InTurn
from .study import RunKeeper

if TYPE_CHECKING:
    from xpsr.ablation import Experiment


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
    pipe: Any = InTurn(services.engine)
    return Experiment(pipe, subject.image, plan, names, folder=keeper)
