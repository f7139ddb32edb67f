"""Commands on a folder that is in use, or that holds results already."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest
from command_line import QUICK
from PIL import Image

from xpsr import XPSRPipeline
from xpsr.cli.lock import alone
from xpsr.errors import XPSRError
from xpsr.evaluation.pairs import find_pairs
from xpsr.recipe import read_recipe

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def photos(picture, tmp_path: Path) -> Path:
    """Three small pictures that differ."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for index, name in enumerate("abc"):
        picture(24 + index, 20).save(folder / f"{name}.png")
    return folder


def test_a_folder_is_of_one_command_at_a_time(
    xpsr, photos: Path, tiny: Path, tmp_path: Path, monkeypatch
) -> None:
    out = tmp_path / "out"
    commands = (
        ("ablate", photos / "a.png", "--plan", "levels", "--out", tmp_path / "free" / ".." / "out"),
        ("evaluate", "--lr", photos, "--out", out),
    )
    with alone(out):
        for command in commands:
            done = xpsr(*command, "--model", tiny, *QUICK)
            assert (done.code, done.out) == (2, ""), command
            assert f"at work in {out}" in done.err
        monkeypatch.setenv("RANK", "1")
        monkeypatch.setenv("WORLD_SIZE", "2")
        with alone(out, shared=True):  # the first process of a launch holds it for the others
            pass
    assert not out.exists() and not (tmp_path / "free").exists()
    with pytest.raises(XPSRError), alone(out), alone(out):
        pass


@pytest.mark.parametrize("same", [True, False])
def test_of_two_runs_into_one_folder_neither_loses_a_picture(
    same, xpsr, photos: Path, tiny: Path, tmp_path: Path, monkeypatch
) -> None:
    """As with a line a picture in several terminals: what the other has finished meanwhile stays,
    unless it is a result of the same picture."""
    out = tmp_path / "out"
    common = ("--model", tiny, *QUICK)
    assert xpsr("restore", photos / "a.png", "--out", tmp_path, *common, "--seed", "5").code == 0
    (tmp_path / "b").mkdir()
    other = photos / "a.png" if same else (photos / "b.png").rename(tmp_path / "b" / "a.png")
    stream = XPSRPipeline.stream

    def overtaken(*arguments, **options):
        found = [*stream(*arguments, **options)]
        (tmp_path / "a.png").replace(out / "a.png")
        yield from found

    monkeypatch.setattr(XPSRPipeline, "stream", overtaken)
    done = xpsr("restore", other, "--out", out, *common)
    seed = read_recipe(out / "a.png").seed
    if same:
        assert done.code == 0 and seed == 0 and "another run meanwhile" in done.err
    else:
        assert done.code == 1 and seed == 5 and "result of another picture" in done.err


def test_where_no_lock_can_be_had_it_is_said(tmp_path: Path, monkeypatch, caplog) -> None:
    def refused(*_, **__) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("filelock.FileLock.acquire", refused)
    with alone(tmp_path):
        pass
    assert f"{tmp_path} cannot be kept from other commands (No locks available)" in caplog.text


def test_what_is_there_from_the_same_run_is_kept(
    xpsr, photos: Path, tiny: Path, tmp_path: Path, monkeypatch
) -> None:
    """As after Ctrl-C: the same command makes what is missing, and nothing twice."""
    out = tmp_path / "out"
    common = ("restore", photos, "--out", out, "--model", tiny, *QUICK)
    first = xpsr(*common)
    assert first.code == 0, first.err
    assert all(set(one) == {*first.records[0]} and "kept" not in one for one in first.records)
    (out / "b.png").unlink()
    times = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    runs, stream = [], XPSRPipeline.stream

    def watched(pipe: XPSRPipeline, source: str, *more, **named):
        runs.append(source)
        return stream(pipe, source, *more, **named)

    monkeypatch.setattr(XPSRPipeline, "stream", watched)
    again = xpsr(*common)
    assert again.code == 0 and "2 of 3 results were there already and are kept" in again.err
    assert runs == [str(photos / "b.png")] and "made again" not in again.err
    assert times == {n: (out / n).stat().st_mtime_ns for n in times}
    for before, now in zip(first.records, again.records, strict=True):
        same = {name: before[name] for name in before if name != "seconds"}
        assert {name: now[name] for name in same} == same
        assert now.get("kept", False) == (now["seconds"] == 0)

    # Anything else that the pixels hang on, and it is made again; its own reason is said.
    for options, words in (
        (("--seed", "9"), "seed was 0 and is 9"),
        (("--seed", "9", "--prompt", "A cat."), "another prompt"),
        (("--seed", "9", "--prompt", "A cat.", "--word-maps", tmp_path / "maps"), "word maps are"),
    ):
        runs.clear()
        done = xpsr(*common[:1], photos / "a.png", *common[2:], *options)
        assert done.code == 0 and len(runs) == 1
        assert f"{out / 'a.png'} is made again: " in done.err and words in done.err


def test_results_of_another_picture_are_not_written_over(
    xpsr, photos: Path, tiny: Path, tmp_path: Path, picture
) -> None:
    out, others = tmp_path / "out", tmp_path / "others"
    common = ("--out", out, "--model", tiny, *QUICK)
    assert xpsr("restore", photos, *common).code == 0
    shutil.copytree(photos, others)
    picture(24, 24).save(others / "a.png")
    with Image.open(out / "b.png") as result:  # painted on, and saved with what the file had
        result.load()
        painted, texts = Image.new("RGB", result.size), result.text
    from PIL.PngImagePlugin import PngInfo

    note = PngInfo()
    note.add_itxt("xpsr", texts["xpsr"])
    painted.save(out / "b.png", pnginfo=note)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    done = xpsr("restore", others, *common, "--seed", "9")
    assert done.code == 1
    errors = [one.get("error", "") for one in done.records]
    assert "is the result of another picture" in errors[0] and "was changed after" in errors[1]
    assert errors[2] == ""
    assert {n for n in before if before[n] != (out / n).read_bytes()} == {"c.png"}
    shutil.copy(out / "c.png", tmp_path / "a.png")
    named = ("--image", others / "c.png", "--model", tiny, "--out", out)
    done = xpsr("rerun", tmp_path / "a.png", *named)
    assert (done.code, done.out) == (2, "") and "is the result of another picture" in done.err


@pytest.mark.parametrize("place", ["results", "maps"])
def test_a_full_disk_ends_the_run(
    xpsr, photos: Path, tiny: Path, tmp_path: Path, monkeypatch, place: str
) -> None:
    def full(*_) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    maps = tmp_path / "maps"
    wrong = {"results": "xpsr.recipe.save_png", "maps": "xpsr.wordmaps.WordMaps.save"}
    monkeypatch.setattr(wrong[place], full)
    common = ("--out", tmp_path / "out", "--model", tiny, "--word-maps", maps, *QUICK)
    done = xpsr("restore", photos, *common)
    assert done.code == 2 and "Traceback" not in done.err
    assert "the disk is full" in done.err and "run the same command again" in done.err
    assert list(maps.iterdir()) == []
    if place == "results":
        assert done.out == "" and list((tmp_path / "out").iterdir()) == []
    else:  # the first result is finished, and its line tells both
        (record,) = done.records
        assert Path(record["output"]).is_file() and "the disk is full" in record["error"]


def test_pictures_in_subfolders_are_counted(xpsr, photos: Path, tmp_path: Path) -> None:
    for place in ("deeper/still", ".hidden", "out"):
        (photos / place).mkdir(parents=True)
        shutil.copy(photos / "a.png", photos / place / "d.png")
    (photos / "deeper" / "notes.txt").write_text("no picture")
    done = xpsr("describe", photos)
    assert done.code == 0 and len(done.records) == 3
    assert f"subfolders of {photos} are not read (2)" in done.err
    done = xpsr("restore", photos, "--out", photos / "out", "--preset", "none")
    assert done.code == 2 and f"subfolders of {photos} are not read (1)" in done.err


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows keeps its pipes elsewhere")
def test_a_pipe_in_a_folder_holds_nothing_up(xpsr, photos: Path) -> None:
    for name in ("pipe", "pipe.png"):
        os.mkfifo(photos / name)
    done = xpsr("describe", photos)
    assert done.code == 1 and len(done.records) == 4
    assert "is a pipe or a device" in done.records[-1]["error"]
    assert find_pairs([photos / "pipe.png"], [photos / "pipe.png"], 2).problems == {}
