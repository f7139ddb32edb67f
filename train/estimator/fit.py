"""Statistics and levels → a trained, calibrated estimator."""

from collections.abc import Iterator
from typing import cast

import numpy as np
import torch
from scipy import optimize
from torch import Tensor
from torch.nn import functional as F

from train.estimator.dataset import Dataset
from xpsr.prompts.estimator import RANGES, Estimator

BATCH = 128
RATE = 2e-3
AVERAGE = 0.99  # how much of the running average of the weights stays at each step
JITTER = 0.2  # noise on the statistics, in deviations: nothing may hang on the last digit of one
EVERY = 100


def fit(
    known: Dataset, held: Dataset, steps: int, seed: int = 0
) -> Iterator[tuple[int, float, Estimator]]:
    """Train on `known`; every 100 steps yields (step, loss on `held`, the averaged network)."""
    random = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    network = Estimator(known.tokens.shape[1]).train()
    network.mean.copy_(known.tokens.mean(dim=0))
    network.deviation.copy_(known.tokens.std(dim=0) + 1e-3)
    average = torch.optim.swa_utils.AveragedModel(
        network, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(AVERAGE)
    )
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    for step in range(1, steps + 1):
        picked = torch.randint(len(known), (BATCH,), generator=random)
        x = known.tokens[picked]
        x = x + JITTER * network.deviation * torch.randn(x.shape, generator=random)
        loss = loss_of(network(x), known.levels[picked])
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        average.update_parameters(network)
        if step % EVERY == 0 or step == steps:
            averaged = cast(Estimator, average.module.eval())
            with torch.no_grad():
                yield step, float(loss_of(averaged(held.tokens), held.levels)), averaged


def loss_of(logits: Tensor, levels: Tensor) -> Tensor:
    """Cross-entropy over the four levels, summed over the three types."""
    return len(RANGES) * F.cross_entropy(logits.flatten(0, 1), levels.flatten())


@torch.no_grad()
def calibrate(network: Estimator, held: Dataset) -> None:
    """Set each type's temperature and scale by the held-out samples.

    The temperature is the one under which their levels are likeliest (Guo et al. 2017): it changes
    how sure the network is, not what it says. The scale leads from the expected level to the mean
    parameter of the samples that have it, and never falls as the damage grows.
    """
    network.temperature.fill_(1.0)
    logits = network(held.tokens)
    for kind in range(len(RANGES)):
        one, levels = logits[:, kind], held.levels[:, kind]
        found = optimize.minimize_scalar(
            lambda t, one=one, levels=levels: float(F.cross_entropy(one / t, levels)),
            bounds=(0.2, 10.0),
            method="bounded",
        )
        network.temperature[kind] = found.x
    expected = network.expected(network(held.tokens).softmax(dim=2)).numpy()
    for kind, (low, high) in enumerate(RANGES.values()):
        order = expected[:, kind].argsort()
        x, truth = expected[order, kind], held.truths[:, kind].numpy()[order]
        fitted = optimize.isotonic_regression(truth, increasing=low < high).x
        at = np.linspace(0, len(x) - 1, network.scale.shape[2]).round().astype(int)
        network.scale[kind] = torch.from_numpy(np.stack([x[at], fitted[at]]))
