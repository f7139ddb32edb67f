"""Texts for the pairs: python -m train.describe --data DIR --describer measured|dalpsr|tags:…|llava|http://…

Describes both sides of every pair, or the one that `--side` names, without degrading again; who is
named replaces the texts of others. What fails is told, kept apart in failed.jsonl and tried again
by the next run; an empty text is a failure. The pictures go through `xpsr.prompts.batch`, as in
`python -m xpsr describe`: servers get several questions at once, a model stays loaded.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer
from PIL import Image

from train.manifest import (
    FAILED,
    Part,
    alone,
    collect,
    collect_failures,
    forget_failures,
    read_manifest,
    require_pairs,
)
from train.sharing import in_order, one_thread, wait
from train.terminal import follow, sentences
from xpsr.counted import counted
from xpsr.errors import XPSRError
from xpsr.image import open_image
from xpsr.launch import is_first, own_share
from xpsr.prompts.author import about_others, is_named
from xpsr.prompts.author import author as author_of
from xpsr.prompts.batch import describe_many
from xpsr.prompts.describer import DescriberUnavailableError, Description, make_describer

Task = tuple[str, str]  # (pair, side)
DESCRIBERS = (
    "measured, dalpsr, auto, tags:FOLDER, llava, llava:ID_OR_FOLDER, or the address of a server"
)
DEFAULT = "measured"
NAMED = "One that is named, which auto is not, also replaces the texts of others."
CHUNK = 16  # pictures that a process is sent at once
# Where a side's texts stand in a pair's line: content, quality, who wrote them.
KEYS = {
    "LR": ("prompt", "lowlevel_prompt", "describer"),
    "HR": ("hr_prompt", "hr_lowlevel_prompt", "hr_describer"),
}
Side = Literal["both", "lr", "hr"]
SIDE = "Which pictures: lr is enough unless caption_source=hr or original_image_ratio is used."


def keys_of(side: Side) -> dict[str, tuple[str, str, str]]:
    """The part of `KEYS` that is meant."""
    return {name: keys for name, keys in KEYS.items() if side in ("both", name.lower())}


def describe(
    folder: Path,
    describer: str,
    *,
    side: Side = "both",
    again: bool = False,
    workers: int = 1,
) -> Iterator[tuple[int, int, str | None]]:
    """Write the missing texts; yields (done, total, complaint about a picture).

    Args:
        folder: pairs of `train.prepare`.
        describer: as for `make_describer`.
        side: of the pairs.
        again: also replace the texts of other describers.
        workers: processes that measure side by side; what asks a model is asked by one, several
            questions at a time.

    After a `DescriberUnavailableError` the rest is left for the next run.
    """
    if is_first():
        collect(folder)
    wait()
    author = author_of(describer)
    tasks = own_share(missing(read_manifest(folder), author, side, again))
    wait()  # who reads after another has written would divide another list
    yield 0, len(tasks), None
    results = _described(tasks, folder, describer, workers)
    with Part(folder, "texts") as texts, Part(folder, "failed") as failed:
        for number, ((pair, of), found) in enumerate(results, 1):
            if isinstance(found, Description):
                said = (found.high, found.low, author)
                texts.add([{"id": pair, **dict(zip(KEYS[of], said, strict=True))}])
                yield number, len(tasks), None
                continue
            line = {"id": pair, "side": of, "describer": author, "error": str(found)}
            failed.add([line])
            yield number, len(tasks), f"{of}/{pair}: {found}"
            if isinstance(found, DescriberUnavailableError):
                break
    wait()
    if is_first():
        collect(folder)
    wait()


def missing(lines: list[dict], describer: str, side: Side, again: bool) -> list[Task]:
    """Pair and side of all texts to be written."""
    return [
        (line["id"], name)
        for line in lines
        for name, (high, low, author) in keys_of(side).items()
        if not (line.get(high) and line.get(low)) or (again and not _is_by(describer, line, author))
    ]


def _is_by(describer: str, line: dict, key: str) -> bool:
    return author_of(line.get(key) or "") == author_of(describer)


def _described(
    tasks: Sequence[Task], folder: Path, describer: str, workers: int
) -> Iterator[tuple[Task, Description | XPSRError]]:
    """Each task with its texts or the reason why there are none, in order."""
    author = make_describer(describer)
    if workers < 2 or hasattr(author, "concurrency"):
        items = ((task, partial(_open, folder, task)) for task in tasks)
        yield from describe_many(author, items)
        return
    chunks = [tasks[start : start + CHUNK] for start in range(0, len(tasks), CHUNK)]
    for found in in_order(partial(_chunk, folder=folder, describer=describer), chunks, workers):
        yield from found


def _chunk(
    tasks: Sequence[Task], *, folder: Path, describer: str
) -> list[tuple[Task, Description | XPSRError]]:
    """The same for a few tasks, in a process of their own."""
    return list(_described(tasks, folder, describer, workers=1))


def _open(folder: Path, task: Task) -> Image.Image:
    pair, side = task
    return open_image(folder / side / f"{pair}.png").image


def chosen(describer: str) -> str:
    """The describer itself where `auto` is given, which is told; XPSRError for an unknown one."""
    if describer == "auto":
        from xpsr.prompts.auto import choose

        choice = choose()
        typer.echo(f"{choice.reason} Described by {choice.spec}.", err=True)
        describer = choice.spec
    make_describer(describer)
    return describer


def tell_of_others(lines: list[dict], describer: str, side: Side, again: bool) -> None:
    """Say whose texts there are besides, and what becomes of them; `again` as for `describe`."""
    theirs = [
        line.get(author) or "somebody unknown"
        for line in lines
        for high, low, author in keys_of(side).values()
        if line.get(high) and line.get(low) and not _is_by(describer, line, author)
    ]
    if theirs:
        typer.echo(
            about_others(theirs, len(keys_of(side)) * len(lines), describer, again), err=True
        )


def report(
    folder: Path,
    describer: str | None,
    *,
    side: Side = "both",
    again: bool = False,
    changed: int = 0,
) -> None:
    """The last sentences of a run; exit code 1 where it has not written all of its texts.

    Photos that are of no use are counted; a folder of photos holds some nearly always.

    Args:
        folder: the pairs.
        describer, side, again: as they were for `describe`; None = no texts were asked for.
        changed: photos that are others than before.
    """
    lines, failures = read_manifest(folder), collect_failures(folder)
    photos = len({line["photo"] for line in lines})
    pairs = f"{counted(len(lines), 'pair')} of {counted(photos, 'photo')}"
    typer.echo(f"{pairs} in {folder}.", err=True)
    if changed:
        has = "has" if changed == 1 else "have"
        typer.echo(f"{counted(changed, 'photo')} {has} changed since: made again.", err=True)
    if failures:
        typer.echo(f"{failures} failed, see {folder / FAILED}; run again to retry.", err=True)
    if describer is None:
        if bare := sum(not line.get("prompt") for line in lines):
            typer.echo(f"{bare} of them have no texts yet: python -m train.describe", err=True)
    elif left := len(missing(lines, describer, side, again)):
        of_all = f"{left} of {len(keys_of(side)) * len(lines)} pictures"
        typer.echo(f"{of_all} still lack their texts; the same command goes on.", err=True)
        raise typer.Exit(1)


def main(
    data: Annotated[Path, typer.Option(help="Folder made by train.prepare.")],
    describer: Annotated[
        str | None, typer.Option(help=f"{DESCRIBERS}. {NAMED}", show_default=DEFAULT)
    ] = None,
    side: Annotated[Side, typer.Option(help=SIDE)] = "both",
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
) -> None:
    """Describe existing pairs, or describe them anew with another describer."""
    with sentences():
        again = is_named(describer)
        describer = chosen(describer or DEFAULT)  # an unknown one is refused before the work
        require_pairs(data)
        one_thread()
        with alone(data):
            if is_first():
                forget_failures(data)
                tell_of_others(read_manifest(data), describer, side, again)
            work = describe(data, describer, side=side, again=again, workers=workers)
            follow("texts", work)
            if is_first():
                report(data, describer, side=side, again=again)


if __name__ == "__main__":
    typer.run(main)
