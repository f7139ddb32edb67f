"""`python -m xpsr describe`: put pictures into words."""

from __future__ import annotations

from typing import Any

import typer

from xpsr.cli.files import find_pictures
from xpsr.cli.options import Describer, Pictures
from xpsr.cli.report import SOME_FAILED, each, results_only


def describe(images: Pictures, describer: Describer = "measured") -> None:
    """Describe content and quality of pictures: a JSON line for each."""
    with results_only() as emit:
        pictures = find_pictures(images)
        from xpsr.image import open_image
        from xpsr.prompts.describer import make_describer

        author = make_describer(describer)

        def work(name: str) -> dict[str, Any]:
            found = author.describe(open_image(name).image)
            return {"input": name, "high": found.high, "low": found.low, "source": found.source}

        if not each([str(path) for path in pictures], work, emit):
            raise typer.Exit(SOME_FAILED)
