"""Evaluating again in a folder that is there already: what still holds and what does not."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

import pytest
from PIL import Image, ImageOps

from xpsr import metric_models
from xpsr.evaluation import table
from xpsr.evaluation.fid import fid_of_set
from xpsr.evaluation.pairs import Pair
from xpsr.image import pixel_sha256
from xpsr.metrics import Score
from xpsr.recipe import read_recipe, save_png

QUICK = ("--num-inference-steps", "1", "--upscale", "2", "--preset", "mini")

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def photos(tmp_path: Path, picture) -> Path:
    """Three inputs of 24 x 20, and their originals twice as large."""
    folder = tmp_path / "set"
    for part in ("LR", "HR"):
        (folder / part).mkdir(parents=True)
    for number in range(3):
        large = picture(48, 40).point(lambda v, n=number: min(255, v + 20 * n))
        large.save(folder / "HR" / f"Canon_{number:03}_HR.png")
        large.resize((24, 20)).save(folder / "LR" / f"Canon_{number:03}_LR4.png")
    return folder


def arrive(monkeypatch: pytest.MonkeyPatch, name: str, judge: Callable) -> None:
    """A score whose weights would have to be fetched can be had."""
    arrived: Future = Future()
    arrived.set_result(judge)
    attempt = metric_models._Attempt(arrived, True, float("inf"))
    monkeypatch.setattr(metric_models, "_attempts", {name: attempt})


def test_figures_of_replaced_pictures_are_not_taken_over(
    xpsr, photos: Path, tiny: Path, tmp_path: Path, picture
) -> None:
    """The names stay, and the pixels behind them do not."""
    out = tmp_path / "out"
    chosen = ("--model", tiny, "--metrics", "psnr", "--out", out, *QUICK)
    low, high, others = photos / "LR", photos / "HR", tmp_path / "others"
    options = ("--lr", low, "--hr", high, *chosen)
    first = xpsr("evaluate", *options)
    assert first.code == 0, first.err
    assert len(xpsr("evaluate", *options).records) == 1  # all three rows are there
    kept = {path.name: path.stat().st_mtime_ns for path in (out / "pictures").iterdir()}

    others.mkdir()
    for path in high.iterdir():
        Image.open(path).point(lambda v: 255 - v).save(others / path.name)
    *rows, last = xpsr("evaluate", "--lr", low, "--hr", others, *chosen).records
    assert len(rows) == 3 and last["lines"] != first.records[-1]["lines"]
    assert kept == {path.name: path.stat().st_mtime_ns for path in (out / "pictures").iterdir()}

    picture(24, 20).rotate(90).resize((24, 20)).save(low / "Canon_001_LR4.png")
    row, last = xpsr("evaluate", "--lr", low, "--hr", others, *chosen).records
    assert row["name"] == "Canon_001_LR4"
    fresh = xpsr("evaluate", "--lr", low, "--hr", others, *chosen, "--out", tmp_path / "b")
    assert fresh.records[-1]["lines"] == last["lines"]

    Image.new("RGB", (8, 8)).save(low / "Canon_001_LR4.png")  # too small to be used at all
    spoilt = xpsr("evaluate", "--lr", low, "--hr", others, *chosen)
    assert spoilt.code == 1 and "Means over 2 pictures" in (out / "table.md").read_text("utf-8")


def test_another_number_format_is_another_evaluation(
    xpsr, photos: Path, tiny: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    options = ("--lr", photos, "--model", tiny, "--metrics", "psnr", "--limit", "1", *QUICK)
    options += ("--out", out, "--device", "cpu")
    assert xpsr("evaluate", *options).code == 0
    assert xpsr("evaluate", *options, "--dtype", "float32").code == 0  # said, and the same
    for other, words in (
        (("--dtype", "bfloat16"), "--dtype float32"),
        (("--base", "x"), "--base left out, and now it is x;"),
        (("--no-describe",), "--describer measured, and now it is left out;"),
    ):
        done = xpsr("evaluate", *options, *other)
        assert (done.code, done.out) == (2, "") and words in done.err

    # A folder from before this was written down: what is there of another kind is made again.
    said = json.loads((out / "options.json").read_text("utf-8"))
    (out / "options.json").write_text("[1]", encoding="utf-8")
    done = xpsr("evaluate", *options)
    assert (done.code, done.out) == (2, "") and "options.json cannot be read" in done.err
    older = {name: said[name] for name in said if name not in ("base", "device", "dtype")}
    (out / "options.json").write_text(json.dumps(older), encoding="utf-8")
    row = json.loads((out / "rows.jsonl").read_text("utf-8").splitlines()[0])
    row = {name: row[name] for name in row if not name.endswith("t_sha256")}
    assert "input_sha256" not in row and "sha256" in row
    (out / "rows.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
    assert xpsr("evaluate", *options, "--dtype", "bfloat16").code == 0
    (path,) = (out / "pictures").iterdir()
    assert read_recipe(path).dtype == "bfloat16"
    assert json.loads((out / "options.json").read_text("utf-8"))["dtype"] == "bfloat16"


@pytest.mark.usefixtures("no_downloads")
def test_a_score_that_could_not_be_fetched_is_asked_for_when_it_can_be(
    xpsr, photos: Path, tiny: Path, tmp_path: Path, monkeypatch
) -> None:
    """Only the scores are made anew, and only once there is one."""
    out = tmp_path / "out"
    options = ("--lr", photos, "--model", tiny, "--metrics", "psnr,brisque", "--out", out, *QUICK)
    first = xpsr("evaluate", *options)
    assert "needs a download" in first.records[-1]["missing"]["brisque"]
    assert len(xpsr("evaluate", *options).records) == 1  # still nothing to be had: nothing to do
    kept = {path.name: path.stat().st_mtime_ns for path in (out / "pictures").iterdir()}

    arrive(monkeypatch, "brisque", lambda picture: picture.mean())
    *rows, last = xpsr("evaluate", *options).records
    assert len(rows) == 3 and 0 < last["lines"][0]["scores"]["brisque"] < 1
    assert kept == {path.name: path.stat().st_mtime_ns for path in (out / "pictures").iterdir()}
    assert len(xpsr("evaluate", *options).records) == 1


def test_a_result_that_is_gone_or_was_replaced_is_made_again(
    xpsr, photos: Path, tiny: Path, tmp_path: Path, monkeypatch
) -> None:
    """FID looks at all results: a set with a hole, or with another picture in it, has none."""
    arrive(monkeypatch, "fid", lambda results, originals: len([*Path(results).iterdir()]))
    out = tmp_path / "out"
    options = ("--lr", photos, "--model", tiny, "--metrics", "psnr,fid", "--out", out, *QUICK)
    first = xpsr("evaluate", *options)
    assert first.code == 0 and first.records[-1]["lines"][0]["scores"]["fid"] == 3
    whole = {path.name: path.read_bytes() for path in (out / "pictures").iterdir()}
    gone, replaced, _ = sorted((out / "pictures").iterdir())
    gone.unlink()
    recipe = read_recipe(replaced)
    save_png(ImageOps.invert(Image.open(replaced).convert("RGB")), recipe, replaced)
    done = xpsr("evaluate", *options)
    assert done.code == 0, done.err
    *rows, last = done.records
    assert [row["name"] for row in rows] == [gone.stem, replaced.stem]
    assert last["lines"] == first.records[-1]["lines"]
    assert whole == {path.name: path.read_bytes() for path in (out / "pictures").iterdir()}

    # Gone after the rows were made: the column is empty and says why.
    pairs = [Pair(row["name"], photos / "LR" / f"{row['name']}.png", gone) for row in rows]
    for spoil in (replaced.unlink, lambda: Image.new("RGB", (48, 40)).save(replaced)):
        spoil()
        found = fid_of_set(pairs, rows, out / "pictures")
        assert {found[key]["fid"].reason for key in found} == {
            f"needs all results, and {replaced.name} is gone or was changed"
        }
    pairs = [Pair(gone.stem, photos / "LR" / f"{gone.stem}.png", tmp_path / "nowhere.png")]
    reason = fid_of_set(pairs, rows[:1], out / "pictures")["scores"]["fid"].reason
    assert reason and "nowhere.png" in reason and reason[-1] != "."


def test_seconds_are_those_of_the_restoring(
    xpsr, photos: Path, tiny: Path, tmp_path: Path, monkeypatch
) -> None:
    out = tmp_path / "out"
    options = ("--lr", photos, "--model", tiny, "--out", out, *QUICK)

    def seconds(*more: str) -> list[str]:
        assert xpsr("evaluate", *options, *more).code == 0
        with (out / "rows.csv").open(encoding="utf-8", newline="") as file:
            return [row["seconds"] for row in csv.DictReader(file)]

    took = seconds("--metrics", "psnr")
    assert len(took) == 3 and all(float(one) > 0 for one in took)
    assert seconds("--metrics", "psnr,piqe") == took  # judged again
    assert seconds("--metrics", "psnr,gmsd") == took
    (out / "rows.jsonl").unlink()  # as after a stop between a result and its row
    assert seconds("--metrics", "psnr") == ["", "", ""]


def test_what_was_not_asked_for_is_no_problem(
    xpsr, photos: Path, tiny: Path, tmp_path: Path
) -> None:
    for number in (0, 2):
        (photos / "HR" / f"Canon_00{number}_HR.png").unlink()
    options = ("--lr", photos, "--model", tiny, "--metrics", "psnr", *QUICK)
    for limit, named in ((1, {"000"}), (2, {"000", "002"})):
        done = xpsr("evaluate", *options, "--limit", f"{limit}", "--out", tmp_path / f"{limit}")
        assert done.code == 1
        text = done.err + (tmp_path / f"{limit}" / "table.md").read_text("utf-8")
        assert named == {one for one in ("000", "001", "002") if f"{one}_LR4.png has no" in text}
    (photos / "LR" / "Canon_000_LR4.png").unlink()
    done = xpsr("evaluate", *options, "--limit", "1", "--out", tmp_path / "fine")
    assert done.code == 0 and "has no original" not in done.err


def test_names_that_are_no_text_and_a_folder_of_ones_own(
    xpsr, photos: Path, tiny: Path, tmp_path: Path
) -> None:
    """On the disk a name is any bytes; the results may lie among the inputs."""
    low = photos / "LR"
    try:
        (low / "Canon_000_LR4.png").rename(low / os.fsdecode(b"odd \xff.png"))
        (low / "Canon_001_LR4.png").rename(low / os.fsdecode(b"broken \xff.png"))
        low = low.rename(photos / os.fsdecode(b"set \xff"))
    except (OSError, UnicodeError) as error:
        pytest.skip(f"this disk takes no such name: {error}")
    next(low.glob("broken*")).write_bytes(b"no picture")
    options = ("--lr", low, "--model", tiny, "--metrics", "piqe", "--out", low, *QUICK)
    for _ in range(2):
        done = xpsr("evaluate", *options)
        assert done.code == 1 and "Traceback" not in done.err, done.err
        assert "subfolders" not in done.err  # there are none but its own
    text = (low / "table.md").read_text("utf-8")
    assert "# set \\\\udcff, 2 pictures" in text
    assert "Not in the means: broken \\udcff: " in text
    assert "odd \\udcff," in (low / "rows.csv").read_text("utf-8")
    assert "set \\udcff" in (low / "plot.svg").read_text("utf-8")
    lost = xpsr("evaluate", *options, "--published", tmp_path / "no.csv")
    assert lost.code == 2 and "no.csv cannot be read as CSV: No such file" in lost.err


def test_published_lines_of_a_set_of_ones_own_go_by_its_name(tmp_path: Path, caplog) -> None:
    more = tmp_path / "more.csv"
    more.write_text("dataset,method,psnr,source\nholiday,Own,30.5,a paper\n")
    assert [line.method for line in table.published("holiday", more)] == ["XPSR", "Own"]
    assert not caplog.text
    assert table.published("photos", more) == [] and '"photos" in their column' in caplog.text


def test_a_set_too_small_for_fid_has_none(picture, tmp_path: Path, monkeypatch) -> None:
    arrive(monkeypatch, "fid", lambda results, originals: float("nan"))
    picture(32, 32).save(tmp_path / "a.png")
    row = {"sha256": pixel_sha256(picture(32, 32))}
    found = fid_of_set([Pair("a", tmp_path / "a.png", tmp_path / "a.png")], [row], tmp_path)
    assert found["scores"]["fid"] == Score(None, "has no value for so few pictures")


@pytest.mark.parametrize(("count", "few"), [(10, True), (2048, False), (None, False)])
def test_fid_of_few_pictures_says_so(count: int | None, few: bool) -> None:
    line = table.Line("mini", {"fid": 90.0}, table.MEASURED if count else "a paper", count)
    assert (table.FEW_FOR_FID in table.to_markdown(table.Table("x", ["fid"], [line]))) is few
