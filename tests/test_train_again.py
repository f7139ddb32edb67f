"""Pairs made before, of photos that have changed since, and of texts by somebody else."""

import json
import os
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image
from training_help import make_photos

from train import describe as describing
from train import prepare as preparing
from train.data import Pairs
from train.describe import describe
from train.manifest import read_manifest
from train.networks import clip_tokenizer
from train.pairing import PrepareConfig, make_pair
from train.prepare import prepare
from xpsr import fingerprint as fingerprints
from xpsr.prompts.auto import Choice

PAIRS = PrepareConfig(variants=2, size=64)
TEXTS = ("prompt", "lowlevel_prompt", "hr_prompt", "hr_lowlevel_prompt")


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """`photos`, two of them of use, and their `pairs`."""
    folder = tmp_path_factory.mktemp("made")
    list(prepare(make_photos(folder / "photos", count=2), folder / "pairs", PAIRS))
    list(describe(folder / "pairs", "measured"))
    return folder


@pytest.fixture
def photos(made, tmp_path) -> Path:
    return shutil.copytree(made / "photos", tmp_path / "photos")  # of the same dates


@pytest.fixture
def pairs(made, tmp_path) -> Path:
    return shutil.copytree(made / "pairs", tmp_path / "pairs")


def turn_over(photo: Path) -> None:
    """Another photo of the same name and size."""
    Image.fromarray(np.array(Image.open(photo))[::-1]).save(photo)


def state(pairs: Path, photo: str) -> list[tuple]:
    """Lines and files of the pairs of a photo, with when those were written."""
    lines = [line for line in read_manifest(pairs) if line["photo"] == photo]
    names = [f"{side}/{line['id']}.png" for line in lines for side in ("HR", "LR")]
    return [(pairs / name).stat().st_mtime_ns for name in names] + [
        {key: line.get(key) for key in ("id", *TEXTS)} for line in lines
    ]


def said(capsys, *arguments, **options) -> str:
    """What the command says."""
    given = {"overrides": ["size=64", "variants=2"], **options}
    try:
        preparing.main(*arguments, **given)
    except typer.Exit as ended:
        assert not ended.exit_code
    return capsys.readouterr().err


def test_pairs_of_a_photo_that_has_changed_are_made_and_described_again(photos, pairs, capsys):
    before, other = read_manifest(pairs), state(pairs, "photo1.png")
    turn_over(photos / "photo0.png")
    told = said(capsys, photos, pairs)
    assert "photo0.png is another photo than before." in told and "photo1.png" not in told
    assert "1 photo has changed since: made again." in told
    lines = read_manifest(pairs)
    assert [line["id"] for line in lines] == [line["id"] for line in before]
    for old, line in zip(before[:2], lines[:2], strict=True):
        hr, lr, _ = make_pair(Image.open(photos / "photo0.png"), PAIRS, line["seed"])
        for side, picture in (("HR", hr), ("LR", lr)):
            stored = Image.open(pairs / side / f"{line['id']}.png")
            assert np.array_equal(np.array(stored), np.array(picture))
        assert line["hr_prompt"] and line["file"]["hash"] != old["file"]["hash"]
    # Upside down is described otherwise, for the levels of light lie elsewhere.
    assert [[line[key] for key in TEXTS] for line in lines[:2]] != [
        [line[key] for key in TEXTS] for line in before[:2]
    ]
    assert state(pairs, "photo1.png") == other
    assert "changed" not in said(capsys, photos, pairs)


def test_new_pictures_never_stand_beside_old_texts(photos, pairs, monkeypatch):
    """Stopped after the files of a pair were written and before its line was."""
    turn_over(photos / "photo0.png")
    save = preparing.save_png

    def stop(picture, path):
        save(picture, path)
        if path.parent.name == "LR":
            raise KeyboardInterrupt

    monkeypatch.setattr(preparing, "save_png", stop)
    with pytest.raises(KeyboardInterrupt):
        list(prepare(photos, pairs, PAIRS))
    assert {line["photo"] for line in read_manifest(pairs)} == {"photo1.png"}
    monkeypatch.undo()
    list(prepare(photos, pairs, PAIRS))
    lines = [line for line in read_manifest(pairs) if line["photo"] == "photo0.png"]
    assert len(lines) == 2 and not any(line.get(key) for line in lines for key in TEXTS)


def test_variants_that_are_not_asked_for_go_with_their_photo(photos, pairs):
    turn_over(photos / "photo0.png")
    list(prepare(photos, pairs, PAIRS.model_copy(update={"variants": 1})))
    names = [line["photo"] for line in read_manifest(pairs)]
    assert names == ["photo0.png", "photo1.png", "photo1.png"]


def test_a_photo_of_another_date_is_the_same_and_read_once_for_that(photos, pairs, monkeypatch):
    before = [state(pairs, f"photo{i}.png") for i in range(2)]
    os.utime(photos / "photo0.png", ns=(1, 1))
    assert not [c for *_, c in prepare(photos, pairs, PAIRS) if c and "broken" not in c][1:]
    assert [state(pairs, f"photo{i}.png") for i in range(2)] == before
    assert read_manifest(pairs)[0]["file"]["mtime_ns"] == 1
    for name in ("broken.jpg", "narrow.png"):  # of no use, they are tried again
        (photos / name).unlink()

    def read(self):
        raise AssertionError(f"{self} is read")

    monkeypatch.setattr(fingerprints.Path, "read_bytes", read)
    list(prepare(photos, pairs, PAIRS))
    os.utime(photos / "photo0.png", ns=(2, 2))
    with pytest.raises(AssertionError, match=r"photo0\.png is read"):
        list(prepare(photos, pairs, PAIRS))


def test_pairs_of_an_earlier_version_go_on_and_are_told_once(photos, pairs, capsys):
    lines = read_manifest(pairs)
    old = [{key: line[key] for key in line if key != "file"} for line in lines]
    (pairs / "manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in old))
    before = [state(pairs, f"photo{i}.png") for i in range(2)]
    assert Pairs(pairs, clip_tokenizer()).pixels == ""
    assert "For 4 pairs in" in (told := said(capsys, photos, pairs)) and "noted yet" in told
    assert read_manifest(pairs) == lines
    assert [state(pairs, f"photo{i}.png") for i in range(2)] == before
    assert "noted yet" not in said(capsys, photos, pairs)
    turn_over(photos / "photo1.png")
    assert "1 photo has changed since" in said(capsys, photos, pairs)


def test_what_pairs_are_made_of_is_part_of_the_data_of_a_run(photos, pairs):
    opened = partial(Pairs, pairs, clip_tokenizer())
    before = opened()
    turn_over(photos / "photo0.png")
    list(prepare(photos, pairs, PAIRS))
    list(describe(pairs, "measured"))
    lines = read_manifest(pairs)
    # Even where the texts happen to be the same.
    of = {line["id"]: line for line in before.lines}
    text = "".join(json.dumps({**line, **of[line["id"]]}) + "\n" for line in lines)
    (pairs / "manifest.jsonl").write_text(text)
    after = opened()
    assert [*after.names()] == [*before.names()]
    assert before.pixels and after.pixels and after.pixels != before.pixels
    assert opened().pixels == after.pixels


def test_a_describer_that_is_named_replaces_the_texts_of_others(photos, pairs, capsys, monkeypatch):
    def authors() -> set[str]:
        return {line[key] for line in read_manifest(pairs) for key in ("describer", "hr_describer")}

    told = said(capsys, photos, pairs, describer="dalpsr")
    assert "8 of 8 pictures have texts by measured; they are described anew by dalpsr." in told
    assert authors() == {"dalpsr"}
    monkeypatch.setattr("xpsr.prompts.auto.choose", lambda: Choice("measured", "No GPU."))
    for describer in (None, "auto"):
        told = said(capsys, photos, pairs, describer=describer)
        assert "8 of 8 pictures have texts by dalpsr, which are kept; name" in told
        assert authors() == {"dalpsr"}
    describing.main(pairs)
    assert "which are kept" in capsys.readouterr().err and authors() == {"dalpsr"}
    turn_over(photos / "photo0.png")
    assert "4 of 8 pictures have texts by dalpsr, which are kept" in said(capsys, photos, pairs)
    assert authors() == {"dalpsr", "measured"}
    assert "texts by" not in said(capsys, photos, pairs, describer="none")
    describing.main(pairs, "measured")
    assert "described anew" in capsys.readouterr().err and authors() == {"measured"}
