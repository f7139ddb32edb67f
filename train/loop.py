"""The training loop."""

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor

from train import checkpoints
from train.config import TrainConfig
from train.data import Batch, Samples
from train.loss import Losses
from train.state import State, numbers
from xpsr.errors import XPSRError

NOT_FINITE = "not_finite"


@dataclass(frozen=True)
class Report:
    """What the loop says every `log_every` steps.

    Attributes:
        step, steps: done, and in all.
        losses: means over all pairs since the report before, of the terms that are learnt by.
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


def train(
    config: TrainConfig, state: State, samples: Samples, accelerator: Accelerator
) -> Iterator[Report | None]:
    """Train from `state` to `config.steps`, or until `config.minutes` are over.

    Yields:
        after every step a report if one is due; once as well where no step is left. At the end the
        averaged weights are in place if there are any.
    """
    first, end = state.step, config.steps
    batches = samples.loader(numbers(config, accelerator, state.place.seen, end - first))
    began = time.monotonic()
    untold: list[Tensor] = []
    if first >= end:
        yield None
    while state.step < end:
        untold.append(optimise(state, batches, config, accelerator))
        if _out_of_time(config, accelerator, began):
            end = state.step
        report = None
        if state.step % config.log_every == 0 or state.step == end:
            done, spent = state.step - first, time.monotonic() - began
            terms = torch.stack(untold).mean(dim=0)
            report = _report(config, accelerator, terms, state, done, spent)
            untold.clear()
        if state.step % config.save_every == 0 or state.step == end:
            _stop_on_broken_weights(state)
            checkpoints.save(accelerator, Path(config.out), state.step, config.keep_checkpoints)
        yield report
    if state.ema is not None:
        state.ema.copy_to(state.trained)


def _out_of_time(config: TrainConfig, accelerator: Accelerator, began: float) -> bool:
    """Whether the time is over on any process; all of them have to stop at the same step."""
    if config.minutes is None:
        return False
    late = torch.tensor(float(time.monotonic() - began > 60 * config.minutes))
    return accelerator.reduce(late.to(accelerator.device), "sum").item() > 0


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
    # Nothing at all is the sum of no terms: what is trained has no such heads, or no judge.
    means = {name: mean for name, mean in means.items() if mean or name == "loss"}
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
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


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
