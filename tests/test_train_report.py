"""The project's own evaluation: sets are made once, and their tables become one."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import typer
from PIL import Image

from train.report import SIDE, PictureSet, degraded, main, rows, sheet
from xpsr.errors import XPSRError


def test_degraded_photos_are_made_once_and_again_the_same(picture, tmp_path: Path) -> None:
    (tmp_path / "val").mkdir()
    picture(72, 64).save(tmp_path / "val" / "a.png")
    picture(32, 32).save(tmp_path / "val" / "small.png")
    found = degraded(tmp_path / "val", "mild", tmp_path / "one", None)
    assert [path.name for path in found.high.iterdir()] == ["a.png"]  # the small one is left out
    low = found.low / "a.png"
    with Image.open(low) as image:
        assert image.size == (16, 16)
    before = low.stat().st_mtime_ns, low.read_bytes()
    degraded(tmp_path / "val", "mild", tmp_path / "one", None)
    assert low.stat().st_mtime_ns == before[0]
    again = degraded(tmp_path / "val", "mild", tmp_path / "two", None)
    assert (again.low / "a.png").read_bytes() == before[1]


def test_photos_of_one_name_are_two_and_another_one_is_refused(picture, tmp_path: Path) -> None:
    for number, name in enumerate(("val/a/1.png", "val/b/1.png", "other/val/1.png")):
        (tmp_path / name).parent.mkdir(parents=True)
        picture(64, 72 + 8 * number).save(tmp_path / name)
    out = tmp_path / "out"
    degraded(tmp_path / "val", "mild", out, 1)
    found = degraded(tmp_path / "val", "mild", out, None)
    assert sorted(path.name for path in found.low.iterdir()) == ["a_1.png", "b_1.png"]
    with pytest.raises(XPSRError, match="other photos"):
        degraded(tmp_path / "other" / "val", "mild", out, None)
    picture(80, 80).save(tmp_path / "val" / "b" / "1.png")
    with pytest.raises(XPSRError, match="other photos"):
        degraded(tmp_path / "val", "mild", out, 1)
    picture(80, 80).save(tmp_path / "val" / "b" / "1.jpg")
    with pytest.raises(XPSRError, match=r"both be b_1\.png"):
        degraded(tmp_path / "val", "mild", tmp_path / "new", None)
    (out / "photos.json").write_text("")
    (tmp_path / "val" / "b" / "1.jpg").unlink()
    with pytest.raises(XPSRError, match=r"photos\.json is damaged: .*another folder for --out"):
        degraded(tmp_path / "val", "mild", out, None)


def test_tables_of_all_sets_become_one(tmp_path: Path) -> None:
    (tmp_path / "val-paper").mkdir()
    (tmp_path / "val-paper" / "table.csv").write_text(
        "dataset,method,psnr,piqe,pictures,source\n"
        "x,mini,23.456,80.5,3,measured\nx,bicubic,22,90,3,measured\nx,Other,25,,,a paper\n"
    )
    head, *lines = rows([PictureSet("val, paper", tmp_path, tmp_path)], tmp_path)
    assert head[:3] == ["Set", "Pictures", "Method"]
    assert lines == [
        ["val, paper", "3", "mini", "23.46", "–", "–", "80.5", "–"],
        ["val, paper", "3", "bicubic", "22.00", "–", "–", "90.0", "–"],
    ]


def test_nothing_to_do_is_said(tmp_path: Path, capsys) -> None:
    cases = (
        ({}, "at least one"),
        ({"val": tmp_path / "no"}, "no folder"),
        ({"pairs": tmp_path, "real": tmp_path}, f"both named {tmp_path.name}"),
        ({"pairs": tmp_path}, f"no folder {tmp_path / 'LR'}"),
    )
    for given, words in cases:
        with pytest.raises(typer.Exit):
            main(out=tmp_path, **given)
        assert words in capsys.readouterr().err


def test_what_was_left_out_is_in_the_exit_code(picture, tmp_path: Path, monkeypatch) -> None:
    """A set degraded here, and one whose evaluation leaves pictures out, or all of them."""
    (tmp_path / "val").mkdir()
    picture(72, 64).save(tmp_path / "val" / "a.png")
    codes: list[int] = []

    def evaluated(command: list[str], **_) -> subprocess.CompletedProcess:
        assert command[-6:] == ["--model", "mini", "--preset", "faithful", "--limit", "3"]
        out = Path(command[command.index("--out") + 1])
        (out / "pictures").mkdir(parents=True, exist_ok=True)
        if codes[0] < 2:
            picture(64, 64).save(out / "pictures" / "a.png")
            text = "dataset,method,psnr,pictures,source\nx,mini,22,1,measured\n"
            (out / "table.csv").write_text(text)
        return subprocess.CompletedProcess(command, min(codes[0], 1))

    def ending(name: str, code: int = 0) -> int:
        codes[:] = [code]
        try:
            main(out=tmp_path / name, val=tmp_path / "val", preset="faithful", limit=3)
        except typer.Exit as error:
            return error.exit_code
        return 0

    monkeypatch.setattr(subprocess, "run", evaluated)
    assert ending("one") == 0
    assert ending("one", code=1) == 1
    assert ending("two", code=2) == 2  # 1 as well, and there is no table
    (tmp_path / "val" / "b.png").write_bytes(b"no picture")
    assert ending("one") == ending("one") == 1


def test_the_sheet_finds_what_its_pictures_were_made_of(picture, tmp_path: Path) -> None:
    """Of the field's sets, with names of their own, and of two with equal names."""
    for place, side in (("LR/Canon_1_LR4.png", 16), ("HR/Canon_1_HR.png", 64)):
        (tmp_path / "pairs" / place).parent.mkdir(parents=True)
        picture(side, side).save(tmp_path / "pairs" / place)
    (tmp_path / "real").mkdir()
    for name in ("b [1].png", "b [1].bmp"):
        picture(16, 16).save(tmp_path / "real" / name)
    pairs = PictureSet("pairs", tmp_path / "pairs" / "LR", tmp_path / "pairs" / "HR")
    real = PictureSet("real", tmp_path / "real", None)
    for name in ("pairs/pictures/Canon_1_LR4", "real/pictures/b [1]", "real/pictures/b [1]-2"):
        place = tmp_path / f"out/{name}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (64, 64)).save(place)
    found = sheet([pairs, real], tmp_path / "out")
    rows = [[found.crop((x, y, x + SIDE, y + SIDE)).getextrema() for x in (0, SIDE, 2 * SIDE)]
            for y in range(0, found.height, SIDE)]  # fmt: skip
    white = ((255, 255),) * 3
    assert [row[2] == white for row in rows] == [False, True, True]  # which have an original
    assert all(row[0] != row[1] for row in rows)


@pytest.mark.parametrize(
    ("options", "said"),
    [({"model": "nowhere"}, 'no model "nowhere"'), ({"preset": "best"}, 'no preset "best"')],
)
def test_a_wrong_model_is_told_before_a_photo_is_degraded(
    picture, tmp_path: Path, capsys, options, said
) -> None:
    (tmp_path / "val").mkdir()
    picture(72, 64).save(tmp_path / "val" / "a.png")
    with pytest.raises(typer.Exit):
        main(out=tmp_path / "out", val=tmp_path / "val", **options)
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out" / "made").exists()
