"""The command line: `python -m xpsr restore photo.jpg --out restored`."""

from __future__ import annotations

from typing import Annotated

import typer

from xpsr import __version__
from xpsr.cli.ablate import ablate
from xpsr.cli.convert import convert
from xpsr.cli.describe import describe
from xpsr.cli.evaluate import evaluate
from xpsr.cli.rerun import rerun
from xpsr.cli.restore import restore
from xpsr.cli.score import score

app = typer.Typer(
    help="Restore photographs with two descriptions: what is in them, and how good they are.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in (restore, describe, score, rerun, ablate, evaluate, convert):
    app.command()(command)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Say it and stop."),
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line; leaves through `SystemExit`."""
    app(prog_name="python -m xpsr")


if __name__ == "__main__":
    main()
