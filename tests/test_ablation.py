"""Ablation without a network: texts taken apart, plans, and the statistics that judge effects."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from xpsr.ablation import Cell, CellResult, Plan, Variant, consecutive_seeds, own_plans, plans
from xpsr.ablation.statistics import adjusted, effects, paired_effect
from xpsr.ablation.units import split, without
from xpsr.errors import XPSRError
from xpsr.metrics import Score
from xpsr.prompts import OFFICIAL_NEGATIVE, Prompts
from xpsr.settings import Settings
from xpsr.spreadsheet import to_csv

PROMPTS = Prompts(
    prompt="A cat, on a roof. It looks at the cat.", lowlevel_prompt="Blurry. Noisy, and dark."
)
SEEDS = (0, 1, 2, 3)
TWO = plans.sweep("guidance_scale", [1.0], PROMPTS, Settings(), SEEDS)


@pytest.mark.parametrize(
    ("text", "kind", "parts"),
    [
        ("A cat. A dog! Is it?", "sentence", ["A cat.", "A dog!", "Is it?"]),
        ("About 4.5 m, approx. five.", "sentence", ["About 4.5 m, approx. five."]),
        ("By Dr. Smith.  It is dark.", "sentence", ["By Dr. Smith.", "It is dark."]),
        ("一只猫。屋顶上。", "sentence", ["一只猫。", "屋顶上。"]),
        ("no stop", "sentence", ["no stop"]),
        ("  ", "sentence", []),
        ("A cat, on a roof; at night. Dark.", "clause", ["A cat", "on a roof", "at night", "Dark"]),
        ("bird, branch, tree,", "clause", ["bird", "branch", "tree"]),
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
        ("bird, branch, tree,", "clause", 2, "bird, branch,"),  # as a tagger lists what it sees
        ("bird, branch, tree,", "word", 1, "bird, tree,"),
        ("bird, branch, tree,", "word", 2, "bird, branch,"),
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
    twice = plans.drop("word", PROMPTS, Settings(), SEEDS, texts=["prompt", "prompt"])
    assert twice == plan
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
        ("prompt\nA cat.\n".encode("utf-16"), "UTF-8"),
        (b"prompt\n" + b"x" * (1 << 21), "1 MB"),
        (b'prompt\n"A cat.\n', "from line 2 on .* quotation marks"),
        (b"prompt\n" + b"x" * 140_000, "field limit"),
        (b"name,prompt\na,A cat.\na,A dog.\n", 'Row 3 .* "a" is the name of two'),
        (b"name,prompt\nfull prompt,A cat.\n", "the name of two"),
        (b"seed,prompt\n1,A cat.\n", "the same seeds"),
        (b"prompt\nA\x00cat.\n", "Row 2 .* unprintable"),
        (b"prompt\n" + b"a\n" * 5000, "at most 5,000"),
    ],
)
def test_unusable_csv(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "bad.csv").write_bytes(content)
    with pytest.raises(XPSRError, match=words):
        own_plans.from_csv(tmp_path / "bad.csv", PROMPTS, Settings(), SEEDS)


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbfname,prompt\r\n one  run ,A cat; a dog.\r\n",
        b"name;prompt\none run;A cat; a dog.\n".replace(b"A cat; a dog.", b'"A cat; a dog."'),
        b"prompt\tname\rA cat; a dog.\tone\x07run\r",
    ],
)
def test_csv_as_programs_write_it(tmp_path: Path, content: bytes) -> None:
    """With a mark at its start, semicolons, tabs, the line ends of every system."""
    (tmp_path / "mine.csv").write_bytes(content)
    _, one = own_plans.from_csv(tmp_path / "mine.csv", PROMPTS, Settings(), SEEDS).variants
    assert (one.name, one.prompts.prompt) == ("one run", "A cat; a dog.")


def test_long_names_are_cut(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("name,prompt\n" + "long " * 99 + ",A cat.\n")
    _, one = own_plans.from_csv(tmp_path / "mine.csv", PROMPTS, Settings(), SEEDS).variants
    assert len(one.name) == own_plans.MAX_NAME and one.name.endswith("…")


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\n=1", "＝1"])
def test_a_table_runs_nothing_in_a_spreadsheet(text: str) -> None:
    written = to_csv(["name", text], [[text, -1.5], [f"a{text}", None]])
    heads, first, second = csv.reader(io.StringIO(written, newline=""))
    assert heads == ["name", f"'{text}"] and first == [f"'{text}", "-1.5"]
    assert second == [f"a{text}", ""]
    assert to_csv(["a"], [["\r=1"], ["b\rc"]]) == 'a\n"\'\n=1"\n"b\nc"\n'


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
    faithful = Settings.from_preset("faithful")
    for settings, warned in (
        (faithful, True),
        (faithful.changed(scheduler="ddpm"), True),  # its last step draws next to nothing
        (faithful.changed(scheduler="ddpm", num_inference_steps=2), False),
        (faithful.changed(start="lr"), False),
    ):
        same = (Variant("a", PROMPTS, settings), Variant("b", Prompts(), settings))
        told = Plan("own", same, SEEDS).warnings()
        assert (len(told), "lr_bare" in str(told)) == (int(warned), warned)


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


@pytest.mark.parametrize("count", [2, 3, 4, 12])
def test_interval_and_floor_agree_with_scipy(count: int) -> None:
    """A paired t-test, and the spread of means of as many unrelated seeds."""
    full, other = scores(np.random.default_rng(count), count, shift=0.5)
    found = paired_effect(full, other)
    test = stats.ttest_rel(other, full)
    theirs = test.confidence_interval(0.95)
    assert found.p == pytest.approx(test.pvalue)
    assert found.mean == pytest.approx(np.mean(other) - np.mean(full))
    assert found.interval == pytest.approx((theirs.low, theirs.high))
    assert found.spread == pytest.approx(np.std(full, ddof=1))
    spread = found.spread * math.sqrt(2 / count)
    assert found.floor == pytest.approx(stats.t.ppf(0.99, count - 1) * spread)
    # What an unpaired test of two such sets rejects lies outside, and nothing else.
    assert found.inside_floor == (
        abs(found.mean) <= stats.t.interval(0.98, count - 1, 0, spread)[1]
    )


def test_p_values_allow_for_all_comparisons() -> None:
    generator = np.random.default_rng(4)
    none = [paired_effect(*scores(generator, 4)) for _ in range(200)]
    assert sum(one.p < 0.05 for one in none) > 3 and min(adjusted(none)) > 0.05
    sure = paired_effect(*scores(generator, 8, shift=9, own=0.01))
    alone, same = paired_effect([1.0], [2.0]), paired_effect([1.0, 2.0], [1.0, 2.0])
    assert (alone.p, same.p) == (None, 1.0)
    *_, first, second, third = adjusted([*none, alone, same, sure])
    assert first is None and second == 1 and third < 1e-6
    assert adjusted([alone]) == [None]


def test_seeds_are_paired_and_not_just_averaged() -> None:
    """A change of 1 in every seed is sure though the seeds lie 20 apart; mixed up it is not."""
    full = [10.0, 30.0, 20.0, 40.0]
    small = [9.0, 29.1, 18.9, 39.0]
    assert paired_effect(full, small).interval[1] < 0
    low, high = paired_effect(full, [29.1, 9.0, 39.0, 18.9]).interval
    assert low < 0 < high
    results = [cell(v, s, {"psnr": score}) for v, row in enumerate((full, small))
               for s, score in enumerate(row)]  # fmt: skip
    (first,), (again,) = effects(TWO, results), effects(TWO, results[::-1])
    assert first == again and first.interval[1] < 0


def test_figures_that_are_none_leave_out_their_seed() -> None:
    values = ([1.0, 2.0, math.nan, 3.0], [2.0, None, 9.0, 3.5])
    results = [cell(v, s, {"psnr": one}) for v, row in enumerate(values)
               for s, one in enumerate(row)]  # fmt: skip
    (found,) = effects(TWO, results)
    assert (found.pairs, found.mean) == (2, 0.75)
    assert found.spread == pytest.approx(1.0)  # of all of the full prompt's
    assert effects(TWO, [cell(0, 0, {"psnr": math.nan}), cell(1, 0, {"psnr": 1.0})]) == []


def cell(variant: int, seed: int, figures: dict[str, float | None]) -> CellResult:
    known = {name: Score(one, None if one is not None else "none") for name, one in figures.items()}
    return CellResult(Cell(variant, seed, PROMPTS, Settings()), None, known, 0.0, "computed")


def test_one_seed_decides_nothing() -> None:
    found = paired_effect([30.0], [40.0])
    assert (found.interval, found.floor, found.clear) == (None, None, False)
    assert "one seed" in found.verdict
    assert paired_effect([30.0, 31.0], [30.0, 31.0]).verdict == "no difference"
