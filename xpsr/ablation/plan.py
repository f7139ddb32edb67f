"""What an ablation consists of: variants of one run, each with the same seeds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from xpsr.counted import counted
from xpsr.errors import XPSRError
from xpsr.prompts import Prompts
from xpsr.settings import LIMITS, Settings

DEFAULT_SEEDS = 4  # fewer say little about what a seed does by itself
MAX_CELLS = 5000


@dataclass(frozen=True)
class Variant:
    """One way to run: the texts and settings of all its seeds.

    Attributes:
        name: for people, short.
        prompts: the five texts.
        settings: their `seed` is replaced by each of the plan's.
        place: its value on each axis of a grid, (axis, value) pairs; empty in other plans.
    """

    name: str
    prompts: Prompts
    settings: Settings
    place: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Cell:
    """One run of a plan.

    Attributes:
        variant: its number in the plan; 0 is the full prompt.
        seed: also in `settings`.
        prompts, settings: what is run, complete.
    """

    variant: int
    seed: int
    prompts: Prompts
    settings: Settings

    @property
    def run(self) -> tuple[Prompts, Settings]:
        """Cells that are equal in this have the same pixels."""
        return self.prompts, self.settings


@dataclass(frozen=True)
class Plan:
    """Variants, the first of which is the full prompt that all others are compared with.

    Args:
        name: as on the command line, for example "levels".
        variants: at least two.
        seeds: each variant runs with each of them, so that differences are paired.
        notes: sentences for the user about what this plan does or cannot show.

    Raises:
        XPSRError: nothing to compare, no seed, or absurdly many runs.
    """

    name: str
    variants: tuple[Variant, ...]
    seeds: tuple[int, ...]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.variants) < 2:
            raise XPSRError(
                f'The plan "{self.name}" has nothing to compare here: it comes to a single run.'
            )
        if not self.seeds:
            raise XPSRError("An ablation needs at least one seed.")
        count = len(self.variants) * len(self.seeds)
        if count > MAX_CELLS:
            raise XPSRError(
                f"This plan has {count:,} cells; at most {MAX_CELLS:,} are possible. "
                "Take fewer values or seeds."
            )

    @property
    def baseline(self) -> Variant:
        """The full prompt."""
        return self.variants[0]

    def cells(self) -> Iterator[Cell]:
        """Every cell, seed by seed: stopped early, the finished seeds are still complete pairs."""
        for seed in self.seeds:
            for number, variant in enumerate(self.variants):
                yield Cell(number, seed, variant.prompts, replace(variant.settings, seed=seed))

    def warnings(self) -> list[str]:
        """What the user should know before starting, beside `notes`."""
        few = len(self.seeds)
        if few == 1:
            return ["With a single seed nothing tells an effect from chance; take at least 4."]
        told = []
        if few < DEFAULT_SEEDS:
            told.append(f"With only {few} seeds the intervals are very wide; take at least 4.")
        if _leaves_nothing_to_chance(self.baseline.settings):
            told.append(
                "The full prompt starts without noise (start is lr_bare) and draws none on its "
                "way, so its seeds change little or nothing. Seeds that give the same pictures "
                "count as one, which cannot be told from chance; for that choose another start."
            )
        return told


def for_one_text(plan: Plan) -> Plan:
    """The plan for a model that has no branch for the quality text (`reads_lowlevel`).

    What has no effect is left out of the texts, and of variants that are equal then all but one; a
    note says so.

    Raises:
        XPSRError: they are all equal.
    """
    read = [_with_one_text(variant) for variant in plan.variants]
    # The last name is the truest, as "no text" of "quality only"; the full prompt keeps its own.
    different = {(one.prompts, one.settings): one for one in read}
    variants = (read[0], *list(different.values())[1:])
    if variants == plan.variants:
        return plan
    if len(variants) == 1:
        raise XPSRError(
            f'The plan "{plan.name}" comes to a single run here: it changes only the quality text, '
            "which has no effect in a model that reads one text, unless lowlevel_route is content."
        )
    less = len(plan.variants) - len(variants)
    also = f", and so {'are' if less > 1 else 'is'} {counted(less, 'variant')}" if less else ""
    note = f"This model reads one text: the quality texts are left out{also}."
    return replace(plan, variants=variants, notes=(*plan.notes, note))


def _with_one_text(variant: Variant) -> Variant:
    texts = {"lowlevel_negative_prompt": ""}
    if variant.settings.lowlevel_route == "lowlevel":
        texts["lowlevel_prompt"] = ""
    settings = variant.settings.changed(negative="both")  # of that text it says
    return replace(variant, prompts=replace(variant.prompts, **texts), settings=settings)


def _leaves_nothing_to_chance(settings: Settings) -> bool:
    """Whether the seed has nothing to say, unless the autoencoder draws from its distribution."""
    walk = settings.scheduler != "ddpm" or settings.num_inference_steps == 1
    return settings.start == "lr_bare" and walk


def consecutive_seeds(first: int, count: int) -> tuple[int, ...]:
    """`count` seeds from `first` on; behind the largest one it goes on at 0.

    Raises:
        XPSRError: fewer than one.
    """
    if count < 1:
        raise XPSRError(f"The number of seeds is {count}; it must be at least 1.")
    if count > MAX_CELLS:
        raise XPSRError(f"The number of seeds is {count:,}; at most {MAX_CELLS:,} are possible.")
    total = int(LIMITS["seed"][1]) + 1
    return tuple((first + number) % total for number in range(count))
