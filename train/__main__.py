"""accelerate launch -m train --config train/configs/NAME.yaml [key=value …]"""

import logging
import sys
import time
from pathlib import Path
from typing import Annotated

import torch
import typer
from accelerate import Accelerator
from rich.console import Console

from train import checkpoints
from train.config import TrainConfig, read_config
from train.export import export
from train.loop import Report, train
from train.networks import Networks, make_networks
from xpsr.errors import XPSRError


def main(
    config: Annotated[Path, typer.Option(help="YAML file, see train/configs.")],
    overrides: Annotated[list[str] | None, typer.Argument(metavar="key=value…")] = None,
) -> None:
    """Train XPSR. Run again with the same `out` and it goes on where it stopped."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        run(read_config(config, overrides))
    except XPSRError as error:
        typer.echo(error, err=True)
        raise typer.Exit(2) from None


def run(config: TrainConfig) -> None:
    """Networks → loop → exported pipeline."""
    accelerator = Accelerator(
        gradient_accumulation_steps=config.gradient_accumulation_steps,
        mixed_precision=config.mixed_precision,
    )
    torch.manual_seed(config.seed)
    Path(config.out).mkdir(parents=True, exist_ok=True)
    networks = _networks(config, accelerator)
    console = Console(stderr=True)
    for report in train(config, networks, accelerator):
        if accelerator.is_main_process:
            console.print(_line(report), highlight=False)
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        export(networks, Path(config.out), config)
        console.print(f"exported to {config.out}", highlight=False)


def _networks(config: TrainConfig, accelerator: Accelerator) -> Networks:
    """Every process builds the same networks; only the first one's log is shown."""
    if not accelerator.is_main_process:
        logging.getLogger("train").setLevel(logging.WARNING)
    resuming = checkpoints.newest(Path(config.out)) is not None
    return make_networks(config.model, config.data, config.seed, resuming)


def _line(report: Report) -> str:
    terms = "  ".join(f"{name} {value:.4f}" for name, value in report.losses.items())
    left = (report.steps - report.step) / max(report.step, 1)
    return (
        f"{time.strftime('%H:%M:%S')}  step {report.step} of {report.steps}  {terms}"
        f"  lr {report.learning_rate:.2e}  {report.images_per_second:.1f} images/s"
        if left >= 0
        else ""
    )


if __name__ == "__main__":
    typer.run(main)
