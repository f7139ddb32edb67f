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

from xpsr.ablation import own_plans, plans
from xpsr.ablation.plan import DEFAULT_SEEDS, Cell, Plan, Variant, consecutive_seeds
from xpsr.ablation.run import CellResult, CellStep, Experiment
from xpsr.ablation.statistics import Effect, effects

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
