"""Photos → the degradation estimator, and how good it is:

python -m train.estimator train --images DIR --out DIR
python -m train.estimator evaluate --images DIR --out DIR

Training keeps the statistics of the degraded photos in OUT/statistics: run it again and it goes on
where it was stopped. Photos that cannot be used are named and left out. Training counts them, as
`train.prepare` does; where figures were asked for of them, the exit code is then 1.
"""

import copy
import json
import time
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from safetensors import SafetensorError
from safetensors.torch import save_file

from train.estimator.dataset import TURN, collect, read
from train.estimator.fit import BATCH, calibrate, fit
from train.estimator.report import Judged, draw, figures_of, judge, markdown
from train.estimator.samples import make_sample
from train.estimator.second_order import make_second_order
from train.files import find_photos
from train.sharing import one_thread
from train.terminal import SOME_LEFT_OUT, Bar, follow, sentences
from xpsr.counted import counted
from xpsr.errors import XPSRError
from xpsr.prompts.estimator import WEIGHTS, Estimator, load_estimator
from xpsr.whole import unlocked, whole

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
Photos = Annotated[Path, typer.Option(help="Folder of clean photos, with its subfolders.")]


@app.command()
def train(
    images: Photos,
    out: Annotated[Path, typer.Option(help="Folder for the statistics and the weights.")],
    turns: Annotated[int, typer.Option(min=1, help=f"Times {TURN} samples a photo.")] = 2,
    steps: Annotated[int, typer.Option(min=1, help=f"Training steps of {BATCH} samples.")] = 1000,
    seed: Annotated[int, typer.Option(help="Of degradations, weights and order.")] = 0,
    workers: Annotated[int, typer.Option(min=1, help="Processes that degrade.")] = 1,
) -> None:
    """Train the estimator on photos; run again to go on after a stop."""
    one_thread()
    began = time.monotonic()
    with sentences():
        folder = out / "statistics"
        follow("statistics", collect(images, folder, turns, seed, workers))
        known, held = read(images, folder, turns, seed)
        record = {"samples": len(known), "held_out": len(held), "steps": steps, "seed": seed}
        record["seconds_of_statistics"] = round(time.monotonic() - began)
        best = None
        with Bar("steps") as bar:
            for step, loss, network in fit(known, held, steps, seed):
                bar.update(step, steps)
                bar.say(f"step {step}: held-out loss {loss:.4f}")
                # Few photos are soon learnt by heart: what does best on the others is kept.
                if best is None or loss < record["held_out_loss"]:
                    best = copy.deepcopy(network)
                    record |= {"chosen_step": step, "held_out_loss": loss}
        assert best is not None  # the last step is always looked at
        calibrate(best, held)
        with whole(weights := out / "estimator.safetensors") as part:
            save_file(best.state_dict(), part)
            unlocked([part])
        record["parameters"] = sum(p.numel() for p in best.parameters())
        record["temperature"] = [round(t, 3) for t in best.temperature.ravel().tolist()]
        record["seconds"] = round(time.monotonic() - began)
        (out / "training.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        bar.say(f"wrote {weights}")
        if left_out := len(find_photos(images)) - (len(known) + len(held)) // (turns * TURN):
            bar.say(f"{counted(left_out, 'photo')} left out, see above")


@app.command()
def evaluate(
    images: Photos,
    out: Annotated[Path, typer.Option(help="Folder for report.md, report.json, calibration.svg.")],
    weights: Annotated[
        Path, typer.Option(help="An estimator.safetensors.", show_default="the embedded one")
    ] = WEIGHTS,
    count: Annotated[int, typer.Option(min=1, help="Degraded pictures a photo.")] = 20,
    side: Annotated[int, typer.Option(min=48, help="Their side in pixels.")] = 128,
    seed: Annotated[int, typer.Option(help="Of the degradations.")] = 0,
    twice: Annotated[bool, typer.Option("--twice", help="Degrade as training pairs are.")] = False,
) -> None:
    """Degrade photos with known parameters and see what the estimator says of them."""
    one_thread()
    with sentences("Stopped. Nothing is kept: a report is written when all is judged."):
        judged = Judged()
        once = partial(make_sample, side=side, extremes=False)
        make = partial(make_second_order, side=side) if twice else once
        work = judge(images, count, seed, make, _network(weights), judged)
        left_out = follow("photos", work)
        table = figures_of(judged)
        text = markdown(table)
        out.mkdir(parents=True, exist_ok=True)
        (out / "report.md").write_text(text, encoding="utf-8")
        figures = {name: asdict(one) for name, one in table.items()}
        (out / "report.json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
        draw(table, out / "calibration.svg")
    typer.echo(text)
    if left_out:
        raise typer.Exit(SOME_LEFT_OUT)


def _network(weights: Path) -> Estimator:
    if not weights.is_file():
        raise XPSRError(f"There is no file {weights}.")
    try:
        return load_estimator(weights)
    # No safetensors file; no such tensors; others of these names, or of shapes that do not go.
    except (SafetensorError, KeyError, TypeError, RuntimeError, AssertionError):
        raise XPSRError(
            f"{weights} holds no weights of the estimator; give an estimator.safetensors written by"
            " train.estimator train."
        ) from None


if __name__ == "__main__":
    app()
