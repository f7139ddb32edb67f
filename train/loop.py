"""The training loop."""

import json
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from diffusers.optimization import get_scheduler
from diffusers.training_utils import EMAModel
from torch import Tensor, nn

from train import checkpoints
from train.config import TrainConfig
from train.data import Batch, Numbers, Samples, digest
from train.latents import LatentCache
from train.loss import Losses
from train.networks import Networks
from train.optimizer import make_optimizer
from train.step import TrainingStep
from xpsr.errors import XPSRError

logger = logging.getLogger(__name__)

NOT_FINITE = "not_finite"
SCHEDULES = ("constant", "linear", "cosine", "cosine_with_restarts", "polynomial")


@dataclass(frozen=True)
class Report:
    """What the loop says every `log_every` steps.

    Attributes:
        step, steps: done, and in all.
        losses: means over all pairs of the last step.
        learning_rate: of the next step.
        images_per_second, seconds_left: since the run was started or taken up again.
        memory: largest use so far in bytes, of the GPU or of this process.
    """

    step: int
    steps: int
    losses: dict[str, float]
    learning_rate: float
    images_per_second: float
    seconds_left: float
    memory: int


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
        XPSRError: no checkpoint fits the configuration, or its schedule does not fit its steps.
    """
    a_step = _numbers(config, accelerator).a_step
    texts = digest(samples.names())
    place = checkpoints.Place(0, a_step, len(samples), texts, samples.pixels)
    state, extras = make_state(config, networks, place, accelerator)
    state.step = checkpoints.resume(accelerator, Path(config.out))
    if state.step:
        as_configured(state, config)
    if state.step < config.steps <= config.lr_warmup_steps:
        raise XPSRError(
            f"lr_warmup_steps={config.lr_warmup_steps} is no less than steps={config.steps}: the"
            " learning rate would never be reached."
        )
    if extras.changes:
        logger.info(
            "Since that checkpoint has changed: %s. The run goes on after the %d samples that it"
            " has seen.",
            "; ".join(extras.changes),
            place.seen,
        )
    return state


def train(
    config: TrainConfig, state: State, samples: Samples, accelerator: Accelerator
) -> Iterator[Report | None]:
    """Train from `state` to `config.steps`, or until `config.minutes` are over.

    Yields:
        after every step a report if one is due; once as well where no step is left. At the end the
        averaged weights are in place if there are any.
    """
    first, end = state.step, config.steps
    batches = samples.loader(_numbers(config, accelerator, state.place.seen, end - first))
    began = time.monotonic()
    if first >= end:
        yield None
    while state.step < end:
        terms = optimise(state, batches, config, accelerator)
        if _out_of_time(config, accelerator, began):
            end = state.step
        report = None
        if state.step % config.log_every == 0 or state.step == end:
            spent = time.monotonic() - began
            report = _report(config, accelerator, terms, state, state.step - first, spent)
        if state.step % config.save_every == 0 or state.step == end:
            _stop_on_broken_weights(state)
            checkpoints.save(accelerator, Path(config.out), state.step, config.keep_checkpoints)
        yield report
    if state.ema is not None:
        state.ema.copy_to(state.trained)


def _numbers(
    config: TrainConfig, accelerator: Accelerator, first: int = 0, steps: int = 0
) -> Numbers:
    return Numbers(
        config.batch_size,
        config.gradient_accumulation_steps,
        accelerator.num_processes,
        accelerator.process_index,
        first,
        steps,
    )


def _out_of_time(config: TrainConfig, accelerator: Accelerator, began: float) -> bool:
    """Whether the time is over on any process; all of them have to stop at the same step."""
    if config.minutes is None:
        return False
    late = torch.tensor(float(time.monotonic() - began > 60 * config.minutes))
    return accelerator.reduce(late.to(accelerator.device), "sum").item() > 0


def make_state(
    config: TrainConfig, networks: Networks, place: checkpoints.Place, accelerator: Accelerator
) -> tuple[State, checkpoints.Extras]:
    """Model, optimiser, schedule and averaged weights, ready for any number of processes; and what
    of it a checkpoint holds besides accelerate's own."""
    cache = LatentCache(config, networks.vae) if config.cache_latents else None
    model = TrainingStep(networks, config, cache)
    if config.gradient_checkpointing:
        networks.unet.enable_gradient_checkpointing()
        networks.controlnet.enable_gradient_checkpointing()
    optimizer = make_optimizer(config, model)
    # "constant" itself passes over the warm-up.
    name = {"constant": "constant_with_warmup"}.get(config.lr_schedule, config.lr_schedule)
    try:
        schedule = get_scheduler(
            name,
            optimizer,
            num_warmup_steps=config.lr_warmup_steps,
            num_training_steps=config.steps,
        )
    except (ValueError, TypeError, AttributeError):  # the latter for what needs more options
        raise XPSRError(
            f"lr_schedule cannot be {config.lr_schedule!r}: {', '.join(SCHEDULES)}."
        ) from None
    # The schedule stays outside prepare(): accelerate would step it once for every process.
    model, optimizer = accelerator.prepare(model, optimizer)
    # Only now: sharding engines put parameters of their own in place of ours.
    trained = [p for p in model.parameters() if p.requires_grad]
    ema = EMAModel(trained, decay=config.ema_decay) if config.ema_decay else None
    extras = checkpoints.Extras(schedule, ema, trained, networks.vae, place)
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


def optimise(
    state: State, batches: Iterator[Batch], config: TrainConfig, accelerator: Accelerator
) -> Tensor:
    """One optimiser step; the loss terms, averaged over this process's pairs."""
    terms = []
    for _ in range(config.gradient_accumulation_steps):
        batch = next(batches).to(accelerator.device)
        with accelerator.accumulate(state.model):
            losses = state.model(batch)
            _stop_on_nan(losses, batch, config, accelerator)
            accelerator.backward(losses.total)
            if accelerator.sync_gradients:
                accelerator.clip_grad_norm_(state.trained, config.max_grad_norm)
            state.optimizer.step()
            state.optimizer.zero_grad()
        terms.append(_terms(losses))
    state.schedule.step()
    if state.ema is not None:
        state.ema.step(state.trained)
    state.step += 1
    state.place.seen += state.place.a_step
    return torch.stack(terms).mean(dim=0)


TERMS = ("loss", "diffusion", "pixel", "latent", "judge")


def _terms(losses: Losses) -> Tensor:
    sums = (losses.total, losses.diffusion, losses.pixel.sum(), losses.latent.sum(), losses.judge)
    return torch.stack([term.detach().float() for term in sums])


def _report(
    config: TrainConfig,
    accelerator: Accelerator,
    terms: Tensor,
    state: State,
    done: int,
    seconds: float,
) -> Report:
    means = dict(zip(TERMS, accelerator.reduce(terms, "mean").tolist(), strict=True))
    if not config.loss.adversarial_weight:
        del means["judge"]
    left = (config.steps - state.step) * seconds / done
    if config.minutes is not None:
        left = min(left, max(0.0, 60 * config.minutes - seconds))
    return Report(
        state.step,
        config.steps,
        means,
        state.schedule.get_last_lr()[0],
        done * state.place.a_step / seconds,
        left,
        _memory(accelerator.device),
    )


def _memory(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        import resource
    except ImportError:  # Windows
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _stop_on_broken_weights(state: State) -> None:
    """The last step may have broken what no loss has looked at since."""
    if not all(torch.isfinite(parameter).all() for parameter in state.trained):
        raise XPSRError(
            f"After step {state.step} the weights are not numbers any more, so they are not kept."
            " The last checkpoint is unharmed: a smaller learning_rate usually helps."
        )


def _stop_on_nan(
    losses: Losses, batch: Batch, config: TrainConfig, accelerator: Accelerator
) -> None:
    if torch.isfinite(losses.total):
        return
    path = Path(config.out) / f"{NOT_FINITE}-{accelerator.process_index}.json"
    terms = dict(zip(TERMS, (str(value) for value in _terms(losses).tolist()), strict=True))
    found = {"ids": batch.ids, "seeds": batch.seeds, "losses": terms}
    path.write_text(json.dumps(found, indent=1), encoding="utf-8")
    raise XPSRError(
        f"The loss is not a number any more. The pairs of that batch are in {path}; a smaller"
        " learning_rate usually helps. The last checkpoint is unharmed."
    )
