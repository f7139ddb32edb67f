"""What training changes step by step, at the start of a run or as its newest checkpoint has it."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType
from diffusers.optimization import get_scheduler
from diffusers.training_utils import EMAModel
from torch import nn

from train import checkpoints
from train.config import TrainConfig
from train.data import Numbers, Samples, digest
from train.latents import LatentCache
from train.networks import Networks
from train.optimizer import make_optimizer
from train.step import step_of
from xpsr.errors import XPSRError

SHARDED = (DistributedType.FSDP, DistributedType.DEEPSPEED)

logger = logging.getLogger(__name__)


@dataclass
class State:
    """All that changes while training.

    Attributes:
        step: how many are done.
        place: where it stands in its samples.
    """

    model: nn.Module
    trained: list[nn.Parameter]
    optimizer: torch.optim.Optimizer
    schedule: Any
    base_rates: list[float]
    ema: EMAModel | None
    place: checkpoints.Place
    step: int = 0


def begin(
    config: TrainConfig, networks: Networks, samples: Samples, accelerator: Accelerator
) -> State:
    """The state of the newest checkpoint in `config.out`, or that of the start.

    Raises:
        XPSRError: no checkpoint fits the configuration.
    """
    a_step = numbers(config, accelerator).a_step
    texts = digest(samples.names())
    place = checkpoints.Place(0, a_step, len(samples), texts, samples.pixels)
    state, extras = make_state(config, networks, place, accelerator)
    state.step = checkpoints.resume(accelerator, Path(config.out))
    if state.step:
        as_configured(state, config)
    if extras.changes:
        logger.info(
            "Since that checkpoint has changed: %s. The run goes on after the %d samples that it"
            " has seen.",
            "; ".join(extras.changes),
            place.seen,
        )
    return state


def make_state(
    config: TrainConfig, networks: Networks, place: checkpoints.Place, accelerator: Accelerator
) -> tuple[State, checkpoints.Extras]:
    """Model, optimiser, schedule and averaged weights, ready for any number of processes; and what
    of it a checkpoint holds besides accelerate's own."""
    cache = LatentCache(config, networks.vae) if config.cache_latents else None
    model = step_of(networks, config, cache)
    # Small models are kept whole, for a start of theirs is often trained on. Engines that shard
    # weights have a way of their own.
    left_out = not networks.whole_unet and accelerator.distributed_type not in SHARDED
    base = checkpoints.leave_out_frozen(model) if left_out else None
    if config.gradient_checkpointing:
        networks.unet.enable_gradient_checkpointing()
        networks.controlnet.enable_gradient_checkpointing()
    optimizer = make_optimizer(config, model)
    # "constant" itself passes over the warm-up.
    name = {"constant": "constant_with_warmup"}.get(config.lr_schedule, config.lr_schedule)
    lengths = {"num_warmup_steps": config.lr_warmup_steps, "num_training_steps": config.steps}
    try:
        schedule = get_scheduler(name, optimizer, **lengths)
    except ValueError as error:  # polynomial ends at a rate of its own
        raise XPSRError(f"lr_schedule={config.lr_schedule} cannot be used: {error}.") from None
    # The schedule stays outside prepare(): accelerate would step it once for every process.
    model, optimizer = accelerator.prepare(model, optimizer)
    if (theirs := accelerator.gradient_accumulation_steps) != config.gradient_accumulation_steps:
        raise XPSRError(  # steps would be counted by ours and taken by theirs
            f"accelerate or DeepSpeed is told to accumulate {theirs} batches, and the configuration"
            f" says {config.gradient_accumulation_steps}: give"
            f" gradient_accumulation_steps={theirs}, or correct theirs."
        )
    # Only now: sharding engines put parameters of their own in place of ours.
    trained = [p for p in model.parameters() if p.requires_grad]
    ema = EMAModel(trained, decay=config.ema_decay) if config.ema_decay else None
    extras = checkpoints.Extras(schedule, ema, trained, networks.vae, place, config.optimizer, base)
    accelerator.register_for_checkpointing(extras)
    return State(model, trained, optimizer, schedule, [*schedule.base_lrs], ema, place), extras


def as_configured(state: State, config: TrainConfig) -> None:
    """Rates as the configuration has them now; a checkpoint brings those it was written with."""
    for group, base in zip(state.optimizer.param_groups, state.base_rates, strict=True):
        group["initial_lr"], group["weight_decay"] = base, config.weight_decay
    state.schedule.base_lrs = [*state.base_rates]
    rates = [
        base * factor(state.schedule.last_epoch)
        for base, factor in zip(state.base_rates, state.schedule.lr_lambdas, strict=True)
    ]
    for group, rate in zip(state.optimizer.param_groups, rates, strict=True):
        group["lr"] = rate
    state.schedule._last_lr = rates
    if state.ema is not None:
        state.ema.decay = config.ema_decay


def numbers(
    config: TrainConfig, accelerator: Accelerator, first: int = 0, steps: int = 0
) -> Numbers:
    """The samples of this process, for so many steps from the sample `first` of all processes."""
    return Numbers(
        config.batch_size,
        config.gradient_accumulation_steps,
        accelerator.num_processes,
        accelerator.process_index,
        first,
        steps,
    )
