"""Which optimiser learns what."""

from torch import nn, optim

from train.config import TrainConfig
from train.step import Step
from xpsr.errors import XPSRError

# Of the judge of `loss.adversarial_weight`: a short memory, since what it judges changes all the
# time. At three times the networks' rate, with AdamW's own betas, it told less and not more.
JUDGE_PACE = 0.5
JUDGE_BETAS = (0.5, 0.99)
# Of what Muon leaves to AdamW, as a share of its own rate, which may be several times as high.
ADAMW_PACE = 0.3


def make_optimizer(config: TrainConfig, model: Step) -> optim.Optimizer:
    """What `config.optimizer` names, over all of the model that learns.

    Raises:
        XPSRError: the package that it comes from is missing.
    """
    options = {"lr": config.learning_rate, "weight_decay": config.weight_decay}
    groups = [{"params": _networks(model)}]
    if model.judge is not None:
        judge = {"lr": config.learning_rate * JUDGE_PACE, "betas": JUDGE_BETAS}
        groups.append({"params": [*model.judge.parameters()], **judge})
    if config.optimizer == "adamw":
        return optim.AdamW(groups, **options, fused=True)
    if config.optimizer == "muon":
        return _muon(groups, options, model)
    try:
        from bitsandbytes.optim import AdamW8bit
    except ImportError as error:
        raise XPSRError(
            f"optimizer=adamw8bit needs bitsandbytes: pip install bitsandbytes ({error})"
        ) from None
    return AdamW8bit(groups, **options)


def _networks(model: Step) -> list[nn.Parameter]:
    learning = {name: p for name, p in model.named_parameters() if p.requires_grad}
    return [p for name, p in learning.items() if not name.startswith("judge.")]


def _muon(groups: list[dict], options: dict, model: nn.Module) -> optim.Optimizer:
    """Muon (Jordan et al. 2024) for matrices and convolutions, AdamW for all else: vectors, tables
    of which a step sees a few rows, and the judge, which is to learn slower."""
    from timm.optim import Muon

    tables = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
    networks, *judge = groups
    rows = [p for p in networks["params"] if id(p) in tables]
    dense = [p for p in networks["params"] if id(p) not in tables]
    slow = [{"params": rows}, *judge]
    by_adamw = [{"betas": (0.9, 0.999), **group, "use_fallback": True} for group in slow]
    own = {"nesterov": True, "fallback_lr_scale": ADAMW_PACE}
    return Muon([{"params": dense}, *by_adamw], **options, **own)
