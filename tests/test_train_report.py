"""The project's own evaluation: sets are made once, and their tables become one."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from PIL import Image

from train.report import PictureSet, degraded, main, rows
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
