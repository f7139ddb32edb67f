"""`python -m xpsr describe`: put pictures into words, one or a million."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xpsr.cli.files import find_pictures, tell_of_subfolders
from xpsr.cli.options import Describer, Pictures
from xpsr.cli.report import SOME_FAILED, results_only, say
from xpsr.launch import is_first, own_share, wait_for_others

if TYPE_CHECKING:
    from PIL import Image

    from xpsr.cli.described import Described
    from xpsr.errors import XPSRError
    from xpsr.prompts.describer import Description

Out = Annotated[
    Path | None,
    typer.Option(
        "--out",
        "-o",
        metavar="FILE.jsonl",
        help="Write the lines there instead of to stdout; run it again and only what is missing "
        "is done, or has changed. What failed stands in FILE.failed.jsonl and is tried again.",
    ),
]
Concurrency = Annotated[
    int | None,
    typer.Option(
        min=1, max=256, metavar="N", help="Questions under way at once. Left out: 4 to a server."
    ),
]


def describe(
    context: typer.Context,
    images: Pictures,
    describer: Describer = "measured",
    out: Out = None,
    concurrency: Concurrency = None,
) -> None:
    """Describe content and quality of pictures: a JSON line for each.

    A --describer that is named, which auto is not, also replaces what others
    have written to the same --out.

    Under `accelerate launch -m xpsr describe …` each process takes its share.
    """
    with results_only() as emit:
        from xpsr.cli.described import Described
        from xpsr.cli.pace import Pace
        from xpsr.prompts.author import is_named
        from xpsr.prompts.batch import describe_many
        from xpsr.prompts.describer import DescriberUnavailableError, make_describer

        if is_first():  # all of them see the same, and one says it
            tell_of_subfolders(images)
        names = [str(path) for path in own_share(find_pictures(images))]
        spec = _chosen(describer)
        author = make_describer(spec)
        given = context.get_parameter_source("describer")
        named = given is not None and given.name != "DEFAULT" and is_named(describer)
        texts = Described(out, names, spec, author.name, named) if out else None
        names = texts.left if texts else names
        pace = Pace(len(names), say)
        items = ((name, partial(_open, name, texts)) for name in names)
        try:
            for name, found in describe_many(author, items, concurrency):
                record = _record(name, found)
                if texts:
                    texts.add(record)
                else:
                    emit(record)
                pace.count(failed="error" in record)
                if texts and isinstance(found, DescriberUnavailableError):
                    say("The others were not tried; run the same command again to go on.")
                    break
            pace.end()
        finally:
            if texts:
                texts.end()
        wait_for_others()
        if pace.failed:
            raise typer.Exit(SOME_FAILED)


def _chosen(describer: str) -> str:
    if describer == "auto":
        from xpsr.prompts.auto import choose

        choice = choose()
        say(f"{choice.reason} Described by {choice.spec}.")
        return choice.spec
    return describer


def _open(name: str, texts: Described | None) -> Image.Image:
    from xpsr.image import open_image

    if texts:
        texts.look(name)
    return open_image(name).image


def _record(name: str, found: Description | XPSRError) -> dict[str, Any]:
    if isinstance(found, Exception):
        say(f"{name}: {found}")
        return {"input": name, "error": str(found)}
    return {"input": name, "high": found.high, "low": found.low, "source": found.source}
