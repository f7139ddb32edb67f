"""One stretch of training from a model that is there already, judged against it:

python -m train.stretch --config train/configs/mini_more.yaml --start mini --images PHOTOS --out DIR
    [data=PAIRS minutes=9 …]

Training time often comes in pieces. A stretch restores degraded photos with the model
`--start`, goes on from it for `minutes`, restores the same with what came of it, and writes the
better one to DIR/better in fp16 files of at most 16 MiB. The next stretch starts from there.

Which is better is put to the vote: every photo, recipe and score of `JUDGED` has one voice. No
score alone would do: PSNR and SSIM ask for dullness, PIQE and detail for sharpness.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import torch
import typer

import xpsr
from train.__main__ import refuse
from train.config import read_config
from train.files import named_photos
from train.scores import better
from train.series import read_series
from train.terminal import sentences
from train.validate import RUN, Examination, Table, as_markdown, examine, holds_scores_of, summary
from xpsr.cli.lock import alone
from xpsr.errors import XPSRError
from xpsr.whole import unlocked

RECIPES = ["mild", "paper", "heavy"]
JUDGED = ("psnr", "ssim", "gmsd", "piqe", "detail")
SHARD = "16MB"
SETTING = {"default": {}}


def train(config: Path, options: list[str]) -> None:
    """The stretch itself, in its own process as always."""
    # It would add a traceback to what the training says of an error.
    command = [sys.executable, "-m", "accelerate.commands.launch", "--quiet", "-m", "train"]
    if subprocess.run([*command, "--config", str(config), *options]).returncode:
        raise XPSRError("The training did not end well; what it said stands above.")


def start_of(config: Path, start: str | None, overrides: list[str], out: Path) -> str:
    """What the stretch goes on from: `start`, else what the configuration says.

    Raises:
        XPSRError: the options are wrong, or say otherwise than the command.
    """
    keys = {override.partition("=")[0] for override in overrides}
    if "out" in keys:
        raise XPSRError(f"out= cannot be given here: the run is written to {out}, by --out.")
    if start and "model.start" in keys:
        raise XPSRError("--start and model.start= say the same twice: give one of them.")
    trainings = read_series(config, [*overrides, f"out={out}"])
    if len(trainings) > 1:
        raise XPSRError(
            f"{config} is a series of trainings, and a stretch is one: give the configuration of"
            " one, such as mini_more.yaml."
        )
    return start or trainings[0].model.start or "mini"


def judged(model: str, photos: dict[str, Path], out: Path, *, again: bool = False) -> Table:
    """The photos degraded by every recipe, restored and scored.

    With `again`, scores of other weights that are there are made anew: the model has learnt more.
    """
    pipe = xpsr.load(model)
    if again and (out / RUN).is_file() and not holds_scores_of(pipe, out):
        shutil.rmtree(out)
    work = Examination(pipe, SETTING, out, photos)
    examine(work, RECIPES)
    return work.table


def votes(before: Table, after: Table) -> dict[str, tuple[int, int]]:
    """{score: (voices for `before`, voices for `after`)}; equal figures have none."""
    found = {}
    for name in JUDGED:
        pairs = [pair for recipe in RECIPES for pair in _paired(before, after, recipe, name)]
        found[name] = (
            sum(better(name, a, b) for a, b in pairs),
            sum(better(name, b, a) for a, b in pairs),
        )
    return found


def _paired(before: Table, after: Table, recipe: str, name: str) -> list[tuple[float, float]]:
    first, second = (table.column(recipe, "default", name) for table in (before, after))
    return [(first[picture], second[picture]) for picture in sorted(first.keys() & second.keys())]


def main(
    config: Annotated[Path, typer.Option(help="YAML file, see train/configs.")],
    images: Annotated[Path, typer.Option(help="Clean photos to judge by, none trained on.")],
    out: Annotated[Path, typer.Option(help="Folder for the run, the scores and the better model.")],
    start: Annotated[
        str | None,
        typer.Option(
            help="mini or a folder: what to go on from. Default: the configuration's own"
            " model.start; mini where it has none."
        ),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Judge by so many photos only.")] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="key=value…", help="Options of the training over the file's."),
    ] = None,
) -> None:
    """Train for a while, then keep the better of before and after."""
    with sentences(), alone(out):
        photos = named_photos(images, out, limit)
        start = start_of(config, start, overrides or [], out / "run")
        models = {"before": start, "after": str(out / "run")}
        options = [*(overrides or []), f"model.start={start}", f"out={out / 'run'}"]
        refuse(read_config(config, options))  # the photos take their time
        # A folder of another start or of other photos is refused here, before the training.
        tables = {"before": judged(start, photos, out / "before")}
        train(config, options)
        tables["after"] = judged(models["after"], photos, out / "after", again=True)
        for name, table in tables.items():
            rows = list(summary(table, RECIPES, [*SETTING]))
            typer.echo(f"{name} ({models[name]}):\n{as_markdown(rows)}")
        found = votes(tables["before"], tables["after"])
        (out / "votes.json").write_text(json.dumps(found, indent=1), encoding="utf-8")
        for_before, for_after = (sum(side) for side in zip(*found.values(), strict=True))
        winner = "after" if for_after > for_before else "before"
        xpsr.load(models[winner], dtype=torch.float16).save_pretrained(
            out / "better", max_shard_size=SHARD
        )
        unlocked((out / "better").rglob("*.safetensors"))
        typer.echo(
            f"{winner} is better, by {max(for_before, for_after)} to {min(for_before, for_after)}"
            f" votes, and lies in {out / 'better'}."
        )


app = typer.Typer(add_completion=False)
app.command()(main)

if __name__ == "__main__":
    app()
