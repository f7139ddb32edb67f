"""Samples: what is drawn from the pairs, by number, with the texts that belong to it."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from training_help import make_photos

from train import data
from train.claims import FLAWLESS
from train.config import DataConfig, TrainConfig
from train.data import Numbers, Pairs
from train.describe import describe
from train.networks import clip_tokenizer
from train.pairing import PairConfig, PrepareConfig
from train.photos import Photos, open_data, say_left_out, training_data
from train.prepare import prepare
from train.texts import UNTOLD
from train.wording import degree
from xpsr.errors import XPSRError

PAIRS = PrepareConfig(variants=2, size=128)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return make_photos(tmp_path_factory.mktemp("photos"))


@pytest.fixture(scope="module")
def pairs_folder(photos, tmp_path_factory):
    out = tmp_path_factory.mktemp("pairs")
    list(prepare(photos, out, PAIRS))
    list(describe(out, "measured"))
    return out


@pytest.fixture(scope="module")
def tokenizer():
    return clip_tokenizer()


def test_a_sample_depends_on_seed_and_number_alone(pairs_folder, tokenizer):
    config = DataConfig(crop=64, caption_dropout=0.5)
    a, b = (Pairs(pairs_folder, tokenizer, config, seed=7) for _ in range(2))
    b.batch([99])
    first, second = a.batch(range(4, 8)), b.batch(range(4, 8))
    assert first.ids == second.ids and first.seeds == second.seeds
    assert torch.equal(first.clean, second.clean)
    assert torch.equal(first.input_ids, second.input_ids)
    assert not torch.equal(first.clean, a.batch(range(8, 12)).clean)
    assert first.clean.shape == (4, 3, 64, 64) and first.clean.min() < 0
    assert first.conditioning.min() >= 0 and first.conditioning.max() <= 1
    assert sorted(a.batch(range(8)).ids) == sorted(line["id"] for line in a.lines)


@pytest.mark.parametrize("workers", [0, 2])
def test_processes_parts_and_batches_see_the_same_samples(
    pairs_folder, tokenizer, tmp_path, workers
):
    """Or the same error, as it is: a process takes seconds to start, so both are asked of one."""
    shutil.copytree(pairs_folder, tmp_path / "pairs")
    config = DataConfig(crop=64, data_workers=workers)
    pairs = Pairs(pairs_folder, tokenizer, config)
    plain = Numbers(batch_size=2, parts=1, world=1, rank=0, first=2, steps=2)
    assert list(plain) == [[2, 3], [4, 5]]
    parts = [n for batch in replace(plain, batch_size=1, parts=2) for n in batch]
    ranks = [list(replace(plain, batch_size=1, world=2, rank=r)) for r in (0, 1)]
    assert parts == [2, 3, 4, 5] and ranks == [[[2], [4]], [[3], [5]]]
    broken = tmp_path / "pairs" / "LR" / f"{pairs.batch([6]).ids[0]}.png"
    broken.write_bytes(b"")
    batches = Pairs(tmp_path / "pairs", tokenizer, config).loader(replace(plain, steps=3))
    for numbers in plain:
        found, wanted = next(batches), pairs.batch(numbers)
        assert found.ids == wanted.ids and torch.equal(found.clean, wanted.clean)
    with pytest.raises(XPSRError, match="cannot be read: delete .* train.prepare again") as raised:
        next(batches)
    assert str(raised.value).startswith(f"The pair {broken.name}")


def test_pictures_are_kept_while_all_data_workers_together_have_room(
    pairs_folder, tokenizer, monkeypatch
):
    monkeypatch.setattr(data, "MEMORY", 5 * (128 * 128 + 32 * 32) * 3)
    for workers, kept in ((0, 4), (2, 2)):
        pairs = Pairs(pairs_folder, tokenizer, DataConfig(crop=64, data_workers=workers))
        pairs.batch(range(8))
        assert len(pairs._decoded) == kept


def test_a_part_of_the_enlarged_side_is_the_same_as_in_the_whole(pairs_folder, tokenizer):
    pairs = Pairs(pairs_folder, tokenizer)
    for index in range(len(pairs)):
        pair = pairs.pair(index, np.random.default_rng(0))
        whole = pair.enlarged()
        assert whole.shape == pair.clean.shape
        for top, left in ((0, 0), (8, 40), (64, 64)):
            window = np.s_[top : top + 64, left : left + 64]
            assert np.array_equal(pair.enlarged(window), whole[window])


def test_crops_of_the_two_sides_show_the_same_place(pairs_folder, tokenizer):
    config = DataConfig(crop=64, original_image_ratio=1)
    pairs = Pairs(pairs_folder, tokenizer, config)
    batch = pairs.batch(range(4))
    assert torch.allclose(batch.clean / 2 + 0.5, batch.conditioning, atol=1e-6)
    wanted = [next(x["hr_lowlevel_prompt"] for x in pairs.lines if x["id"] == i) for i in batch.ids]
    assert torch.equal(batch.lowlevel_input_ids, pairs._tokens(wanted))


def test_a_picture_called_flawless_is_its_own_target(pairs_folder, tokenizer):
    config = DataConfig(crop=64, trust_ratio=1, sharpen_targets=1)
    batch = Pairs(pairs_folder, tokenizer, config).batch(range(4))
    assert torch.allclose(batch.clean / 2 + 0.5, batch.conditioning, atol=1e-6)
    texts = {tokenizer.decode(ids, skip_special_tokens=True) for ids in batch.lowlevel_input_ids}
    assert texts <= {text.lower().replace(".", " .").replace(",", " ,") for text in FLAWLESS}


def test_targets_are_sharpened_and_nothing_else(pairs_folder, tokenizer):
    def batch(**options):
        return Pairs(pairs_folder, tokenizer, DataConfig(crop=64, **options)).batch(range(4))

    plain, sharp, sharper = batch(), batch(sharpen_targets=1), batch(sharpen_targets=2)
    assert sharp.ids == plain.ids and sharp.seeds == plain.seeds
    assert torch.equal(sharp.conditioning, plain.conditioning)
    for pictures in zip(plain.clean, sharp.clean, sharper.clean, strict=True):
        energies = [picture.diff(dim=-1).square().mean() for picture in pictures]
        assert 1.2 * energies[0] < energies[1] < energies[2]
        assert (pictures[1].mean() - pictures[0].mean()).abs() < 0.02


def test_bare_samples_keep_their_target_and_say_so(pairs_folder, tokenizer):
    def batch(**options):
        return Pairs(pairs_folder, tokenizer, DataConfig(crop=64, **options)).batch(range(4))

    plain, sharp = batch(), batch(sharpen_targets=1)
    bare = batch(sharpen_targets=1, bare_ratio=1)
    assert torch.equal(bare.clean, plain.clean) and not torch.equal(sharp.clean, plain.clean)
    assert all(bare.bare) and not any(sharp.bare)
    half = Pairs(pairs_folder, tokenizer, DataConfig(bare_ratio=0.5))
    assert 8 < sum(half[number].bare for number in range(40)) < 32


def test_a_text_of_more_or_less_detail_has_such_a_target(pairs_folder, tokenizer):
    def samples(**options):
        pairs = Pairs(pairs_folder, tokenizer, DataConfig(crop=64, **options))
        return [pairs[number] for number in range(40)]

    def energy(sample):
        return np.square(np.diff(sample.clean.astype(float), axis=1)).mean()

    plain, reworded = samples(), samples(detail_ratio=1)
    rises = [degree(b.high) - degree(a.high) for a, b in zip(plain, reworded, strict=True)]
    assert {np.sign(rise) for rise in rises} == {-1, 1}
    for rise, a, b in zip(rises, plain, reworded, strict=True):
        assert (energy(b) > energy(a)) == (rise > 0)
        assert np.array_equal(a.conditioning, b.conditioning) and a.low == b.low


def test_without_a_content_text_the_target_is_a_little_softer(pairs_folder, tokenizer):
    def batch(**options):
        config = DataConfig(crop=64, caption_dropout=1, **options)
        return Pairs(pairs_folder, tokenizer, config).batch(range(8))

    def energy(one):
        return one.clean.diff(dim=3).square().mean(dim=(1, 2, 3))

    plain, sharp = batch(), batch(sharpen_targets=1)
    told = batch(sharpen_targets=1, detail_ratio=0.5)
    share = energy(told) / energy(plain)
    assert (share > 0.3).all() and (share < 1).all() and (energy(sharp) > energy(plain)).all()
    assert (told.asked[:, 2] == UNTOLD).all() and not any(told.vivid) and all(sharp.vivid)


def test_texts_follow_the_options(pairs_folder, tokenizer):
    def texts(**options):
        pairs = Pairs(pairs_folder, tokenizer, DataConfig(**options))
        batch = pairs.batch([0])
        (line,) = [x for x in pairs.lines if x["id"] == batch.ids[0]]
        return batch, lambda *keys: [line[k] if k else "" for k in keys], pairs._tokens

    for options, high, low in (
        ({}, "prompt", "lowlevel_prompt"),
        ({"caption_source": "hr"}, "hr_prompt", "lowlevel_prompt"),
        ({"prompts": "high"}, "prompt", ""),
        ({"prompts": "low"}, "", "lowlevel_prompt"),
        ({"prompts": "none"}, "", ""),
        ({"caption_dropout": 1}, "", ""),
    ):
        batch, of, tokens = texts(**options)
        found = torch.cat([batch.input_ids, batch.lowlevel_input_ids])
        assert torch.equal(found, tokens(of(high, low))), options


def test_flips_mirror_both_sides(pairs_folder, tokenizer):
    flipped = Pairs(pairs_folder, tokenizer, DataConfig(flips=True)).batch(range(8))
    plain = Pairs(pairs_folder, tokenizer).batch(range(8))
    mirrored = 0
    for name in ("clean", "conditioning"):
        a, b = getattr(flipped, name), getattr(plain, name)
        same = [torch.equal(x, y) for x, y in zip(a, b, strict=True)]
        turned = [torch.equal(x, y.flip(2)) for x, y in zip(a, b, strict=True)]
        assert all(x != y for x, y in zip(same, turned, strict=True))
        mirrored = sum(turned)
    assert 0 < mirrored < 8


def test_turns_turn_both_sides_by_quarters(pairs_folder, tokenizer):
    turned = Pairs(pairs_folder, tokenizer, DataConfig(turns=True, crop=32)).batch(range(16))
    plain = Pairs(pairs_folder, tokenizer, DataConfig(crop=32)).batch(range(16))
    found = []
    for name in ("clean", "conditioning"):
        pairs = zip(getattr(turned, name), getattr(plain, name), strict=True)
        found.append(
            [[torch.equal(x, y.rot90(k, (1, 2))) for k in range(4)].index(True) for x, y in pairs]
        )
    assert found[0] == found[1] and set(found[0]) == {0, 1, 2, 3}


def test_photos_are_degraded_as_they_are_drawn(photos, tokenizer, caplog):
    say_left_out.cache_clear()
    config = DataConfig(crop=64, original_image_ratio=0.5)
    data = Photos(photos, tokenizer, config, 3, PAIRS)
    batch = data.batch(range(12))
    again = Photos(photos, tokenizer, config, 3, PAIRS).batch(range(12))
    assert torch.equal(batch.clean, again.clean) and batch.ids == again.ids
    assert torch.equal(batch.lowlevel_input_ids, again.lowlevel_input_ids)
    assert len(set(batch.ids)) == 12 and batch.clean.shape == (12, 3, 64, 64)
    assert caplog.text.count("broken.jpg is left out") == 1 == caplog.text.count("narrow.png is")
    with pytest.raises(XPSRError, match="No photo"):
        Photos(photos, tokenizer, config, 3, PrepareConfig(size=1024)).batch([0])


def test_pictures_of_photos_are_those_of_the_pairs_and_not_described(
    photos, tokenizer, monkeypatch
):
    data = Photos(photos, tokenizer, DataConfig(), 3, PAIRS)
    pair = data.pair(2, np.random.default_rng((3, 2)))
    monkeypatch.setattr(data, "describer", None)
    clean, enlarged = data.pictures(2)
    assert np.array_equal(clean, pair.clean) and np.array_equal(enlarged, pair.enlarged())


@pytest.mark.parametrize("prompts", ["none", "high", "low", "both"])
def test_no_target_follows_a_text_that_is_not_given(prompts, pairs_folder, tokenizer):
    """The paper's Table 2 compares texts, not targets."""
    ratios = {"trust_ratio": 0.4, "detail_ratio": 0.4, "claim_ratio": 0.4}
    taught = DataConfig(crop=64, prompts=prompts, **ratios)
    plain = DataConfig(crop=64, prompts=prompts)
    pairs = [Pairs(pairs_folder, tokenizer, config) for config in (taught, plain)]
    changed, asked = 0, pairs[0].batch(range(24)).asked.any(dim=0)
    for number in range(24):
        a, b = (each[number] for each in pairs)
        changed += not np.array_equal(a.clean, b.clean)
        if prompts == "none":
            assert a.high == a.low == ""
    assert (changed > 0) is (prompts != "none")
    by_quality, by_content = prompts in ("both", "low"), prompts in ("both", "high")
    assert asked.tolist() == [by_quality, by_quality, by_content]


def test_a_pair_without_both_texts_of_what_is_shown_is_left_out(
    pairs_folder, tokenizer, tmp_path, caplog
):
    """Texts may be of somebody's own program: an empty one never passes for a caption."""
    shutil.copytree(pairs_folder, tmp_path / "pairs")
    manifest = tmp_path / "pairs" / "manifest.jsonl"
    first, *others = map(json.loads, manifest.read_text().splitlines())
    for wrong in ({"lowlevel_prompt": None}, {"lowlevel_prompt": " "}, {"prompt": 5}):
        lines = [first | wrong, *others]
        manifest.write_text("".join(json.dumps(line) + "\n" for line in lines))
        assert len(Pairs(tmp_path / "pairs", tokenizer, DataConfig(crop=64))) == len(others)
        assert f"1 of {len(lines)} pairs have no texts" in caplog.text
        caplog.clear()


def test_options_that_reword_texts_are_refused_where_they_know_none(
    pairs_folder, tokenizer, tmp_path, caplog
):
    shutil.copytree(pairs_folder, tmp_path / "pairs")
    manifest = tmp_path / "pairs" / "manifest.jsonl"
    lines = [json.loads(line) for line in manifest.read_text().splitlines()]
    other = {"prompt": "A dog on a beach.", "lowlevel_prompt": "Blurry and noisy."}

    def opened(described, **options):
        some = (line | other if i < described else line for i, line in enumerate(lines))
        manifest.write_text("".join(json.dumps(line) + "\n" for line in some))
        caplog.clear()
        return Pairs(tmp_path / "pairs", tokenizer, DataConfig(**options))

    for option, text, away in (("claim_ratio", "low", "high"), ("detail_ratio", "high", "low")):
        with pytest.raises(XPSRError, match=f"^{option} rewords .*train.describe"):
            opened(len(lines), **{option: 0.5})
        opened(len(lines), **{option: 0.5}, prompts=away)  # a text that is not given is no matter
        assert not caplog.text
        opened(3, **{option: 0.5}, prompts=text)
        assert f"3 of 8 texts are not of the measured describer: {option}" in caplog.text
        opened(0, **{option: 0.5})
        assert not caplog.text


def test_pairs_without_a_manifest_are_not_taken_for_photos(tmp_path, tokenizer):
    for side in ("HR", "LR"):
        (tmp_path / side).mkdir()
        Image.new("RGB", (64, 64)).save(tmp_path / side / "a.png")
    with pytest.raises(XPSRError, match="no manifest"):
        open_data(tmp_path, tokenizer, DataConfig(), 0, PairConfig(size=64))


@pytest.mark.parametrize("run", ["run", "."])
def test_a_run_among_its_photos_does_not_learn_from_its_own_sheets(tmp_path, tokenizer, run):
    sheets = tmp_path / run / "validation"
    sheets.mkdir(parents=True)
    for path in (tmp_path / "a.png", sheets / "b.png"):
        Image.new("RGB", (64, 64)).save(path)
    config = TrainConfig(data=str(tmp_path), out=str(tmp_path / run))
    assert [*training_data(config, tokenizer).names()] == ["a.png"]


def test_whole_pairs_that_no_network_takes_are_a_sentence(tmp_path, tokenizer):
    photos = tmp_path / "photos"
    photos.mkdir()
    Image.new("RGB", (120, 120)).save(photos / "a.png")

    def batch(**options):
        return Photos(photos, tokenizer, DataConfig(**options), 0, PairConfig(size=100)).batch([0])

    with pytest.raises(XPSRError, match=r"pairs of 100 x 100 pixels.*give crop=SIDE"):
        batch()
    assert batch(crop=64).clean.shape == (1, 3, 64, 64)
