"""Scores of a model beside bicubic: right, written at once, taken up again after a stop."""

import csv
import json
import os

import numpy as np
import pytest
import typer
from PIL import Image

import xpsr
from train import validate
from train.files import named_photos
from train.scores import NAMES, better, scores_of
from train.validate import COLUMNS, Examination, Table, examine, read_setting, summary
from xpsr.errors import XPSRError


def test_detail_is_one_for_the_original_and_less_for_a_blurred_picture(picture):
    clean = picture(64, 64)
    blurred = clean.resize((16, 16)).resize((64, 64), Image.Resampling.BICUBIC)
    assert scores_of(clean, clean, blurred.resize((16, 16)))["detail"] == pytest.approx(1)
    assert scores_of(blurred, clean, blurred.resize((16, 16)))["detail"] < 0.5
    assert np.isfinite(scores_of(Image.new("RGB", (64, 64)), clean, clean)["detail"])


def test_better_knows_the_direction_of_every_score():
    assert better("psnr", 30, 20) and better("gmsd", 0.1, 0.2) and better("piqe", 20, 30)
    assert better("detail", 1.1, 0.5) and better("detail", 0.9, 1.5)
    assert not better("ssim", 0.5, 0.5)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("steps=3", "key=value"),
        ("num_inference_steps", "key=value"),
        ("num_inference_steps=3,4", "3,4"),
        ("guidance_scale=99", "30"),
        ("upscale=2", "the keys are"),
        ("guidance_scale=[", "cannot be read"),
    ],
)
def test_wrong_settings_are_refused_before_the_work(text, says):
    with pytest.raises(XPSRError, match=says):
        read_setting(text)


def test_settings_are_read_by_the_kind_of_their_key():
    found = read_setting("preset=fast,num_inference_steps=3, added_prompt=8k")
    assert found == {"preset": "fast", "num_inference_steps": 3, "added_prompt": "8k"}
    assert read_setting("guidance_scale=1e1") == {"guidance_scale": 10.0}
    found = read_setting("lowlevel_negative_prompt=blurry, noisy, low quality,guidance_scale=2")
    assert found == {"lowlevel_negative_prompt": "blurry, noisy, low quality", "guidance_scale": 2}


def test_a_table_cut_short_goes_on_with_its_whole_lines(tmp_path):
    table = Table(tmp_path / "scores.csv")
    values = dict.fromkeys(NAMES, 1.0)
    row = {"recipe": "mild", "degradation_seed": 1, "seed": 0, **values}
    table.add(picture="a,b.png", method="bicubic", **row)
    table.add(picture="c.png", method="bicubic", **(row | {"piqe": None}))
    with (tmp_path / "scores.csv").open("a") as file:
        file.write("mild,d.png,bicu")
    again = Table(tmp_path / "scores.csv")
    os.utime(tmp_path / "scores.csv", (1, 1))
    Table(tmp_path / "scores.csv")
    assert (tmp_path / "scores.csv").stat().st_mtime == 1  # what is whole is not written again
    assert again.has("mild", "a,b.png", "bicubic") and not again.has("mild", "d.png", "bicubic")
    assert again.column("mild", "bicubic", "piqe") == {"a,b.png": 1.0}
    again.add(picture="d.png", method="bicubic", **row)
    with (tmp_path / "scores.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert tuple(rows[0]) == COLUMNS and [r[1] for r in rows[1:]] == ["a,b.png", "c.png", "d.png"]


@pytest.fixture(scope="module")
def mini():
    return xpsr.load("mini")


def test_photos_are_scored_once_and_another_model_is_refused(mini, tmp_path, picture):
    photos = {name: tmp_path / name for name in ("photo.png", "tiny.png")}
    picture(96, 112).save(photos["photo.png"])
    picture(40, 200).save(photos["tiny.png"])
    settings = {text: read_setting(text) for text in ("default", "num_inference_steps=1")}
    out = tmp_path / "report"
    work = Examination(mini, settings, out, photos)
    for recipe in ("mild", "heavy"):
        work.photo("photo.png", recipe)
        work.sheet(recipe)
    first = (out / "scores.csv").read_text()
    assert len(first.splitlines()) == 1 + 2 * 3
    Examination(mini, settings, out, photos).photo("photo.png", "mild")
    assert (out / "scores.csv").read_text() == first
    rows = list(summary(work.table, ["mild", "heavy"], list(settings)))
    assert len(rows) == 5 and all("/1)" in cell for row in rows[1:] for cell in row[3:])
    assert Image.open(out / "sheet_mild.png").size == (256 * 4, 256 * 2)

    with pytest.raises(XPSRError, match="shorter than 64"):
        work.photo("tiny.png", "mild")
    run = json.loads((out / "run.json").read_text())
    (out / "run.json").write_text(json.dumps({**run, "weights_sha256": "other"}))
    with pytest.raises(XPSRError, match="another model"):
        Examination(mini, settings, out, photos)
    (out / "run.json").write_text("")
    with pytest.raises(XPSRError, match=r"run\.json is damaged: .* choose another folder"):
        Examination(mini, settings, out, photos)


def test_another_photo_of_the_same_name_is_refused_and_others_are_not_counted(
    mini, tmp_path, picture
):
    photos = {name: tmp_path / name for name in ("a/1.png", "b/1.png")}
    for seed, path in enumerate(photos.values()):
        path.parent.mkdir()
        picture(64, 64 + 8 * seed).save(path)
    out, first, second = tmp_path / "report", *({name: photos[name]} for name in photos)
    for some in (first, second):
        work = Examination(mini, {}, out, some)
        examine(work, ["mild"])
        assert work.table.column("mild", "bicubic", "psnr").keys() == some.keys()
    with pytest.raises(XPSRError, match=r"a/1\.png .* choose another folder"):
        Examination(mini, {}, out, {"a/1.png": photos["b/1.png"]})
    rows = Table(out / "scores.csv").rows
    assert [row["picture"] for row in rows] == ["a/1.png", "b/1.png"]


def test_photos_of_subfolders_count_and_what_is_made_among_them_does_not(
    mini, tmp_path, picture, monkeypatch, capsys
):
    monkeypatch.setattr(xpsr, "load", lambda name, base: mini)
    (tmp_path / "a").mkdir()
    picture(64, 64).save(tmp_path / "a" / "1.png")
    (tmp_path / "b.jpg").symlink_to("nowhere.jpg")
    out = tmp_path / "report"
    for _ in range(2):
        with pytest.raises(typer.Exit) as ending:
            validate.main(tmp_path, out, recipe=["mild"], setting=["num_inference_steps=1"])
        assert ending.value.exit_code == 1  # a photo was asked for and has no scores
    said = capsys.readouterr()
    assert "b.jpg: left out" in said.err and validate.EXPLAINED in said.out
    assert validate.EXPLAINED in (out / "summary.md").read_text(encoding="utf-8")
    rows = Table(out / "scores.csv").rows
    assert [row["picture"] for row in rows] == ["a/1.png", "a/1.png"]
    (tmp_path / "b.jpg").unlink()
    validate.main(tmp_path, out, recipe=["mild"], setting=["num_inference_steps=1"])
    with pytest.raises(XPSRError, match="no pictures"):
        named_photos(out, out)
