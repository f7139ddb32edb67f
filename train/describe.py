"""Texts for the pairs: python -m train.describe --data DIR --describer measured|llava|http://…

Describes both sides of every pair anew wherever its texts are somebody else's, without degrading
again. What fails is told, kept apart in failed.jsonl and tried again by the next run; an empty text
is a failure.
"""

from collections.abc import Iterator
from functools import lru_cache, partial
from pathlib import Path
from typing import Annotated

import typer
from PIL import Image

from train.manifest import FAILED, Part, collect, collect_failures, forget_failures, read_manifest
from train.sharing import Share, in_order, one_thread
from train.terminal import follow, sentences
from xpsr.errors import XPSRError
from xpsr.prompts.describer import Describer, make_describer

# Where a side's texts stand in a pair's line: content, quality, who wrote them.
KEYS = {
    "LR": ("prompt", "lowlevel_prompt", "describer"),
    "HR": ("hr_prompt", "hr_lowlevel_prompt", "hr_describer"),
}


def describe(
    folder: Path,
    describer: str,
    *,
    again: bool = False,
    share: Share | None = None,
    workers: int = 1,
) -> Iterator[tuple[int, int, str | None]]:
    """Write the missing texts; yields (done, total, complaint about a picture).

    Args:
        folder: pairs of `train.prepare`.
        describer: as for `make_describer`.
        again: also replace the texts of other describers.
        share: which part of the pairs is this process's.
        workers: processes that describe side by side.
    """
    share = share or Share()
    if share.is_first:
        collect(folder)
    share.wait()
    tasks = share.of(missing(read_manifest(folder), describer, again))
    yield 0, len(tasks), None
    results = in_order(partial(text_of, folder=folder, describer=describer), tasks, workers)
    with Part(folder, "texts", share.rank) as texts, Part(folder, "failed", share.rank) as failed:
        for number, ((pair, side), (line, reason)) in enumerate(
            zip(tasks, results, strict=True), 1
        ):
            if reason is None:
                texts.add([line])
            else:
                failed.add([{**line, "side": side, "describer": describer, "error": reason}])
            yield number, len(tasks), f"{side}/{pair}: {reason}" if reason else None
    share.wait()
    if share.is_first:
        collect(folder)
    share.wait()


def missing(lines: list[dict], describer: str, again: bool) -> list[tuple[str, str]]:
    """(pair, side) of all texts to be written."""
    return [
        (line["id"], side)
        for line in lines
        for side, (high, low, author) in KEYS.items()
        if not (line.get(high) and line.get(low)) or (again and line.get(author) != describer)
    ]


def text_of(task: tuple[str, str], *, folder: Path, describer: str) -> tuple[dict, str | None]:
    """Describe one picture: (line for the manifest, why it failed)."""
    pair, side = task
    line = {"id": pair}
    try:
        with Image.open(folder / side / f"{pair}.png") as file:
            image = file.convert("RGB")
        text = _author(describer).describe(image)
    except (XPSRError, OSError) as error:
        return line, str(error)
    if not text.high.strip() or not text.low.strip():
        return line, "the describer gave an empty text"
    return {**line, **dict(zip(KEYS[side], (text.high, text.low, describer), strict=True))}, None


@lru_cache(maxsize=1)
def _author(describer: str) -> Describer:
    """One model in memory, however many pictures."""
    return make_describer(describer)


def report(folder: Path) -> None:
    """The last sentence of a run."""
    lines, failures = read_manifest(folder), collect_failures(folder)
    photos = len({line["photo"] for line in lines})
    typer.echo(f"{len(lines)} pairs of {photos} photos in {folder}.", err=True)
    if bare := sum(not line.get("prompt") for line in lines):
        typer.echo(f"{bare} of them have no texts yet: python -m train.describe", err=True)
    if failures:
        typer.echo(f"{failures} failed, see {folder / FAILED}; run again to retry.", err=True)


def main(
    data: Annotated[Path, typer.Option(help="Folder made by train.prepare.")],
    describer: Annotated[
        str, typer.Option(help="measured, llava, or the address of a server.")
    ] = "measured",
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
) -> None:
    """Describe existing pairs, or describe them anew with another describer."""
    with sentences():
        make_describer(describer)  # an unknown one is refused before the work
        share = Share.from_environment()
        if share.is_first:
            forget_failures(data)
        one_thread()
        work = describe(data, describer, again=True, share=share, workers=workers)
        follow("texts", work)
        if share.is_first:
            report(data)


if __name__ == "__main__":
    typer.run(main)
