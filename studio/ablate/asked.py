"""What a visitor asks for on the tab for ablations, and the plan that it comes to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from xpsr.ablation.choice import KINDS, SWEEPS, Choice
from xpsr.ablation.plan import Plan, consecutive_seeds, for_one_text
from xpsr.errors import XPSRError
from xpsr.prompts import Prompts
from xpsr.settings import Settings

from .. import texts
from ..form import read_form
from ..incoming import open_picture, picture_path, picture_title
from ..models.engine import Engine
from ..results.difference import open_rgb
from ..results.outputs import Outputs
from ..texts import Brought
from . import words

FORM = "form"  # the choice that is no run
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
    """The tab as it stands: `ASKED` by name, and the values of the form.

    Args:
        given: values of `ASKED`, then those of the form.
        changes: other values for some of `ASKED`.
    """

    def __init__(self, given: Sequence[Any], **changes: Any) -> None:
        self._given = {**dict(zip(ASKED, given, strict=False)), **changes}
        self.form = given[len(ASKED) :]

    def __getattr__(self, name: str) -> Any:
        return self._given[name]

    def changed(self, **changes: Any) -> Asked:
        """The same with other values for some of `ASKED`."""
        return Asked([*self._given.values(), *self.form], **changes)

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

    def subject(self, outputs: Outputs) -> Subject:
        """The run that is taken apart: the Restore tab as it stands, or a finished result.

        Raises:
            XPSRError: there is no picture, or the result has been removed.
        """
        if self.source != FORM:
            run = outputs.find(str(self.source))
            image, recipe = open_rgb(run.picture), run.recipe
            told = texts.restored(recipe)
            return Subject(image, run.title, recipe.prompts, recipe.settings, self.preset, told)
        if not self.picture:
            raise XPSRError(words.NO_PICTURE)
        image = open_picture(self.picture).image
        title = self.visit.picture.title or picture_title(self.picture)
        prompts, settings = read_form(self.preset, self.form)
        return Subject(image, title, prompts, settings, self.preset, self.written)

    def plan_for(self, subject: Subject, engine: Engine) -> Plan:
        """The plan for its model; raises XPSRError where there is none, or one too large."""
        seeds = consecutive_seeds(subject.settings.seed, int(self.seeds or 0))
        plan = self.choice().build(subject.prompts, subject.settings, seeds)
        plan = for_one_text(plan) if engine.reads_one_text else plan
        cells = len(plan.variants) * len(plan.seeds)
        if cells > words.MOST:
            raise XPSRError(words.TOO_MANY.format(cells=cells, most=words.MOST))
        return plan
