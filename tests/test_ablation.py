"""Ablation without a network: texts taken apart, plans, and the statistics that judge effects."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from xpsr.ablation import Plan, Variant, consecutive_seeds, own_plans, plans
from xpsr.ablation.statistics import paired_effect
from xpsr.ablation.units import split, without
from xpsr.errors import XPSRError
from xpsr.prompts import OFFICIAL_NEGATIVE, Prompts
from xpsr.settings import Settings

PROMPTS = Prompts(
    prompt="A cat, on a roof. It looks at the cat.", lowlevel_prompt="Blurry. Noisy, and dark."
)
SEEDS = (0, 1, 2, 3)


@pytest.mark.parametrize(
    ("text", "kind", "parts"),
    [
        ("A cat. A dog! Is it?", "sentence", ["A cat.", "A dog!", "Is it?"]),
        ("About 4.5 m, approx. five.", "sentence", ["About 4.5 m, approx. five."]),
        ("一只猫。屋顶上。", "sentence", ["一只猫。", "屋顶上。"]),
        ("no stop", "sentence", ["no stop"]),
        ("  ", "sentence", []),
        ("A cat, on a roof; at night. Dark.", "clause", ["A cat", "on a roof", "at night", "Dark"]),
        ("a cat's well-known tail.", "word", ["a", "cat's", "well-known", "tail"]),
    ],
)
def test_split(text: str, kind, parts: list[str]) -> None:
    units = split(text, kind)
    assert [unit.text for unit in units] == parts
    assert all(text[unit.start : unit.end] == unit.text for unit in units)


@pytest.mark.parametrize(
    ("text", "kind", "number", "rest"),
    [
        ("A cat. A dog. A cat.", "sentence", 2, "A cat. A dog."),  # the last one, not the first
        ("A cat. A dog.", "sentence", 0, "A dog."),
        ("A cat, on a roof, at night.", "clause", 0, "on a roof, at night."),
        ("A cat, on a roof, at night.", "clause", 1, "A cat, at night."),
        ("A cat, on a roof, at night.", "clause", 2, "A cat, on a roof."),
        ("Blurry. Noisy.", "clause", 0, "Noisy."),
        ("Blurry. Noisy.", "clause", 1, "Blurry."),
        ("the cat and the dog", "word", 3, "the cat and dog"),
        ("a red cat.", "word", 2, "a red."),
        ("cat", "word", 0, ""),
        ("Blurry. Noisy. Dark.", "word", 1, "Blurry. Dark."),
        ("A cat, asleep.", "word", 1, "A, asleep."),
        ("cat.", "clause", 0, ""),
    ],
)
def test_without(text: str, kind, number: int, rest: str) -> None:
    assert without(text, split(text, kind)[number]) == rest


def test_a_unit_is_only_taken_out_of_its_own_text() -> None:
    with pytest.raises(ValueError, match="another text"):
        without("A dog.", split("A cat.", "sentence")[0])


def test_levels_are_the_four_of_the_paper() -> None:
    plan = plans.levels(PROMPTS, Settings(), SEEDS)
    given = [(bool(v.prompts.prompt), bool(v.prompts.lowlevel_prompt)) for v in plan.variants]
    assert given == [(True, True), (True, False), (False, True), (False, False)]
    assert plan.baseline.prompts == PROMPTS
    assert [bool(v.prompts.added_prompt) for v in plan.variants] == [True, True, False, False]
    with pytest.raises(XPSRError, match="empty"):
        plans.levels(Prompts(added_prompt=""), Settings(), SEEDS)


def test_negatives_need_guidance_and_say_what_they_fill_in() -> None:
    with pytest.raises(XPSRError, match="guidance_scale"):
        plans.negatives(PROMPTS, Settings(guidance_scale=1.0), SEEDS)
    plan = plans.negatives(Prompts(negative_prompt=""), Settings(), SEEDS)
    assert plan.baseline.prompts.negative_prompt == OFFICIAL_NEGATIVE
    assert len(plan.notes) == 1 and OFFICIAL_NEGATIVE in plan.notes[0]
    found = [(bool(v.prompts.negative_prompt), v.settings.negative) for v in plan.variants]
    assert found == [(True, "both"), (True, "high"), (False, "both"), (False, "high")]


def test_dropping_one_never_touches_another_text() -> None:
    """The cat stands in both sentences; only the one meant is changed."""
    plan = plans.drop("word", PROMPTS, Settings(), SEEDS, texts=["prompt"])
    second = next(v for v in plan.variants if "word 2:" in v.name)
    assert second.prompts.prompt == "A, on a roof. It looks at the cat."
    assert {v.prompts.lowlevel_prompt for v in plan.variants} == {PROMPTS.lowlevel_prompt}
    sentences = plans.drop("sentence", PROMPTS, Settings(), SEEDS)
    assert len(sentences.variants) == 1 + 2 + 2
    with pytest.raises(XPSRError, match="no text"):
        plans.drop("word", PROMPTS, Settings(), SEEDS, texts=["caption"])
    with pytest.raises(XPSRError, match="no sentence"):
        plans.drop("sentence", Prompts(), Settings(), SEEDS)


def test_sweep_keeps_the_runs_own_value_and_drops_doubles() -> None:
    plan = plans.sweep("guidance_scale", [1, 4.5, 1, 7], PROMPTS, Settings(), SEEDS)
    assert [v.settings.guidance_scale for v in plan.variants] == [4.5, 1, 7]
    with pytest.raises(XPSRError, match="single run"):
        plans.sweep("guidance_scale", [4.5], PROMPTS, Settings(), SEEDS)
    with pytest.raises(XPSRError, match="guidance_scale is 99"):
        plans.sweep("guidance_scale", [99], PROMPTS, Settings(), SEEDS)


def test_grid_of_a_setting_and_a_text() -> None:
    axes = [own_plans.Axis.parse("guidance-scale=1,3"), own_plans.Axis.parse("prompt=A, b.|C.|")]
    plan = own_plans.grid(axes, PROMPTS, Settings(), SEEDS)
    found = [(v.settings.guidance_scale, v.prompts.prompt) for v in plan.variants[1:]]
    assert found == [(w, text) for w in (1, 3) for text in ("A, b.", "C.", "")]
    assert dict(plan.variants[1].place) == {"guidance_scale": "1", "prompt": "A, b."}
    for wrong in ("guidance_scale", "beauty=1,2", "seed=1,2", "guidance_scale="):
        with pytest.raises(XPSRError):
            own_plans.Axis.parse(wrong)
    for values in ([axes[0], axes[0]], []):
        with pytest.raises(XPSRError, match="axes"):
            own_plans.grid(values, PROMPTS, Settings(), SEEDS)
    with pytest.raises(XPSRError, match="no number"):
        own_plans.grid([own_plans.Axis.parse("upscale=two")], PROMPTS, Settings(), SEEDS)


def test_csv_of_own_prompts(tmp_path: Path) -> None:
    file = tmp_path / "mine.csv"
    file.write_text(
        'name,prompt,guidance_scale\nfirst,"A cat, sitting.",2\n\n,,\n,=1+1,\n',
        encoding="utf-8-sig",
    )
    plan = own_plans.from_csv(file, PROMPTS, Settings(), SEEDS)
    assert [v.name for v in plan.variants] == ["full prompt", "first", "row 5"]
    assert [v.prompts.prompt for v in plan.variants[1:]] == ["A cat, sitting.", "=1+1"]
    assert [v.settings.guidance_scale for v in plan.variants] == [4.5, 2, 4.5]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"caption\nA cat.\n", 'column "caption"'),
        (b"prompt,prompt\na,b\n", "twice"),
        (b"prompt\na,b\n", "Row 2"),
        (b"prompt\n", "no row"),
        (b"guidance_scale\nhigh\n", "Row 2 .* no number"),
        (b"guidance_scale\n99\n", "Row 2 .* guidance_scale is 99"),
        (b"prompt\n\xff\xfe\x00", "UTF-8"),
        (b"prompt\n" + b"x" * (1 << 21), "1 MB"),
    ],
)
def test_unusable_csv(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "bad.csv").write_bytes(content)
    with pytest.raises(XPSRError, match=words):
        own_plans.from_csv(tmp_path / "bad.csv", PROMPTS, Settings(), SEEDS)


def test_seeds_and_sizes_have_limits() -> None:
    assert consecutive_seeds(2**32 - 2, 4) == (2**32 - 2, 2**32 - 1, 0, 1)
    with pytest.raises(XPSRError, match="at least 1"):
        consecutive_seeds(0, 0)
    two = (Variant("a", PROMPTS, Settings()), Variant("b", Prompts(), Settings()))
    with pytest.raises(XPSRError, match="5,000"):
        Plan("own", two, tuple(range(2501)))
    assert "single seed" in Plan("own", two, (0,)).warnings()[0]
    assert "3 seeds" in Plan("own", two, (0, 1, 2)).warnings()[0]
    assert Plan("own", two, SEEDS).warnings() == []


def test_cells_are_complete_pairs_wherever_one_stops() -> None:
    plan = plans.swap(PROMPTS, Settings(seed=9), SEEDS)
    cells = list(plan.cells())
    assert [(c.seed, c.variant) for c in cells] == [(s, v) for s in SEEDS for v in range(3)]
    assert all(cell.settings.seed == cell.seed for cell in cells)


def scores(generator: np.random.Generator, count: int, shift: float = 0.0, own: float = 1.0):
    """Scores of two prompts with the same seeds: most of a seed's luck is common to both."""
    luck = generator.normal(30, 1, count)
    return luck, luck + shift + own * generator.normal(0, 1, count)


def in_hundreds(found: list[bool]) -> np.ndarray:
    """How many of every hundred trials are True."""
    return np.reshape(found, (-1, 100)).sum(axis=1)


@pytest.mark.parametrize("count", [2, 4, 12])
@pytest.mark.parametrize("own", [0.3, 1.4])
def test_prompts_that_do_the_same_are_not_called_different(count: int, own: float) -> None:
    """Of 100 trials without an effect at least 95 stay inside the floor."""
    generator = np.random.default_rng(0)
    found = [paired_effect(*scores(generator, count, own=own)) for _ in range(2000)]
    assert in_hundreds([one.inside_floor for one in found]).min() >= 95
    assert not any(one.clear and one.inside_floor for one in found)


def test_the_floor_is_that_of_two_unrelated_sets_of_seeds() -> None:
    """With nothing in common between the runs the floor is passed in one case of fifty."""
    generator = np.random.default_rng(1)
    found = [
        paired_effect(generator.normal(0, 1, 4), generator.normal(0, 1, 4)).inside_floor
        for _ in range(10_000)
    ]
    assert np.mean(found) == pytest.approx(0.98, abs=0.005)
    assert np.mean(in_hundreds(found) >= 95) >= 0.95


def test_a_planted_effect_is_found_and_has_the_right_sign() -> None:
    generator = np.random.default_rng(2)
    for sign, better in ((1, "better"), (-1, "worse")):
        found = [
            paired_effect(*scores(generator, 6, shift=sign * 4, own=0.3), metric="psnr")
            for _ in range(100)
        ]
        assert np.mean([one.verdict == better for one in found]) > 0.95
        assert np.mean([one.mean for one in found]) == pytest.approx(sign * 4, abs=0.1)
    lower = paired_effect([50.0, 51, 52, 50], [40.0, 41, 42, 40.5], metric="piqe")
    assert lower.verdict == "better"


def test_interval_and_floor_agree_with_scipy() -> None:
    from scipy import stats

    full, other = [1.0, 2.0, 4.0, 3.0], [2.0, 2.5, 5.5, 3.0]
    found = paired_effect(full, other)
    theirs = stats.ttest_rel(other, full).confidence_interval(0.95)
    assert found.interval == pytest.approx((theirs.low, theirs.high))
    assert found.spread == pytest.approx(np.std(full, ddof=1))
    assert found.floor == pytest.approx(stats.t.ppf(0.99, 3) * found.spread * math.sqrt(0.5))


def test_one_seed_decides_nothing() -> None:
    found = paired_effect([30.0], [40.0])
    assert (found.interval, found.floor, found.clear) == (None, None, False)
    assert "one seed" in found.verdict
    assert paired_effect([30.0, 31.0], [30.0, 31.0]).verdict == "no difference"
