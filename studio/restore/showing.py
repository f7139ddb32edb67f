"""A run on the page: the values for the components that show it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import gradio as gr

from ..filling import fill
from ..labels import as_labelled
from ..results import scores_markup
from ..results.outputs import Outputs, Run
from ..visit import Visit
from . import words

# The components that a run, its progress and its end are shown in, by their names in `Page`.
RESULT = (
    "status",
    "preview",
    "comparison",
    "scores",
    "download",
    "recipe",
    "another",
    "pin",
    "against",
    "strip",
    "restore",
    "stop",
)
# The preview of a run is gone. The slider, whose place it took (theme.py), is never switched off:
# switched on again, Gradio 6.31 puts a second one there, and the two change each other without end.
STANDS: dict[str, Any] = {"preview": gr.update(value=None, visible=False)}
BICUBIC, PINNED = "bicubic", "pinned"


shown = partial(fill, RESULT)


def idle(status: str | dict, **changes: Any) -> tuple[Any, ...]:
    """The page at rest, with the result it has."""
    return shown(
        status=status,
        restore=gr.update(interactive=True),
        stop=gr.update(interactive=False),
        **STANDS | changes,
    )


class Face:
    """How the runs of a visitor are shown."""

    def __init__(self, outputs: Outputs) -> None:
        self.outputs = outputs

    def of(self, run: Run, visit: Visit, against: str) -> dict[str, Any]:
        """Everything on the page that depends on the run on the slider and on the pinned one."""
        pinned = self.pinned(visit)
        left = self.left(run, pinned, against)
        is_pinned = pinned is not None and pinned.id == run.id
        against_pinned = pinned is not None and left == pinned.after
        return {
            "comparison": gr.update(
                value=(str(left), str(run.after)),
                label=words.COMPARED_PINNED if against_pinned else words.COMPARED,
            ),
            "scores": self.table(run, visit),
            "download": gr.update(value=str(run.after), interactive=True),
            "recipe": gr.update(value=str(run.recipe_file), interactive=True),
            "another": gr.update(interactive=True),
            "pin": gr.update(value=words.UNPIN if is_pinned else words.PIN, interactive=True),
            "against": gr.update(visible=pinned is not None),
            "strip": self.strip(visit, run.id),
        }

    def table(self, run: Run, visit: Visit) -> str:
        """The scores of a run, against those of the pinned one."""
        pinned = self.pinned(visit)
        return scores_markup.table(run.rows, pinned.rows if pinned and pinned.id != run.id else ())

    def left(self, run: Run, pinned: Run | None, against: str) -> Any:
        """The picture on the left of the slider, which must be as large as the one on the right."""
        if against != PINNED or pinned is None or pinned.id == run.id:
            return run.before
        same = pinned.recipe.output_size == run.recipe.output_size
        return pinned.after if same else run.before

    def pinned(self, visit: Visit) -> Run | None:
        return self.outputs.get(visit.pinned)

    def strip(self, visit: Visit, shown: str | None = None) -> Any:
        """The thumbnails of this visit, the newest first. `shown`: what is on the slider now."""
        shown = shown or visit.shown
        runs = self.outputs.found(reversed(visit.runs))
        numbers = {run_id: number for number, run_id in enumerate(visit.runs, 1)}
        pictures = [
            (str(run.thumb), caption(numbers[run.id], run.id == visit.pinned, run.id == shown))
            for run in runs
        ]
        return gr.update(value=pictures, selected_index=None)


def caption(number: int, pinned: bool, shown: bool) -> str:
    """As short as a thumbnail is narrow."""
    marks = [words.IS_SHOWN] * shown + [words.IS_PINNED] * pinned
    return " · ".join([str(number), *marks])


def done_line(run: Run, notes: Sequence[str]) -> str:
    line = words.done(run.recipe.output_size, run.seconds, run.recipe.seed)
    # The pipeline opens pictures through the same door, so it may say the same once more.
    return as_labelled(" ".join([line + ".", *dict.fromkeys([*notes, *run.notes])]))
