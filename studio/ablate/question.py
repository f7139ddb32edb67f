"""The upper half of the tab for ablations: what can be chosen, and what it would cost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import gradio as gr

from xpsr.ablation.choice import KINDS, SWEEPS
from xpsr.ablation.plan import Plan
from xpsr.prompts import Prompts
from xpsr.settings import Settings

from .. import markup
from ..filling import fill
from ..incoming import sentence
from ..labels import as_labelled
from ..results.run_list import label_of, runs_of
from ..services import Services
from ..visit import Visit
from . import words
from .asked import FORM, Asked, Subject
from .experiment import experiment_of
from .study import runs_by_recipe

if TYPE_CHECKING:
    from xpsr.ablation.cost import Cost, Pace
    from xpsr.ablation.plans import Part

MAX_SOURCES = 20
SEEN = ("source", "subject", "plan", "parts", "values", "axes", "csv", "cost", "start", "status")
seen = partial(fill, SEEN)


class QuestionActions:
    """Its handlers, for one studio."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.outputs = services.outputs

    def look(self, *given: Any) -> tuple:
        """Everything that depends on picture, texts and plan; all parts are ticked again."""
        return seen(**self._looked(Asked(given)))

    def choose(self, plan: str, *given: Any) -> tuple:
        """One of the three buttons."""
        return seen(**self._looked(Asked(given).changed(plan=plan)), plan=plan)

    def _looked(self, asked: Asked) -> dict[str, Any]:
        sources = self._sources(asked.visit)
        if asked.source not in [value for _, value in sources]:
            asked = asked.changed(source=FORM)
        changes: dict[str, Any] = {
            "source": gr.update(choices=sources, value=asked.source),
            "axes": gr.update(visible=asked.plan == "grid"),
            "csv": gr.update(visible=asked.plan == "csv"),
        }
        try:
            subject = asked.subject(self.outputs)
        except Exception as error:
            hidden = dict.fromkeys(("parts", "values"), gr.update(visible=False))
            return {**changes, **hidden, **_wrong(error), "subject": markup.notice("")}
        parts = _parts(asked.plan, subject.prompts)
        # A text that is not read need not be taken apart.
        in_content = subject.settings.lowlevel_route == "content"
        low_is_read = in_content or not self.services.engine.reads_one_text
        ticked = [n for n, part in parts.items() if part.field == "prompt" or low_is_read]
        asked = asked.changed(parts=ticked or [*parts])
        asked.study.listed = asked.plan
        choices = [(part.label, number) for number, part in parts.items()]
        said = words.subject(subject.image.size, subject.title)
        return {
            **changes,
            "subject": markup.notice(said),
            "parts": gr.update(choices=choices, value=asked.parts, visible=bool(parts)),
            "values": _values(asked.plan, subject.settings),
            **self._counted(asked),
        }

    def count(self, *given: Any) -> tuple:
        """What it costs, after a change that leaves the list of parts as it is."""
        asked = Asked(given)
        return self.look(*given) if _is_late(asked) else seen(**self._counted(asked))

    def measure(self, *given: Any) -> Iterator[Any]:
        """Time a step on this picture, if that was not done before: the line of the cost."""
        from xpsr.ablation.cost import Stopwatch, trial

        asked = Asked(given)
        asked.study.timed = False
        try:
            subject = asked.subject(self.outputs)
            plan = asked.plan_for(subject, self.services.engine)
            if self._pace(asked, subject) is not None:
                yield gr.skip()
                return
            yield markup.notice(words.MEASURING)
            experiment = experiment_of(self.services, asked, subject, plan)
            timed, short = trial(replace(experiment, folder=None), next(iter(plan.cells())))
            watch = Stopwatch(subject.image.size, short.settings)
            for _ in watch.watch(timed.compute(short)):
                yield gr.skip()
            asked.study.paces[subject.image.size] = watch.pace
            asked.study.timed = True
        except Exception as error:
            yield markup.notice(sentence(error), bad=True)

    def measured(self, *given: Any) -> tuple:
        """What it costs as it stands now: values may have changed while a step was timed."""
        asked = Asked(given)
        return self.count(*given) if asked.study.timed or _is_late(asked) else seen()

    def _sources(self, visit: Visit) -> list[tuple[str, str]]:
        made = [(label, run.id) for label, run in runs_of(self.outputs, visit).items()]
        ready = [(label_of(run), run.id) for run in self.outputs.examples.values()]
        return [(words.FORM, FORM), *made[:MAX_SOURCES], *ready]

    def _counted(self, asked: Asked) -> dict[str, Any]:
        """Cost and start button, or what is wrong with the plan."""
        try:
            subject = asked.subject(self.outputs)
            plan = asked.plan_for(subject, self.services.engine)
            cost = self._cost(asked, subject, plan)
        except Exception as error:
            return _wrong(error)
        said = str(cost) if cost else words.UNTIMED.format(cells=len(list(plan.cells())))
        lines = [said, *plan.warnings(), *plan.notes]
        cost = markup.notice(as_labelled(" ".join(lines)))
        if asked.study.job.is_under_way:
            return {"cost": cost}
        return {"cost": cost, "start": gr.update(interactive=True), **_about_last(asked, plan)}

    def _cost(self, asked: Asked, subject: Subject, plan: Plan) -> Cost | None:
        from xpsr.ablation.cost import estimate

        pace = self._pace(asked, subject)
        known = runs_by_recipe(self.outputs, asked.visit, subject.image)
        cells = list(plan.cells())
        to_do = list({cell.run: cell for cell in cells if cell.run not in known}.values())
        return estimate(len(cells), to_do, pace) if pace else None

    def _pace(self, asked: Asked, subject: Subject) -> Pace | None:
        """How fast this picture is restored: as measured here, or as its last run tells."""
        from xpsr.ablation.cost import Pace

        if subject.image.size in asked.study.paces:
            return asked.study.paces[subject.image.size]
        for run in reversed(self.outputs.found(asked.visit.runs)):
            if run.recipe.input_size == subject.image.size and run.seconds:
                size, settings = run.recipe.input_size, run.recipe.settings
                return Pace(run.seconds / settings.num_inference_steps, 0.0, size, settings)
        return None


def _about_last(asked: Asked, plan: Plan) -> dict[str, Any]:
    """What is said of the ablation that stands below, where this plan is another one."""
    last = asked.study.plan
    if last is None or not asked.study.said:
        return {}
    said = asked.study.said if plan == last else words.another_plan(last.name)
    return {"status": markup.notice(said)}


def _is_late(asked: Asked) -> bool:
    """Whether the page shows the parts of another plan: of two answers the older came last."""
    return asked.study.listed not in ("", asked.plan)


def _wrong(error: Exception) -> dict[str, Any]:
    notice = markup.notice(as_labelled(sentence(error)), bad=True)
    return {"cost": notice, "start": gr.update(interactive=False)}


def _parts(plan: str, prompts: Prompts) -> dict[int, Part]:
    """What a plan leaves out, by the numbers that `Choice.parts` takes."""
    from xpsr.ablation import plans

    return dict(enumerate(plans.parts(KINDS[plan], prompts))) if plan in KINDS else {}


def _values(plan: str, settings: Settings) -> Any:
    from xpsr.ablation.plans import default_values

    if plan not in SWEEPS:
        return gr.update(visible=False)
    usual = ", ".join(f"{one:g}" for one in default_values(SWEEPS[plan], settings))
    return gr.update(visible=True, info=words.VALUES_INFO.format(values=usual))
