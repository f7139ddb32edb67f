"""The report of an ablation: one HTML file that opens from the disk, with no network."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from xpsr.ablation import views
from xpsr.ablation.plan import Plan
from xpsr.ablation.plans import TEXT_LABELS
from xpsr.ablation.run import CellResult
from xpsr.ablation.statistics import MULTIPLE, change_by_seed, changes, effects
from xpsr.metrics import METRICS
from xpsr.prompts import PROMPT_NAMES
from xpsr.recipe import model_label
from xpsr.recipe_changes import changed_settings

# Longest side of the pictures in the report by how many there are: some 20 MB at most.
_SIDES = ((64, 768), (200, 512), (1000, 256))
_SMALLEST = 128


@dataclass(frozen=True)
class Subject:
    """What the report is about.

    Attributes:
        name: of the input file, without its folder.
        image: the input.
        model: as recipes name it.
        source: who wrote the texts, for example "measured"; empty if the user did.
    """

    name: str
    image: Image.Image
    model: str
    source: str = ""


def render(plan: Plan, results: Sequence[CellResult], subject: Subject) -> str:
    """The report as HTML. Every text in it is escaped: a prompt that looks like markup stays text.

    Args:
        plan: what was meant to be run.
        results: what is finished, in any order; missing and failed cells are named as such.
        subject: see there.
    """
    pictures = sum(not one.error for one in results)
    side = next((side for count, side in _SIDES if pictures <= count), _SMALLEST)
    shown = _Pictures(side)
    recipe = next((one.recipe for one in results if one.recipe and one.cell.variant == 0), None)
    found = effects(plan, results)
    return (
        views.environment()
        .get_template("report.html.j2")
        .render(
            plan=plan,
            subject=subject,
            style=views.style(),
            input_picture=shown.of(_enlarged(subject.image, results)),
            side=side if any(_longest(one) > side for one in results) else None,
            finished=pictures,
            total=len(plan.variants) * len(plan.seeds),
            warnings=[*plan.warnings(), *plan.notes],
            multiple=MULTIPLE,
            comparisons=len(found),
            by_seed=change_by_seed(results),
            tables=views.effect_tables(plan, results, changes(results)),
            alike=bool(found) and max(one.pairs for one in found) < 2,
            clear=len({one.variant for one in found if one.clear}),
            reasons=_reasons(results),
            rows=views.grid_rows(plan, results, shown.of_result),
            texts=_texts(plan),
            settings=_settings(plan),
            recipe=recipe.to_json() if recipe else "",
            rerun=_rerun(recipe.model if recipe else subject.model),
        )
    )


class _Pictures:
    """Pictures as data addresses; equal ones are encoded once."""

    def __init__(self, side: int) -> None:
        self.side = side
        self._done: dict[str, str] = {}

    def of_result(self, result: CellResult) -> str:
        assert result.recipe is not None
        key = result.recipe.output_sha256
        if key not in self._done:
            self._done[key] = self.of(result.picture())
        return self._done[key]

    def of(self, image: Image.Image) -> str:
        if max(image.size) > self.side:
            image = image.copy()
            image.thumbnail((self.side, self.side), Image.Resampling.LANCZOS)
        data = io.BytesIO()
        image.save(data, format="WEBP", quality=92)
        return "data:image/webp;base64," + base64.b64encode(data.getvalue()).decode()


def _texts(plan: Plan) -> list[dict[str, Any]]:
    """The five texts of every variant, with a mark on those that differ from the full prompt."""
    full = plan.baseline.prompts
    return [
        {
            "name": variant.name,
            "texts": [
                {
                    "label": TEXT_LABELS[field],
                    "text": getattr(variant.prompts, field),
                    "changed": getattr(variant.prompts, field) != getattr(full, field),
                }
                for field in PROMPT_NAMES
            ],
        }
        for variant in plan.variants
    ]


def _settings(plan: Plan) -> list[dict[str, Any]]:
    """What each variant sets otherwise than the full prompt's run."""
    found = (changed_settings(plan.baseline.settings, one.settings) for one in plan.variants)
    return [{one.place: one.after for one in some if one.place != "seed"} for some in found]


def _reasons(results: Sequence[CellResult]) -> dict[str, str]:
    """{label of a score: why it has no figures}."""
    return {
        METRICS[name].label: score.reason
        for result in results
        for name, score in result.scores.items()
        if score.reason
    }


def _enlarged(image: Image.Image, results: Sequence[CellResult]) -> Image.Image:
    """The input at the size of the results, so that both can lie over each other."""
    size = next((one.recipe.output_size for one in results if one.recipe), image.size)
    return image.convert("RGB").resize(size, Image.Resampling.BICUBIC)


def _longest(result: CellResult) -> int:
    return max(result.recipe.output_size) if result.recipe else 0


def _rerun(model: str) -> str:
    other = "" if model_label(model) == "mini" else " --model FOLDER"
    return f"python -m xpsr rerun cells/NAME.png --out again{other}"
