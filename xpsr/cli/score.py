"""`python -m xpsr score`: judge a picture, alone or against a reference."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xpsr.cli.options import metric_names
from xpsr.cli.report import SOME_FAILED, each, results_only, say, score_entries
from xpsr.errors import XPSRError

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
    with the reason beside it, and the exit code is 1.
    """
    with results_only() as emit:
        names = metric_names(metrics)
        from xpsr.metrics import METRICS

        unknown = sorted(set(names or ()) - set(METRICS))
        if unknown:
            raise XPSRError(f'There is no score "{unknown[0]}"; there are {", ".join(METRICS)}.')

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
            for one in _in_vain(scores, names, reference is not None):
                say(f"{name}: {METRICS[one].label} {scores[one].reason}.")
                lacking.append(one)
            return {"input": name, **score_entries(scores)}

        lacking: list[str] = []
        if not each([str(image)], work, emit) or lacking:
            raise typer.Exit(SOME_FAILED)


def _in_vain(scores: dict[str, Score], names: list[str] | None, compared: bool) -> list[str]:
    """The scores that were asked for and have no figure: those named, and where a reference is
    given and is of use to none, those that need it."""
    from xpsr.metrics import METRICS

    asked = set(names or ())
    needy = {name for name in scores if METRICS[name].needs_reference}
    if compared and all(scores[name].value is None for name in needy):
        asked |= needy
    return [name for name, one in scores.items() if name in asked and one.value is None]
