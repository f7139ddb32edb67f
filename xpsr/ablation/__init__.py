"""Prompt ablation: which part of the texts, and which setting, does how much.

```python
import xpsr
from xpsr import ablation

pipe = xpsr.load("mini")
prompts, settings = pipe.defaults()
plan = ablation.plans.drop("sentence", prompts, settings, seeds=(0, 1, 2, 3))
experiment = ablation.Experiment(pipe, image, plan)
results = [item for item in experiment.run() if isinstance(item, ablation.CellResult)]
for effect in ablation.effects(plan, results):
    ...
```
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xpsr.ablation import own_plans, plans
    from xpsr.ablation.plan import DEFAULT_SEEDS, Cell, Plan, Variant, consecutive_seeds
    from xpsr.ablation.run import CellResult, CellStep, Experiment
    from xpsr.ablation.statistics import Effect, effects

# Looked up on first use: the names of the plans are told without waiting for torch.
_HOMES = {
    "Cell": "plan",
    "CellResult": "run",
    "CellStep": "run",
    "DEFAULT_SEEDS": "plan",
    "Effect": "statistics",
    "Experiment": "run",
    "Plan": "plan",
    "Variant": "plan",
    "consecutive_seeds": "plan",
    "effects": "statistics",
}

__all__ = [
    "DEFAULT_SEEDS",
    "Cell",
    "CellResult",
    "CellStep",
    "Effect",
    "Experiment",
    "Plan",
    "Variant",
    "consecutive_seeds",
    "effects",
    "own_plans",
    "plans",
]


def __getattr__(name: str) -> Any:
    if name in ("own_plans", "plans"):
        return importlib.import_module(f"xpsr.ablation.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"xpsr.ablation.{_HOMES[name]}"), name)
