"""What the browser keeps of an ablation: the plan, and how far it came. No pictures."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import gradio as gr
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from xpsr.ablation.choice import NAMES

from .. import markup
from . import words
from .study import Study

STORAGE_KEY = "xpsr-studio-ablation"
# The components whose values are kept, and come back; then the status is told.
KEPT = ("source", "plan", "values", "axis", "axis_values", "second", "second_values", "seeds")

Line = Annotated[str, Field(max_length=2000)]


class Kept(BaseModel):
    """The question as it stood. `started`: the plan that was started last, and its cells."""

    model_config = ConfigDict(extra="forbid")

    version: Literal[1] = 1
    source: Line
    plan: Literal[tuple(NAMES)]  # pyright: ignore[reportInvalidTypeForm]
    values: Line | None
    axis: Line
    axis_values: Line | None
    second: Line | None
    second_values: Line | None
    seeds: Annotated[int, Field(ge=1, le=12)]
    started: Line = ""
    finished: Annotated[int, Field(ge=0)] = 0
    cells: Annotated[int, Field(ge=0)] = 0


def keep(study: Study, *values: Any) -> Any:
    """What the browser is to remember: values of `KEPT`, and how far the ablation is."""
    try:
        kept = Kept(**dict(zip(KEPT, values, strict=True)))
    except ValidationError:  # half typed: the last one stays
        return gr.skip()
    if study.plan is not None:
        kept.started, kept.finished = study.plan.name, len(study.runs)
        kept.cells = len(study.plan.variants) * len(study.plan.seeds)
    elif study.recalled is not None:
        kept.started, kept.finished, kept.cells = study.recalled
    return kept.model_dump()


def recall(stored: Any, study: Study) -> Any:
    """The tab is opened for the first time: values for `KEPT`, and the status."""
    if study.recalled is not None:
        return gr.skip()
    try:
        kept = Kept.model_validate(stored) if stored else None
    except ValidationError:  # of another version, or nothing of ours
        kept = None
    study.recalled = (kept.started, kept.finished, kept.cells) if kept else ("", 0, 0)
    if kept is None:
        return gr.skip()
    # In a plan that is started there is more to see than this.
    said = words.found_again(*study.recalled) if kept.cells and study.plan is None else ""
    status = markup.notice(said) if said else gr.skip()
    return *(getattr(kept, name) for name in KEPT), status
