"""`python -m xpsr convert`: an official checkpoint becomes one folder of safetensors."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xpsr.cli.options import Base
from xpsr.cli.progress import Bytes
from xpsr.cli.report import BAD_USAGE, SOME_FAILED, Emit, results_only, say
from xpsr.errors import XPSRError

if TYPE_CHECKING:
    from xpsr.models.checkpoint import Checkpoint


def convert(
    official: Annotated[
        Path, typer.Argument(metavar="OFFICIAL_FOLDER", help="The checkpoint as it was fetched.")
    ],
    out: Annotated[
        Path | None, typer.Argument(metavar="OUT", help="The new folder, for --model.")
    ] = None,
    base: Base = None,
    dtype: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="float32, float16 or bfloat16; left out, as the checkpoint has it. float16 takes "
            "half the room.",
        ),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Only say whether the checkpoint is whole.")
    ] = False,
) -> None:
    """Make a folder that --model opens by itself from an official checkpoint and its base.

    Without --base, Stable Diffusion 1.5 is fetched from the Hugging Face hub; SeeSR's checkpoint
    needs the base named.
    """
    with results_only() as emit:
        from xpsr.models.checkpoint import check as look

        if out is None and not check:
            raise XPSRError("Name the new folder behind the checkpoint's, or give --check.")
        found = look(official)
        tell(found)
        if check:
            _report(official, found, emit)
            if found.problems:
                raise typer.Exit(SOME_FAILED)
            return
        assert out is not None
        if found.problems:  # told above, each in its line
            raise typer.Exit(BAD_USAGE)
        _convert(official, out, base, dtype, emit)


def tell(found: Checkpoint) -> None:
    """Say what was found, a line for each network."""
    from xpsr.conversion import gigabytes

    for part in found.parts:
        size = "" if part.is_published_size else ", not the size of the published one"
        say(f"{part.name}: whole, {part.weights:,} weights, {gigabytes(part.bytes)}{size}.")
    for problem in found.problems:
        say(problem)
    if not found.problems:
        fetched = "; version 1.5 is fetched if none is named" if found.text_width == 768 else ""
        say(f"It adds to {found.base}, which --base names{fetched}.")


def _report(official: Path, found: Checkpoint, emit: Emit) -> None:
    parts = [
        {"name": part.name, "file": str(part.path), "weights": part.weights, "bytes": part.bytes}
        for part in found.parts
    ]
    where = {"input": str(official), "folder": str(found.folder), "family": found.family.name}
    record = {**where, "whole": not found.problems}
    emit({**record, "base": found.base, "parts": parts, "problems": found.problems})


def _convert(official: Path, out: Path, base: str | None, dtype: str | None, emit: Emit) -> None:
    from xpsr.conversion import convert as work

    started = time.perf_counter()
    total = 0
    with Bytes() as bar:
        for progress in work(official, out, base=base, dtype=dtype):
            bar.update(progress.part, progress.done, progress.total)
            total = progress.total
    seconds = round(time.perf_counter() - started, 3)
    emit({"input": str(official), "output": str(out), "bytes": total, "seconds": seconds})
    say(f"Done. Use it with --model {out}; the official folder is not needed any more.")
