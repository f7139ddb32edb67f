"""Which parts of a model each optimiser moves, and how far."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from train.compatibility import check_options
from train.config import LossConfig, TrainConfig
from train.discriminator import Discriminator
from train.optimizer import ADAMW_PACE, JUDGE_PACE, make_optimizer
from xpsr.errors import XPSRError

RATE = 1e-2


class Model(nn.Module):
    """One of each kind of weights, and a judge, which has convolutions as well."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.words = nn.Embedding(20, 16)
        self.conv = nn.Conv2d(16, 24, 3)
        self.linear = nn.Linear(24, 32)
        self.still = nn.Linear(8, 8).requires_grad_(False)
        self.judge = Discriminator((4, 6, 8))


def moved(optimizer: str) -> dict[str, torch.Tensor]:
    """How far each weight goes in one step."""
    loss = LossConfig(adversarial_weight=1)
    config = TrainConfig(
        data="", out="out", optimizer=optimizer, learning_rate=RATE, weight_decay=0, loss=loss
    )
    model = Model()
    engine = make_optimizer(config, model)
    learning = {name: p for name, p in model.named_parameters() if p.requires_grad}
    listed = [p for group in engine.param_groups for p in group["params"]]
    assert {id(p) for p in listed} == {id(p) for p in learning.values()}
    assert len(listed) == len(learning)
    before = {name: p.detach().clone() for name, p in learning.items()}
    for p in learning.values():
        # One direction rules: the first row's gradient is a hundred times the others'.
        p.grad = torch.randn_like(p)
        p.grad[0] *= 100
    engine.step()
    return {name: p.detach() - before[name] for name, p in learning.items()}


def spread(step: torch.Tensor) -> float:
    """The longest direction of a step by its shortest: 1 where all directions count alike."""
    values = torch.linalg.svdvals(step.flatten(1))
    return (values[0] / values[-1]).item()


def size(step: torch.Tensor) -> float:
    return step.square().mean().sqrt().item()


def test_adamw_moves_every_number_by_the_rate_and_the_judge_by_its_own():
    for name, step in moved("adamw").items():
        rate = RATE * JUDGE_PACE if name.startswith("judge.") else RATE
        assert size(step) == pytest.approx(rate, rel=0.01), name


def test_muon_moves_all_directions_of_a_matrix_alike():
    steps = moved("muon")
    for name in ("conv.weight", "linear.weight"):
        assert spread(steps[name]) < 2 < spread(moved("adamw")[name])
        assert RATE / 10 < size(steps[name]) < RATE  # about as long as a step of AdamW


def test_muon_leaves_vectors_tables_and_the_judge_to_adamw():
    for name, step in moved("muon").items():
        if name in ("conv.weight", "linear.weight"):
            continue
        rate = RATE * ADAMW_PACE * (JUDGE_PACE if name.startswith("judge.") else 1)
        # The first step of AdamW with Nesterov's look ahead is a little longer than the rate.
        assert rate < size(step) < 2 * rate, name


@pytest.mark.parametrize(
    "options",
    [
        {"optimizer": "muon"},
        {"loss": LossConfig(adversarial_weight=1)},
        {"validate_every": 1},
        {"ema_decay": 0.9},
    ],
    ids=lambda options: next(iter(options)),
)
def test_what_needs_whole_weights_is_refused_where_they_are_cut_up(options):
    check_options(TrainConfig(data="", out="out"), "cuda", sharded=True)
    with pytest.raises(XPSRError, match="FSDP"):
        check_options(TrainConfig(data="", out="out", **options), "cuda", sharded=True)
