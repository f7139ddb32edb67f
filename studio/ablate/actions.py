"""The handlers of the tab for ablations: what is asked for, what it costs, running it, looking."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from html import escape
from typing import TYPE_CHECKING, Any

import gradio as gr
from PIL import Image

from xpsr.ablation.choice import KINDS, SWEEPS, Choice
from xpsr.ablation.plan import Cell, Plan, consecutive_seeds
from xpsr.errors import XPSRError
from xpsr.prompts import Prompts
from xpsr.settings import Settings

from .. import markup
from ..form import read_form
from ..incoming import open_picture, picture_path, picture_title, sentence
from ..restore import texts
from ..restore.texts import Brought
from ..results import scores
from ..results.visit import Visit, to_compare
from ..services import Services
from ..words import REFUSED
from . import words
from .in_turn import InTurn
from .study import RunKeeper, Study, runs_by_recipe

if TYPE_CHECKING:
    from xpsr.ablation import CellResult, Experiment
    from xpsr.ablation.cost import Cost, Pace

FORM = "form"  # the choice that is no run
MAX_SOURCES = 20
# What handlers are given, before the fields of the form.
ASKED = (
    "study",
    "visit",
    "source",
    "picture",
    "preset",
    "learned",
    "written",
    "plan",
    "parts",
    "values",
    "axis",
    "axis_values",
    "second",
    "second_values",
    "csv",
    "seeds",
)
SEEN = ("source", "subject", "plan", "parts", "values", "axes", "csv", "cost", "start")
RUNNING = ("status", "cost", "grid", "effects", "report", "archive", "start", "stop")


def seen(**changes: Any) -> tuple[Any, ...]:
    """Values for the components in `SEEN`; what is not named stays as it is."""
    return tuple(changes.get(name, gr.skip()) for name in SEEN)


def running(**changes: Any) -> tuple[Any, ...]:
    """Values for the components in `RUNNING`; what is not named stays as it is."""
    return tuple(changes.get(name, gr.skip()) for name in RUNNING)


def at_rest(status: Any, **changes: Any) -> tuple[Any, ...]:
    buttons = {"start": gr.update(interactive=True), "stop": gr.update(interactive=False)}
    return running(status=status, **buttons, **changes)


@dataclass(frozen=True)
class Subject:
    """The run that is taken apart."""

    image: Image.Image
    title: str
    prompts: Prompts
    settings: Settings
    preset: str
    written: Brought


class Asked:
    """The tab as it stands: `ASKED` by name, and the values of the form."""

    def __init__(self, given: Sequence[Any]) -> None:
        self._given = dict(zip(ASKED, given, strict=False))
        self.form = given[len(ASKED) :]

    def __getattr__(self, name: str) -> Any:
        return self._given[name]

    def choice(self) -> Choice:
        """Which plan, and what belongs to it."""
        axes = [
            f"{name}={values or ''}"
            for name, values in ((self.axis, self.axis_values), (self.second, self.second_values))
            if name
        ]
        return Choice(
            self.plan,
            values=str(self.values or "") if self.plan in SWEEPS else "",
            axes=axes if self.plan == "grid" else (),
            csv=picture_path(self.csv) if self.plan == "csv" and self.csv else None,
            parts=[int(one) for one in self.parts or ()] if self.plan in KINDS else None,
        )


class AblationActions:
    """The handlers of one studio."""

    def __init__(self, services: Services) -> None:
        self.engine, self.outputs = services.engine, services.outputs

    # What is asked for ---------------------------------------------------------------------------

    def look(self, *given: Any) -> tuple:
        """Everything that depends on picture, texts and plan; all parts are ticked again."""
        asked = Asked(given)
        sources = self._sources(asked.visit)
        if asked.source not in [value for _, value in sources]:
            asked._given["source"] = FORM
        changes: dict[str, Any] = {
            "source": gr.update(choices=sources, value=asked.source),
            "axes": gr.update(visible=asked.plan == "grid"),
            "csv": gr.update(visible=asked.plan == "csv"),
        }
        try:
            subject = self._subject(asked)
        except Exception as error:
            hidden = {name: gr.update(visible=False) for name in ("parts", "values")}
            return seen(**changes, **hidden, **self._wrong(error), subject=markup.notice(""))
        parts = self._parts(asked.plan, subject.prompts)
        asked._given["parts"] = [number for _, number in parts]
        said = words.subject(subject.image.size, subject.title)
        return seen(
            **changes,
            subject=markup.notice(said),
            parts=gr.update(choices=parts, value=asked.parts, visible=bool(parts)),
            values=self._values(asked.plan, subject.settings),
            **self._counted(asked),
        )

    def choose(self, plan: str, *given: Any) -> tuple:
        """One of the three buttons."""
        asked = list(given)
        asked[ASKED.index("plan")] = plan
        looks = list(self.look(*asked))
        looks[SEEN.index("plan")] = plan
        return tuple(looks)

    def count(self, *given: Any) -> tuple:
        """What it costs, after a change that leaves the list of parts as it is."""
        return seen(**self._counted(Asked(given)))

    def measure(self, *given: Any) -> Iterator[tuple]:
        """Time a step on this picture, if that was not done before; cost and start button."""
        from xpsr.ablation.cost import Stopwatch, trial

        asked = Asked(given)
        try:
            subject, plan = self._planned(asked)
            if self._pace(asked, subject) is not None:
                yield gr.skip(), gr.skip()
                return
            yield markup.notice(words.MEASURING), gr.skip()
            experiment = self._experiment(asked, subject, plan)
            timed, short = trial(replace(experiment, folder=None), next(iter(plan.cells())))
            watch = Stopwatch(short.settings)
            for _ in watch.watch(timed.compute(short)):
                yield gr.skip(), gr.skip()
            asked.study.paces[subject.image.size] = watch.pace
            counted = self._counted(asked)
        except Exception as error:
            counted = self._wrong(error)
        yield counted["cost"], counted["start"]

    def _sources(self, visit: Visit) -> list[tuple[str, str]]:
        made = [
            (words.run_name(run.title, number, run.recipe.seed), run.id)
            for number, run in enumerate(self.outputs.found(visit.runs), 1)
        ][: -MAX_SOURCES - 1 : -1]
        ready = [(words.example_name(run.title), run.id) for run in self.outputs.examples.values()]
        return [(words.FORM, FORM), *made, *ready]

    def _subject(self, asked: Asked) -> Subject:
        """The run that is taken apart; raises XPSRError."""
        if asked.source != FORM:
            run = self.outputs.find(str(asked.source))
            with Image.open(run.picture) as picture:
                image = picture.convert("RGB")
            recipe = run.recipe
            told = texts.restored(recipe)
            return Subject(image, run.title, recipe.prompts, recipe.settings, asked.preset, told)
        if not asked.picture:
            raise XPSRError(words.NO_PICTURE)
        image = open_picture(asked.picture).image
        title = asked.visit.title or picture_title(asked.picture)
        prompts, settings = read_form(asked.preset, asked.form)
        return Subject(image, title, prompts, settings, asked.preset, asked.written)

    def _planned(self, asked: Asked) -> tuple[Subject, Plan]:
        """The subject and the plan for it; raises XPSRError."""
        subject = self._subject(asked)
        seeds = consecutive_seeds(subject.settings.seed, int(asked.seeds))
        plan = asked.choice().build(subject.prompts, subject.settings, seeds)
        cells = len(plan.variants) * len(plan.seeds)
        if cells > words.MOST:
            raise XPSRError(words.TOO_MANY.format(cells=cells, most=words.MOST))
        return subject, plan

    def _parts(self, plan: str, prompts: Prompts) -> list[tuple[str, int]]:
        from xpsr.ablation import plans

        if plan not in KINDS:
            return []
        found = plans.parts(KINDS[plan], prompts)
        return [(part.label, number) for number, part in enumerate(found)]

    def _values(self, plan: str, settings: Settings) -> Any:
        from xpsr.ablation.plans import default_values

        if plan not in SWEEPS:
            return gr.update(visible=False)
        usual = ", ".join(f"{one:g}" for one in default_values(SWEEPS[plan], settings))
        return gr.update(visible=True, info=words.VALUES_INFO.format(values=usual))

    # What it costs -------------------------------------------------------------------------------

    def _counted(self, asked: Asked) -> dict[str, Any]:
        """Cost and start button, or what is wrong with the plan."""
        try:
            subject, plan = self._planned(asked)
            cost = self._cost(asked, subject, plan)
        except Exception as error:
            return self._wrong(error)
        said = str(cost) if cost else words.UNTIMED.format(cells=len(list(plan.cells())))
        lines = [said, *plan.warnings(), *plan.notes]
        return {"cost": markup.notice(" ".join(lines)), "start": gr.update(interactive=True)}

    def _wrong(self, error: Exception) -> dict[str, Any]:
        notice = markup.notice(sentence(error), bad=True)
        return {"cost": notice, "start": gr.update(interactive=False)}

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
                settings = run.recipe.settings
                return Pace(run.seconds / settings.num_inference_steps, 0.0, settings)
        return None

    # Running it ----------------------------------------------------------------------------------

    def begin(self) -> tuple:
        """At once after a click on Start, before it has its turn."""
        return running(
            status=markup.notice(words.WAITING),
            start=gr.update(interactive=False),
            stop=gr.update(interactive=True),
        )

    def run(self, *given: Any) -> Iterator[tuple]:
        """Cell after cell, with something to show after every step."""
        from xpsr.ablation.run import CellsLostError

        try:
            yield from self._running(Asked(given))
        except CellsLostError as error:
            yield at_rest(markup.notice(str(error), bad=True))
        except Exception as error:
            yield at_rest(markup.notice(sentence(error), bad=True))

    def _running(self, asked: Asked) -> Iterator[tuple]:
        from xpsr.ablation import CellStep
        from xpsr.ablation.report import Subject as About

        subject, plan = self._planned(asked)
        study: Study = asked.study
        about = About(subject.title or "picture", subject.image, self.engine.pipeline().label)
        study.begin(plan, about, self.outputs.shelf.new_folder())
        experiment = self._experiment(asked, subject, plan)
        none = gr.update(value=None, interactive=False)
        yield running(grid=study.grid(), effects="", report=none, archive=none)
        spent: list[float] = []
        for item in experiment.run():
            if isinstance(item, CellStep):
                step = words.step(item.index + 1, item.total)
                yield running(status=self._line(study, item.cell, step, spent))
                continue
            yield from self._finished(study, experiment, item, spent)
        yield running(status=markup.notice(words.WRITING))
        failed = sum(bool(one.error) for one in study.results)
        said = words.done(len(study.results), failed, study.clear(), len(plan.variants) - 1)
        yield at_rest(markup.notice(said), **_files(study))

    def _finished(
        self, study: Study, experiment: Experiment, item: CellResult, spent: list[float]
    ) -> Iterator[tuple]:
        assert isinstance(experiment.folder, RunKeeper)
        study.add(item, None if item.error else experiment.folder.runs[item.cell.run])
        if item.origin == "computed":
            spent.append(item.seconds)
        yield running(grid=study.grid(), effects=_effects(study))

    def _line(self, study: Study, cell: Cell, step: str, spent: Sequence[float]) -> str:
        assert study.plan is not None
        total = len(study.plan.variants) * len(study.plan.seeds)
        number = len(study.results) + 1
        left = sum(spent) / len(spent) * (total - number + 1) if spent else None
        name = study.plan.variants[cell.variant].name
        return markup.notice(words.cell(number, total, name, cell.seed, step, left))

    def _experiment(self, asked: Asked, subject: Subject, plan: Plan) -> Experiment:
        from xpsr.ablation import Experiment

        keeper = RunKeeper(
            self.outputs,
            asked.visit,
            subject.image,
            subject.title,
            (subject.preset, subject.written),
            asked.study.folder or self.outputs.shelf.new_folder(),
            [variant.name for variant in plan.variants],
        )
        names = scores.shown_metrics(asked.learned or ())
        pipe: Any = InTurn(self.engine)
        return Experiment(pipe, subject.image, plan, names, folder=keeper)

    def stopped(self, study: Study) -> tuple:
        """Stop was pressed: what is finished is kept, and can be exported.

        Start stays off for a moment: Gradio loses a run that begins while it still clears away
        the one before.
        """
        total = len(study.plan.variants) * len(study.plan.seeds) if study.plan else 0
        said = words.stopped(len(study.runs), total)
        changes: dict[str, Any] = {"stop": gr.update(interactive=False)}
        if study.plan is not None:  # the last cell may have been finished while nobody listened
            changes |= {"grid": study.grid(), "effects": _effects(study)}
        try:
            return running(status=markup.notice(said), **changes, **_files(study))
        except Exception as error:
            return running(status=markup.notice(f"{said} {sentence(error)}", bad=True), **changes)

    def again(self) -> Any:
        """Start is possible again."""
        return gr.update(interactive=True)

    def failed(self, status: str) -> tuple:
        """It ended without a word: it was stopped, or refused because too many wait."""
        return at_rest(markup.notice(REFUSED, bad=True)) if words.WAITING in status else running()

    # Looking -------------------------------------------------------------------------------------

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


def _effects(study: Study) -> str:
    from xpsr.ablation.statistics import MULTIPLE

    tables = study.effects()
    if not tables:
        return markup.quiet(words.NO_EFFECTS)
    return (
        f"<h2>{escape(words.EFFECTS)}</h2>{markup.quiet(words.EFFECTS_INFO)}{tables}"
        f"{markup.quiet(MULTIPLE)}"
    )


def _files(study: Study) -> dict[str, Any]:
    """Values for the two buttons that download what was found."""
    written = study.export()
    if written is None:
        return {}
    return {
        name: gr.update(value=str(path), interactive=True)
        for name, path in zip(("report", "archive"), written, strict=True)
    }
