"""A plan by its name, as the command line and the page offer them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from xpsr.ablation import own_plans, plans
from xpsr.ablation.plan import Plan
from xpsr.ablation.units import Kind
from xpsr.errors import XPSRError
from xpsr.prompts import Prompts
from xpsr.settings import Settings

KINDS: dict[str, Kind] = {"sentences": "sentence", "clauses": "clause", "words": "word"}
SIMPLE = {"levels": plans.levels, "negatives": plans.negatives, "swap": plans.swap}
SWEEPS = {
    "guidance": "guidance_scale",
    "steps": "num_inference_steps",
    "conditioning": "controlnet_conditioning_scale",
}
OWN = ("grid", "csv")
NAMES = ("levels", "negatives", *KINDS, "swap", *SWEEPS, *OWN)


@dataclass(frozen=True)
class Choice:
    """Which plan, and what belongs to it.

    Attributes:
        plan: one of `NAMES`.
        values: for sweeps, as "1,2.5"; empty takes the default ones.
        axes: for "grid", one or two of "name=value,value".
        csv: for "csv", the file.
        texts: for `KINDS`, which texts to take apart; empty takes the two main ones.
        parts: for `KINDS`, the numbers of the parts to leave out, see `plans.parts`; None: all.
    """

    plan: str
    values: str = ""
    axes: Sequence[str] = ()
    csv: Path | None = None
    texts: Sequence[str] = ()
    parts: Collection[int] | None = None

    def parse(self) -> None:
        """Refuse values, axes and files that cannot be read, whatever the texts and settings are.

        Raises:
            XPSRError: one cannot.
        """
        if self.values.strip():
            numbers(self.values)
        for axis in self.axes:
            own_plans.Axis.parse(axis)
        if self.csv is not None:
            own_plans.read_csv(self.csv)

    def build(self, prompts: Prompts, settings: Settings, seeds: tuple[int, ...]) -> Plan:
        """The plan for a full run.

        Raises:
            XPSRError: there is no such plan, or it cannot be made of these texts and settings.
        """
        full = (prompts, settings, seeds)
        if self.plan in SIMPLE:
            return SIMPLE[self.plan](*full)
        if self.plan in KINDS:
            texts = self.texts or plans.MAIN_TEXTS
            return plans.drop(KINDS[self.plan], *full, texts=texts, only=self.parts)
        if self.plan in SWEEPS:
            setting = SWEEPS[self.plan]
            values = numbers(self.values) if self.values.strip() else None
            return plans.sweep(setting, values or plans.default_values(setting, settings), *full)
        if self.plan == "grid":
            return own_plans.grid([own_plans.Axis.parse(axis) for axis in self.axes], *full)
        if self.plan == "csv" and self.csv is not None:
            return own_plans.from_csv(self.csv, *full)
        if self.plan == "csv":
            raise XPSRError("This plan needs a CSV file with your prompts.")
        raise XPSRError(f'There is no plan "{self.plan}"; choose one of {", ".join(NAMES)}.')


def numbers(text: str) -> list[float]:
    """Numbers with commas between them.

    Raises:
        XPSRError: something else stands there.
    """
    try:
        return [float(value) for value in text.split(",")]
    except ValueError:
        raise XPSRError(f'The values are "{text[:60]}"; write numbers, as in 1,2.5,4.5.') from None
