"""`python -m xpsr describe`: put pictures into words, one or a million."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xpsr.cli.files import find_pictures, tell_of_subfolders
from xpsr.cli.options import Describer, Pictures
from xpsr.cli.report import SOME_FAILED, results_only, say, to_line

if TYPE_CHECKING:
    from PIL import Image

    from xpsr.cli.ledger import Ledger

Out = Annotated[
    Path | None,
    typer.Option(
        "--out",
        "-o",
        metavar="FILE.jsonl",
        help="Write the lines there instead of to stdout; run it again and only what is missing "
        "is done. What failed stands in FILE.failed.jsonl and is tried again.",
    ),
]
Concurrency = Annotated[
    int | None,
    typer.Option(
        min=1, max=256, metavar="N", help="Questions under way at once. Left out: 4 to a server."
    ),
]


def describe(
    images: Pictures,
    describer: Describer = "measured",
    out: Out = None,
    concurrency: Concurrency = None,
) -> None:
    """Describe content and quality of pictures: a JSON line for each.

    Under `accelerate launch -m xpsr describe …` each process takes its share.
    """
    with results_only() as emit:
        from xpsr.cli.pace import Pace
        from xpsr.prompts.batch import describe_many, own_share, place_in_launch, wait_for_others
        from xpsr.prompts.describer import DescriberUnavailableError

        if place_in_launch()[0] == 0:  # all of them see the same, and one says it
            tell_of_subfolders(images)
        names = [str(path) for path in find_pictures(images)]
        names = list(own_share(names))
        author = _author(describer)
        ledger = _open_ledger(out, names) if out else None
        if ledger:
            names = [name for name in names if name not in ledger.done]
        keep = ledger.add if ledger else lambda record: emit(to_line(record))
        pace = Pace(len(names), say)
        items = ((name, partial(_open, name)) for name in names)
        for name, found in describe_many(author, items, concurrency):
            if isinstance(found, Exception):
                say(f"{name}: {found}")
                keep({"input": name, "error": str(found)})
            else:
                said = {"high": found.high, "low": found.low, "source": found.source}
                keep({"input": name, **said})
            pace.count(failed=isinstance(found, Exception))
            if ledger and isinstance(found, DescriberUnavailableError):
                say("The others were not tried; run the same command again to go on.")
                break
        pace.end()
        wait_for_others()
        if pace.failed:
            raise typer.Exit(SOME_FAILED)


def _author(describer: str) -> Any:
    from xpsr.prompts.describer import make_describer

    if describer == "auto":
        from xpsr.prompts.auto import choose

        choice = choose()
        say(f"{choice.reason} Described by {choice.spec}.")
        describer = choice.spec
    return make_describer(describer)


def _open(name: str) -> Image.Image:
    from xpsr.image import open_image

    return open_image(name).image


def _open_ledger(out: Path, names: list[str]) -> Ledger:
    from xpsr.cli.ledger import Ledger

    ledger = Ledger(out, names)
    if kept := sum(name in ledger.done for name in names):
        sources = ", ".join(sorted({str(record.get("source")) for record in ledger.records}))
        say(f"{kept} of {len(names)} pictures are in {out} already (by {sources}).")
    return ledger
