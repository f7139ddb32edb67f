"""accelerate launch -m train --config train/configs/NAME.yaml [key=value …]"""

import logging
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated

import torch
import transformers
import typer
from accelerate import Accelerator, PartialState
from accelerate.tracking import get_available_trackers
from accelerate.utils import ProjectConfiguration

from train import record
from train.check import Check
from train.compatibility import check_options, check_seesr
from train.config import TrainConfig
from train.data import Samples
from train.export import check_export, export
from train.loop import Report, train
from train.networks import Networks, make_networks
from train.photos import Photos, training_data
from train.precision import advice
from train.series import is_done, read_series, refuse_to_change_start
from train.state import SHARDED, State, begin
from train.terminal import duration, sentences
from xpsr.cli.lock import alone
from xpsr.counted import counted
from xpsr.errors import XPSRError, is_out_of_memory
from xpsr.launch import is_first, place_in_launch

STOPPED = (
    "Stopped. The same command goes on from the newest checkpoint, or begins anew where there is"
    " none yet."
)

NO_ROOM = (
    "There is not enough memory. What needs less: a smaller batch_size, with"
    " gradient_accumulation_steps that make up for it; a smaller crop;"
    " gradient_checkpointing=true; fewer data_workers. The last checkpoint is unharmed."
)


def main(
    config: Annotated[Path, typer.Option(help="YAML file, see train/configs.")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="key=value…", help="Options over the file's: data=, out=, …"),
    ] = None,
) -> None:
    """Train XPSR. Run again with the same `out` and it goes on where it stopped."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    logging.getLogger("train").setLevel(logging.INFO)
    # Casting for the export is meant, and its bar belongs to a second's work.
    logging.getLogger("diffusers.models.modeling_utils").setLevel(logging.ERROR)
    transformers.utils.logging.disable_progress_bar()
    if not torch.cuda.is_available():
        # On a CPU a step of mini takes 15 % longer with it: its gradient is slow for short texts.
        torch.backends.cuda.enable_flash_sdp(False)
    with sentences(STOPPED):
        series = read_series(config, overrides)
        # A second run would clear away what the first is writing, and go on from its checkpoints.
        with alone(Path(series[-1].out), shared=True), _telling_of_memory():
            run_all(series)


@contextmanager
def _telling_of_memory() -> Iterator[None]:
    try:
        yield
    except (RuntimeError, MemoryError, ConnectionResetError) as error:
        # The system ends what takes too much; a data worker is the first that it finds. Who reads
        # from it at that moment only learns that it is not there any more.
        killed = "is killed by signal: Killed" in str(error)
        if not (killed or isinstance(error, ConnectionResetError) or is_out_of_memory(error)):
            raise
        if hasattr(signal, "SIGCHLD"):  # torch would tell of the worker again as the others end
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        raise XPSRError(NO_ROOM) from None


def run_all(series: Sequence[TrainConfig]) -> None:
    """Trainings one after the other; those that are done are passed over, but for the last."""
    for place, part in enumerate(series, 1):
        done = place < len(series) and is_done(part)
        if len(series) > 1 and is_first():
            _say(f"Part {place} of {len(series)}, in {part.out}{', is done' if done else ''}")
        if not done:
            refuse_to_change_start(series[place:], part)
            run(part)
    PartialState().destroy_process_group()


def run(config: TrainConfig) -> None:
    """Networks → loop → exported pipeline."""
    out = Path(config.out)
    accelerator, trackers, tracked = _accelerator(config)
    if not accelerator.is_main_process:  # every process does the same; one log is enough
        logging.getLogger("train").setLevel(logging.WARNING)
    networks, samples, check = _parts(config, accelerator)
    if accelerator.is_main_process:
        count = accelerator.num_processes
        processes = f"{count} process{'' if count == 1 else 'es'}"
        found = counted(len(samples), "photo" if isinstance(samples, Photos) else "pair")
        _say(f"{found} in {config.data}, {processes}. {tracked}".rstrip())
        if slow := advice(config.mixed_precision, accelerator.device, config.optimizer):
            _say(slow)
        if changed := record.changes(out, config):
            _say(f"Other options than when {out} was begun: {'; '.join(changed)}.")
    state = begin(config, networks, samples, accelerator)
    out.mkdir(parents=True, exist_ok=True)  # a command that was refused has left nothing
    if trackers:
        accelerator.init_trackers("xpsr")
    # Only now: what the options were is needed where the run cannot go on with those of now. And
    # what is beyond its steps is only exported.
    if accelerator.is_main_process and state.step <= config.steps:
        record.write(out, config)
    for report in train(config, state, samples, accelerator):
        if report is not None:
            _tell(report, accelerator)
        if check is not None and state.step % config.validate_every == 0:
            if accelerator.is_main_process:
                _check(check, state, networks, accelerator)
            accelerator.wait_for_everyone()
    networks = _gathered(config, networks, state, accelerator)
    if accelerator.is_main_process:
        export(networks, config, state.step, state.place.a_step)
        _say(f"exported to {out}")
    accelerator.wait_for_everyone()  # the next of a series starts from that
    for tracker in accelerator.trackers:
        tracker.finish()


def refuse(config: TrainConfig) -> None:
    """For who has long work to do before a training.

    Raises:
        XPSRError: it would end at once, for its options cannot be used.
    """
    _parts(config, _accelerator(config)[0])


def _parts(config: TrainConfig, accelerator: Accelerator) -> tuple[Networks, Samples, Check | None]:
    """What a run works with; whatever is wrong with its options is told here."""
    if is_first():  # the others may come when it has begun to write
        record.check_folder(Path(config.out))
    check_options(config, accelerator.device.type, accelerator.distributed_type in SHARDED)
    networks = _networks(config)
    check_export(networks, config)
    if networks.tagger is not None:
        check_seesr(config)
    samples = training_data(config, networks.tokenizer)
    check = Check.of(config, networks) if config.validate_every else None
    samples.collate([samples[0]])  # crops that do not fit are told now
    return networks, samples, check


def _accelerator(config: TrainConfig) -> tuple[Accelerator, list[str], str]:
    """accelerate's engine, the trackers it is to begin with, and what to say of those."""
    there = [str(getattr(name, "value", name)) for name in get_available_trackers()]
    wanted, said = config.trackers, ""
    if wanted is None:
        wanted = ["tensorboard"] if "tensorboard" in there else []
        said = "" if wanted else "No curves are kept: pip install tensorboard."
    if missing := sorted({*wanted} - {*there}):
        raise XPSRError(
            f"trackers: {', '.join(missing)} is not installed; there are: {', '.join(there)}."
        )
    several = place_in_launch()[1] > 1
    accelerator = Accelerator(
        # Without being told, accelerate takes processes on CPUs for so many runs of one.
        cpu=several and not torch.accelerator.is_available(),
        gradient_accumulation_steps=config.gradient_accumulation_steps,
        mixed_precision=config.mixed_precision,
        log_with=wanted or None,  # type: ignore[arg-type]
        project_config=ProjectConfiguration(config.out, logging_dir=str(Path(config.out) / "log")),
    )
    if wanted:
        said = f"Curves: {', '.join(wanted)}."
    asked = os.environ.get("ACCELERATE_USE_FSDP", "").lower() == "true"
    if asked and accelerator.distributed_type not in SHARDED:
        # accelerate passes over it without a word.
        said += " Nothing is sharded: FSDP needs several GPUs. Every process keeps all weights."
    return accelerator, wanted, said


def _networks(config: TrainConfig) -> Networks:
    """The same in every process: all that is random comes from the seed."""
    return make_networks(config.model, partial(training_data, config), config.seed)


def _gathered(
    config: TrainConfig, networks: Networks, state: State, accelerator: Accelerator
) -> Networks:
    """The networks whole again where an engine has spread their weights over processes."""
    if accelerator.distributed_type not in SHARDED:
        return networks
    weights = accelerator.get_state_dict(state.model)
    if not accelerator.is_main_process:
        return networks
    whole = _networks(config)
    # A small model takes it from the data; those may be others than when the run was begun.
    whole.vae.register_to_config(scaling_factor=networks.vae.config.scaling_factor)
    for name in ("unet", "controlnet", "text_encoder", "vae"):
        prefix = f"{name}."
        own = {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
        getattr(whole, name).load_state_dict(own)
    return whole


def _check(check: Check, state: State, networks: Networks, accelerator: Accelerator) -> None:
    """Validation is a look, not the work: what goes wrong with it is told and training goes on."""
    try:
        scores = check.run(state, networks, accelerator)
    except (XPSRError, OSError) as error:  # the latter's: there is no room for the sheet
        return _say(f"validation of step {state.step} failed: {error}")
    named = {f"validation/{name}": value for name, value in scores.items()}
    accelerator.log(named, step=state.step)
    figures = (f"{name} {value:.3f}" for name, value in scores.items() if "_better" not in name)
    return _say(f"validation of step {state.step}  {'  '.join(figures)}")


def _tell(report: Report, accelerator: Accelerator) -> None:
    figures = {"lr": report.learning_rate, "images_per_second": report.images_per_second}
    accelerator.log(report.losses | figures, step=report.step)
    if accelerator.is_main_process:
        _say(line(report))


def line(report: Report) -> str:
    """A report for people."""
    terms = "  ".join(f"{name} {value:.4f}" for name, value in report.losses.items())
    return (
        f"{time.strftime('%H:%M:%S')}  step {report.step} of {report.steps}  {terms}"
        f"  lr {report.learning_rate:.2e}  {report.images_per_second:.1f} images/s"
        f"  {duration(report.seconds_left)} left  {report.memory / 2**30:.1f} GiB"
    )


def _say(message: str) -> None:
    typer.echo(message, err=True)


if __name__ == "__main__":
    typer.run(main)
