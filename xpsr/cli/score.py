"""`python -m xpsr score`: judge a picture, alone or against a reference."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xpsr.cli.options import metric_names
from xpsr.cli.report import SOME_FAILED, each, results_only, say, score_entries

if TYPE_CHECKING:
    from xpsr.metrics import Score

_Image = Annotated[Path, typer.Argument(metavar="IMAGE", help="The picture to judge.")]
_Reference = Annotated[
    Path | None, typer.Option(metavar="IMAGE", help="What it should look like, of equal size.")
]
_Input = Annotated[
    Path | None, typer.Option("--input", metavar="IMAGE", help="What it was made from.")
]
_Metrics = Annotated[
    str | None,
    typer.Option(metavar="A,B", help="Names; left out: all that need no download and fit."),
]


def score(
    image: _Image,
    reference: _Reference = None,
    made_from: _Input = None,
    metrics: _Metrics = None,
) -> None:
    """Judge a picture: one JSON line. A score that is asked for and cannot be had is null in it,
    with the reason beside it; if that is so of all of them, the exit code is 1.
    """
    with results_only() as emit:
        names = metric_names(metrics)
        from xpsr.metrics import METRICS, check_names

        check_names(names or ())

        def work(name: str) -> dict[str, Any]:
            from xpsr import metrics as judge
            from xpsr.image import open_image

            def picture(path: Path | None) -> Any:
                return open_image(path).image if path else None

            scores = judge.score(
                open_image(name).image,
                reference=picture(reference),
                input=picture(made_from),
                metrics=names,
            )
            asked = _asked(names, scores, reference is not None)
            lacking = [one for one in asked if scores[one].value is None]
            in_vain = len(lacking) == len(asked) > 0
            for one in lacking if names or in_vain else ():
                say(f"{name}: {METRICS[one].label} {scores[one].reason}.")
            if in_vain:
                vain.append(name)
            return {"input": name, **score_entries(scores)}

        vain: list[str] = []
        if not each([str(image)], work, emit) or vain:
            raise typer.Exit(SOME_FAILED)


def _asked(names: list[str] | None, scores: dict[str, Score], compared: bool) -> list[str]:
    """The scores that were asked for: those named, or those that a given reference is for."""
    from xpsr.metrics import METRICS

    of_reference = [name for name in scores if METRICS[name].needs_reference]
    return names or (of_reference if compared else [])
