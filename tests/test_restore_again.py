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
from xpsr.cli.files import plan_results
from xpsr.cli.kept import kept_names
from xpsr.cli.lock import alone
from xpsr.errors import XPSRError
from xpsr.evaluation.pairs import find_pairs
from xpsr.image import pixel_sha256
from xpsr.prompts import Prompts
from xpsr.recipe import Recipe, Versions, read_recipe, save_png
from xpsr.settings import Settings

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


def result_of(picture: Path, place: Path) -> None:
    """A file as a run leaves it there."""
    image = Image.open(picture).convert("RGB")
    facts = {f"{side}_sha256": pixel_sha256(image) for side in ("input", "output")}
    facts |= {f"{side}_size": image.size for side in ("input", "output")}
    made_with = {"model": "tiny", "versions": Versions.here(), "device": "cpu", "dtype": "float32"}
    recipe = Recipe(prompts=Prompts(), settings=Settings(), **made_with, **facts)
    save_png(image, recipe, place)


def test_a_result_stays_that_of_its_picture_whatever_comes_or_goes(
    photos: Path, tmp_path: Path, picture
) -> None:
    """Of pictures with equal names: the newcomer gets the next name, and nothing is made twice."""
    out = tmp_path / "out"

    def plan(*names: str) -> dict[str, str]:
        pictures = [photos / name for name in names]
        results = plan_results(pictures, out, kept_names(pictures, out))
        return {name: result.stem for name, result in zip(names, results, strict=True)}

    assert plan("b.bmp", "b.png") == {"b.bmp": "b", "b.png": "b-2"}
    out.mkdir()
    result_of(photos / "b.png", out / "b.png")
    for number, name in enumerate(("b.bmp", "B.tif", "b-3.png")):
        picture(20, 28 + number).save(photos / name)
    first = {"b.bmp": "b-2", "b.png": "b"}
    assert plan("b.bmp", "b.png") == first
    result_of(photos / "b.bmp", out / "b-2.png")
    # One of the pictures has the name with a number itself.
    every = {"B.tif": "B-4", "b-3.png": "b-3", **first}
    assert plan(*every) == every
    result_of(photos / "B.tif", out / "B-4.png")
    for name in every:  # the others are gone
        assert plan(name) == {name: every[name]}
    # The same picture twice has two results; what cannot be read has none, and stops nobody.
    Image.open(photos / "b.bmp").save(photos / "b.tif")
    (photos / "b.gif").write_bytes(b"no picture")
    assert plan("b.bmp", "b.tif") == {"b.bmp": "b-2", "b.tif": "b"}
    assert plan("b.gif", "b.bmp", "b.png", "b.tif") == {"b.gif": "b-3", "b.tif": "b-4", **first}


def test_a_picture_of_equal_name_can_be_added(
    xpsr, photos: Path, tiny: Path, tmp_path: Path, picture
) -> None:
    for name in "ac":
        (photos / f"{name}.png").unlink()
    command = ("restore", photos, "--out", tmp_path / "out", "--model", tiny, *QUICK)
    (first,) = xpsr(*command).records
    picture(28, 20).save(photos / "b.bmp")  # which comes before the other
    done = xpsr(*command)
    assert done.code == 0, done.err
    new, old = done.records
    assert old == {**first, "seconds": 0.0, "kept": True}
    assert Path(new["output"]).name == "b-2.png" and "kept" not in new


def test_word_maps_are_kept_with_their_result_and_never_lost_to_another_picture(
    xpsr, photos: Path, tiny: Path, tmp_path: Path, picture
) -> None:
    (photos / "c.png").unlink()
    out, maps = tmp_path / "out", tmp_path / "maps"
    plain = ("restore", photos, "--out", out, "--model", tiny, *QUICK, "--no-describe")
    plain += ("--prompt", "A wall")  # a sheet of few words is soon drawn
    mapped = (*plain, "--word-maps", maps)
    assert xpsr(*mapped).code == 0

    def made(*command: str | Path) -> list[str]:
        done = xpsr(*command)
        assert done.code == 0, done.err
        return [Path(one["input"]).stem for one in done.records if "kept" not in one]

    times = {path: path.stat().st_mtime_ns for path in (*out.iterdir(), *maps.iterdir())}
    assert len(times) == 6 and made(*mapped) == []
    assert times == {path: path.stat().st_mtime_ns for path in times}
    (maps / "a.png").unlink()  # one half of them
    assert made(*mapped) == ["a"]
    # Made again without maps: those that are there are of what was there before.
    assert made(*plain, "--seed", "9") == ["a", "b"]
    assert made(*mapped, "--seed", "9") == ["a", "b"] and made(*mapped, "--seed", "9") == []

    picture(30, 30).save(photos / "a.png")
    (maps / "b.npz").write_bytes(b"of somebody else")
    before = {path: path.read_bytes() for path in maps.iterdir()}
    done = xpsr(*mapped, "--out", tmp_path / "elsewhere")
    errors = [one["error"] for one in done.records]
    assert done.code == 1 and "holds the word maps of another picture" in errors[0]
    assert "does not tell which picture it is of" in errors[1]
    assert before == {path: path.read_bytes() for path in maps.iterdir()}
    assert list((tmp_path / "elsewhere").iterdir()) == []


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


@pytest.mark.skipif(os.name == "nt", reason="Windows asks for rights to make a link")
def test_links_in_a_circle_hold_nothing_up(photos: Path, tmp_path: Path) -> None:
    (photos / "loop.png").symlink_to("loop.png")
    (result,) = plan_results([photos / "loop.png"], tmp_path)
    assert result == tmp_path / "loop.png"
    with pytest.raises(XPSRError, match="one of the pictures themselves"):
        plan_results([photos / "a.png"], photos)
