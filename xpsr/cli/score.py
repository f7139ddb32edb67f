"""`python -m xpsr score`: judge a picture, alone or against a reference."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from xpsr.cli.options import metric_names
from xpsr.cli.report import SOME_FAILED, each, results_only, score_entries
from xpsr.errors import XPSRError

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
    """Judge a picture: one JSON line."""
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
            return {"input": name, **score_entries(scores)}

        if not each([str(image)], work, emit):
            raise typer.Exit(SOME_FAILED)
