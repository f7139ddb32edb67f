"""What a change does to the scores, told apart from what another seed does.

Every effect is a mean of differences between two runs with the same seed. Beside it stands the
noise floor: how far two means over so many seeds drift apart by the seeds alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from PIL import Image
from scipy import stats

from xpsr.ablation.plan import Plan
from xpsr.ablation.run import CellResult
from xpsr.metrics import METRICS

CONFIDENCE = 0.95  # of the intervals
# Of the noise floor. At 0.95 a hundred prompts that all do the same would have more than five
# outside the floor in two cases of five; at 0.98 that is rare.
FLOOR_CONFIDENCE = 0.98
MULTIPLE = (
    "Every interval holds for its own comparison, and for other seeds of this one picture: whether "
    "other pictures answer alike takes other pictures. Of many comparisons some look clear by "
    "chance: up to one in fifty if nothing had an effect at all. Treat a single small effect among "
    "many as a hint, and repeat it with other seeds. effects.csv has p-values, and beside them "
    "those adjusted for all comparisons."
)


@dataclass(frozen=True)
class Effect:
    """The difference that a variant makes to one score, variant minus full prompt.

    Attributes:
        variant: number in the plan.
        metric: name of the score.
        pairs: number of seeds for which both have the score. Seeds that give the same two pictures
            as another one are no observation of their own and do not count.
        mean: of the paired differences.
        interval: 95 % confidence interval of `mean` (Student's t); None with fewer than two pairs.
        p: of the paired t-test against no difference, two-sided; None likewise.
        spread: standard deviation of the full prompt's score over its seeds; None likewise.
        floor: noise floor. Two means over this many independent seeds differ by more than it in
            2 % of cases, though the texts are the same; None likewise.
    """

    variant: int
    metric: str
    pairs: int
    mean: float
    interval: tuple[float, float] | None
    p: float | None
    spread: float | None
    floor: float | None

    @property
    def inside_floor(self) -> bool:
        """Whether another choice of seeds could do as much; True where that is not known."""
        return self.floor is None or abs(self.mean) <= self.floor

    @property
    def clear(self) -> bool:
        """Outside the noise floor, and the interval does not hold 0."""
        if self.inside_floor or self.interval is None:
            return False
        return self.interval[0] > 0 or self.interval[1] < 0

    @property
    def verdict(self) -> str:
        """In words."""
        if self.pairs < 2:
            return "one seed, or all alike: cannot be told from chance"
        if self.mean == 0 and self.interval == (0.0, 0.0):
            return "no difference"
        if self.inside_floor:
            return "inside the noise floor"
        if not self.clear:
            return "uncertain: the interval holds 0"
        return "better" if (self.mean < 0) == METRICS[self.metric].lower_better else "worse"


def paired_effect(
    full: Sequence[float],
    other: Sequence[float],
    *,
    variant: int = 1,
    metric: str = "psnr",
    unedited: Sequence[float] | None = None,
) -> Effect:
    """The effect from scores of the same seeds in the same order.

    Args:
        full, other: scores of the full prompt and of the variant.
        variant, metric: for the record.
        unedited: all scores of the full prompt, if some of its seeds have no partner.
    """
    differences = np.subtract(other, full, dtype=float)
    pairs, mean = len(differences), float(np.mean(differences))
    scores = full if unedited is None else unedited
    if pairs < 2:
        return Effect(variant, metric, pairs, mean, None, None, None, None)
    deviation, spread = (float(np.std(values, ddof=1)) for values in (differences, scores))
    error = deviation / math.sqrt(pairs)
    half = _quantile(CONFIDENCE, pairs) * error
    p = 2 * float(stats.t.sf(abs(mean) / error, pairs - 1)) if error else float(mean == 0)
    floor = _quantile(FLOOR_CONFIDENCE, len(scores)) * spread * math.sqrt(2 / pairs)
    return Effect(variant, metric, pairs, mean, (mean - half, mean + half), p, spread, floor)


def effects(plan: Plan, results: Sequence[CellResult]) -> list[Effect]:
    """The effect of every variant on every score, in the plan's order, whatever that of `results`.

    Seeds that one of the two has not finished, or without a figure for them, are left out; of those
    that give the same two pictures, as where nothing is left to chance, all but one.
    """
    found: list[Effect] = []
    by_variant = figures(results)
    pictures = {
        (one.cell.variant, one.cell.seed): one.recipe.output_sha256 for one in results if one.recipe
    }
    metrics = list(dict.fromkeys(name for result in results for name in result.scores))
    for variant in range(1, len(plan.variants)):
        for metric in metrics:
            full = by_variant.get((0, metric), {})
            other = by_variant.get((variant, metric), {})
            both = (seed for seed in plan.seeds if seed in full and seed in other)
            seen = {
                tuple(pictures.get((number, seed), seed) for number in (0, variant)): seed
                for seed in both
            }
            if seeds := list(seen.values()):
                pair = ([values[seed] for seed in seeds] for values in (full, other))
                unedited = [full[seed] for seed in plan.seeds if seed in full]
                found.append(
                    paired_effect(*pair, variant=variant, metric=metric, unedited=unedited)
                )
    return found


def adjusted(found: Sequence[Effect]) -> list[float | None]:
    """Their p-values for as many comparisons as there are (Benjamini and Yekutieli 2001).

    Of those below 0.05 one in twenty is expected to be chance, however scores and variants depend
    on each other.
    """
    known = [one.p for one in found if one.p is not None]
    values = iter(stats.false_discovery_control(known, method="by") if known else ())
    return [None if one.p is None else float(next(values)) for one in found]


def figures(results: Sequence[CellResult]) -> dict[tuple[int, str], dict[int, float]]:
    """{(variant, metric): {seed: figure}}, without the scores that have none."""
    table: dict[tuple[int, str], dict[int, float]] = {}
    for result in results:
        for metric, score in result.scores.items():
            if score.value is not None and math.isfinite(score.value):
                place = table.setdefault((result.cell.variant, metric), {})
                place[result.cell.seed] = score.value
    return table


def changes(results: Sequence[CellResult]) -> Mapping[int, float]:
    """{variant: how far its pictures lie from the full prompt's with the same seed, on average}.

    Root mean square difference in levels of 255: below 1 nobody sees it. Variants of another size
    have none.
    """
    finished = {
        (result.cell.variant, result.cell.seed): result for result in results if not result.error
    }
    distances: dict[int, list[float]] = {}
    for (variant, seed), result in finished.items():
        full = finished.get((0, seed))
        if variant and full:
            distances.setdefault(variant, []).append(distance(full, result))
    means = {variant: float(np.mean(found)) for variant, found in distances.items()}
    return {variant: mean for variant, mean in means.items() if math.isfinite(mean)}


def change_by_seed(results: Sequence[CellResult]) -> float | None:
    """How far pictures of the full prompt lie apart by their seeds alone, as `changes` counts.

    It is to changes what the noise floor is to effects. Each seed is set against the next one.
    """
    full = [result for result in results if not result.error and result.cell.variant == 0]
    full.sort(key=lambda result: result.cell.seed)  # whatever the order they were finished in
    found = [distance(one, other) for one, other in pairwise(full)]
    return float(np.mean(found)) if found else None


def distance(one: CellResult, other: CellResult) -> float:
    """Root mean square difference of two results, in levels of 255; NaN if sizes differ."""
    assert one.recipe and other.recipe
    if one.recipe.output_sha256 == other.recipe.output_sha256:
        return 0.0
    pictures = [_levels(result.picture()) for result in (one, other)]
    if pictures[0].shape != pictures[1].shape:
        return math.nan
    return float(np.sqrt(np.mean((pictures[0] - pictures[1]) ** 2)))


def _levels(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("RGB"), dtype=np.float32)


def _quantile(confidence: float, count: int) -> float:
    return float(stats.t.ppf((1 + confidence) / 2, count - 1))
