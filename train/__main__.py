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

from train.autoencoder import train_decoder
from train.config import TrainConfig, read_config
from train.data import Pairs
from train.export import export
from train.handover import decoder_examples
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
        finish_decoder(networks, config)
        export(networks, Path(config.out), config)
        console.print(f"exported to {config.out}", highlight=False)


def finish_decoder(networks: Networks, config: TrainConfig) -> None:
    """Teach the decoder on what the trained denoiser hands over, if the configuration asks."""
    steps = config.model.decoder_steps
    if not steps:
        return
    pairs = Pairs(
        config.data,
        networks.tokenizer,
        config.crop,
        config.caption_dropout,
        trust_ratio=config.trust_ratio,
    )
    for part in (networks.unet, networks.controlnet, networks.text_encoder):
        part.to("cpu").eval()
    networks.vae.to("cpu")
    count = max(1, steps // 4)
    examples = decoder_examples(networks, pairs, count, config.batch_size, config.seed)
    train_decoder(networks.vae, examples, steps, config.seed)


def _networks(config: TrainConfig, accelerator: Accelerator) -> Networks:
    """Every process builds the same networks; only the first one's log is shown."""
    if not accelerator.is_main_process:
        logging.getLogger("train").setLevel(logging.WARNING)
    return make_networks(config.model, config.data, config.seed)


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
