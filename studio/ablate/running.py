"""The lower half of the tab for ablations: cell after cell, Stop, and a look at one of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from html import escape
from typing import TYPE_CHECKING, Any

import gradio as gr

from xpsr.errors import XPSRError

from .. import markup
from ..compare.partner import to_compare
from ..filling import fill
from ..incoming import sentence
from ..job import Job
from ..models.engine import is_progress
from ..models.switching import check_model
from ..models.waiting import sign
from ..models.words import step as at_step
from ..services import Services
from ..words import REFUSED, STOPPING, WAITING
from . import words
from .asked import FORM, Asked
from .experiment import experiment_of
from .study import RunKeeper, Study

if TYPE_CHECKING:
    from xpsr.ablation import CellResult, CellStep, Experiment

RUNNING = ("status", "cost", "grid", "effects", "report", "archive", "start", "stop")
running = partial(fill, RUNNING)


def at_rest(status: Any, **changes: Any) -> tuple[Any, ...]:
    buttons = {"start": gr.update(interactive=True), "stop": gr.update(interactive=False)}
    return running(status=status, **buttons, **changes)


class RunningActions:
    """Its handlers, for one studio."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.engine, self.outputs = services.engine, services.outputs

    def begin(self, study: Study) -> tuple:
        """At once after a click on Start, before it has its turn."""
        study.job, study.said = Job("waiting"), ""
        return running(
            status=markup.notice(WAITING),
            start=gr.update(interactive=False),
            stop=gr.update(interactive=True),
        )

    def run(self, *given: Any) -> Iterator[tuple]:
        """Cell after cell, with something to show after every step."""
        from xpsr.ablation.run import CellsLostError

        asked = Asked(given)
        job = asked.study.job
        job.work()
        try:
            yield from self._running(asked, job)
        except CellsLostError as error:
            yield at_rest(markup.notice(str(error), bad=True))
        except Exception as error:
            yield at_rest(markup.notice(sentence(error), bad=True))
        finally:
            job.end()

    def _running(self, asked: Asked, job: Job) -> Iterator[tuple]:
        from xpsr.ablation import CellStep
        from xpsr.ablation.report import Subject as About

        study: Study = asked.study
        if job.is_stopped:
            yield _stopped(study)
            return
        subject = asked.subject(self.outputs)
        plan = asked.plan_for(subject, self.engine)
        if asked.source == FORM:  # a finished result brings settings of its own
            check_model(self.engine, asked.visit, words.START)
        about = About(subject.title or "picture", subject.image, self.engine.pipeline().label)
        study.begin(plan, about, self.outputs.shelf.new_folder())
        experiment = experiment_of(self.services, asked, subject, plan)
        none = gr.update(value=None, interactive=False)
        yield running(grid=study.grid(), effects="", report=none, archive=none)
        spent: list[float] = []
        for item in experiment.run():
            if isinstance(item, CellStep):
                if job.is_stopped:
                    yield _stopped(study)
                    return
                yield running(status=self._line(study, item, spent))
                continue
            yield from self._finished(study, experiment, item, spent)
        yield running(status=markup.notice(words.WRITING))
        failed = sum(bool(one.error) for one in study.results)
        study.said = words.done(len(study.results), failed, study.clear(), len(plan.variants) - 1)
        yield at_rest(markup.notice(study.said), **_files(study))

    def _finished(
        self, study: Study, experiment: Experiment, item: CellResult, spent: list[float]
    ) -> Iterator[tuple]:
        assert isinstance(experiment.folder, RunKeeper)
        study.add(item, None if item.error else experiment.folder.runs[item.cell.run])
        if item.origin == "computed":
            spent.append(item.seconds)
        yield running(grid=study.grid(), effects=_effects(study))

    def _line(self, study: Study, item: CellStep, spent: Sequence[float]) -> str:
        assert study.plan is not None
        cell, at = item.cell, item.progress
        step = at_step(at) if is_progress(at) else sign(at)
        total = len(study.plan.variants) * len(study.plan.seeds)
        number = len(study.results) + 1
        left = sum(spent) / len(spent) * (total - number + 1) if spent else None
        name = study.plan.variants[cell.variant].name
        return markup.notice(words.cell(number, total, name, cell.seed, step, left))

    def stop(self, study: Study) -> tuple:
        """At once after a click on Stop; see `Job`."""
        study.job.stop()
        return running(status=markup.notice(STOPPING), stop=gr.update(interactive=False))

    def let_go(self, study: Study) -> tuple:
        """A moment after Stop: one that still works tells by itself, any other one may be gone.

        It does so when it has let go of its step, which may be the last one of a cell.
        """
        return _stopped(study) if study.job.state == "stopped" else running()

    def failed(self, study: Study) -> tuple:
        """It ended without a word: it was stopped, or refused because too many wait."""
        return at_rest(markup.notice(REFUSED, bad=True)) if study.job.fail() else _stopped(study)

    def open(self, study: Study, event: gr.EventData) -> tuple[Any, Any, Any]:
        """A row or a picture was pressed: tabs, the pair to compare, and a notice."""
        try:
            variant = int(event.variant)
            seed = None if event.seed in (None, "") else int(event.seed)
            if not study.runs:
                raise XPSRError(words.CELL_GONE)
            pair = study.pair(variant, seed)
            if pair is None:
                raise XPSRError(words.NOTHING_TO_COMPARE)
        except Exception as error:
            return gr.skip(), gr.skip(), markup.notice(sentence(error), bad=True)
        return gr.Tabs(selected="compare"), to_compare(*pair), gr.skip()


def _stopped(study: Study) -> tuple:
    """What is finished is kept, and can be exported."""
    total = len(study.plan.variants) * len(study.plan.seeds) if study.plan else 0
    said = study.said = words.stopped(len(study.runs), total)
    try:
        return at_rest(markup.notice(said), **_tables(study), **_files(study))
    except Exception as error:
        return at_rest(markup.notice(f"{said} {sentence(error)}", bad=True), **_tables(study))


def _tables(study: Study) -> dict[str, Any]:
    """All that is finished: the last cell may have been while nobody listened."""
    return {"grid": study.grid(), "effects": _effects(study)} if study.plan is not None else {}


def _effects(study: Study) -> str:
    from xpsr.ablation.statistics import MULTIPLE

    tables = study.effects()
    if not tables:
        return markup.quiet(words.NO_EFFECTS)
    told = words.effects_info(study.by_seed())
    return f"<h2>{escape(words.EFFECTS)}</h2>{markup.quiet(told)}{tables}{markup.quiet(MULTIPLE)}"


def _files(study: Study) -> dict[str, Any]:
    """Values for the two buttons that download what was found."""
    written = study.export()
    if written is None:
        return {}
    return {
        name: gr.update(value=str(path), interactive=True)
        for name, path in zip(("report", "archive"), written, strict=True)
    }
