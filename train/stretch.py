"""One stretch of training from a model that is there already, judged against it:

python -m train.stretch --config train/configs/mini_more.yaml --start mini --images PHOTOS --out DIR
    [data=PAIRS minutes=9 …]

Training time often comes in pieces. A stretch goes on from `--start` for `minutes`, restores the
same degraded photos with both models, and writes the better one to DIR/better in files of at most
16 MiB. The next stretch starts from there.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console

import xpsr
from train.prepare import find_photos
from train.terminal import sentences
from train.validate import BICUBIC, Examination, as_markdown, examine, summary
from xpsr.errors import XPSRError

RECIPES = ["mild", "paper", "heavy"]
SHARD = "16MB"
SETTING = {"default": {}}


def train(config: Path, start: str, out: Path, overrides: list[str]) -> None:
    """The stretch itself, in its own process as always."""
    command = [sys.executable, "-m", "accelerate.commands.launch", "-m", "train"]
    options = ["--config", str(config), *overrides, f"model.start={start}", f"out={out}"]
    if subprocess.run([*command, *options]).returncode:
        raise XPSRError("The training did not end well; what it said stands above.")


def gain(model: str, photos: list[Path], out: Path, console: Console) -> tuple[float, str]:
    """Mean gain in PSNR over bicubic, every recipe counting alike, and the table of all scores."""
    work = Examination(xpsr.load(model), SETTING, out)
    examine(work, photos, RECIPES, console)
    gains = []
    for recipe in RECIPES:
        before, after = (work.table.column(recipe, m, "psnr") for m in (BICUBIC, "default"))
        gains.append(np.mean([after[name] - before[name] for name in after]))
    return float(np.mean(gains)), as_markdown(list(summary(work.table, RECIPES, [*SETTING])))


def main(
    config: Annotated[Path, typer.Option(help="YAML file, see train/configs.")],
    images: Annotated[Path, typer.Option(help="Clean photos to judge by, none trained on.")],
    out: Annotated[Path, typer.Option(help="Folder for the run, the scores and the better model.")],
    start: Annotated[str, typer.Option(help="mini or a folder: what to go on from.")] = "mini",
    limit: Annotated[int | None, typer.Option(help="Judge by so many photos only.")] = None,
    overrides: Annotated[list[str] | None, typer.Argument(metavar="key=value…")] = None,
) -> None:
    """Train for a while, then keep the better of before and after."""
    console = Console(stderr=True)
    with sentences():
        photos = find_photos(images)[:limit]
        train(config, start, out / "run", overrides or [])
        models = {"before": start, "after": str(out / "run")}
        found = {name: gain(models[name], photos, out / name, console) for name in models}
        for name, (decibel, table) in found.items():
            typer.echo(f"{name} ({models[name]}): {decibel:+.3f} dB over bicubic\n{table}")
        better = max(found, key=lambda name: found[name][0])
        xpsr.load(models[better]).save_pretrained(out / "better", max_shard_size=SHARD)
        gains = {name: decibel for name, (decibel, _) in found.items()}
        (out / "gains.json").write_text(json.dumps(gains, indent=1), encoding="utf-8")
        typer.echo(f"{better} is better and lies in {out / 'better'}.")


app = typer.Typer(add_completion=False)
app.command()(main)

if __name__ == "__main__":
    app()
