"""`python -m xpsr ablate`: what it prints, leaves behind and says when it is misused or stopped."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from typer.main import get_command
from typer.testing import CliRunner

from xpsr.__main__ import app
from xpsr.cli.options import RUN
from xpsr.recipe import read_recipe

ROOT = Path(__file__).resolve().parents[1]
QUICK = ("--num-inference-steps", "1", "--upscale", "2", "--preset", "mini")


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def photo(picture, tmp_path: Path) -> Path:
    picture(24, 20).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def test_levels_from_start_to_rerun(xpsr, photo: Path, tiny: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    common = ("--model", tiny, "--plan", "levels", "--seeds", "2", "--out", out, *QUICK)
    price = xpsr("ablate", photo, "--dry-run", *common)
    assert (price.code, price.out) == (0, "")
    assert "8 cells" in price.err and "only 2 seeds" in price.err
    assert not out.exists()  # where one step is a whole run, as here, its cell is not kept either
    done = xpsr("ablate", photo, *common)
    assert done.code == 0, done.err
    *cells, last = done.records
    assert len(cells) == 8 and {cell["origin"] for cell in cells} <= {"computed", "resumed"}
    assert done.err.index("8 cells") < done.err.index("report")
    assert len(last["effects"]) == 3 * 2
    for name in ("report.html", "scores.csv", "effects.csv", "ablation.zip", "environment.json"):
        assert (out / name).is_file()

    # The cell of both levels is what `restore` gives.
    normal = xpsr("restore", photo, "--model", tiny, "--seed", "1", "--out", tmp_path / "r", *QUICK)
    both = next(c for c in cells if (c["variant"], c["seed"]) == ("both levels", 1))
    assert normal.records[0]["sha256"] == both["sha256"]

    # Any cell repeats itself; its input lies beside it.
    for cell in cells[:2]:
        assert read_recipe(cell["output"]).output_sha256 == cell["sha256"]
        rerun = xpsr("rerun", cell["output"], "--model", tiny, "--out", tmp_path / "again")
        assert rerun.out == "identical\n", rerun.err

    again = xpsr("ablate", photo, *common).records
    assert {cell["origin"] for cell in again[:-1]} == {"resumed"}
    assert again[-1] == last

    # Another plan writes its own report: said before the start, also by a dry run.
    report = (out / "report.html").read_bytes()
    others = ("--model", tiny, "--plan", "swap", "--seeds", "2", "--out", out, *QUICK)
    told = xpsr("ablate", photo, "--dry-run", *others)
    assert told.code == 0 and 'seeds (plan "levels"), which the new one replaces' in told.err
    assert (out / "report.html").read_bytes() == report
    fewer = xpsr("ablate", photo, "--dry-run", *common, "--seeds", "1")
    more = xpsr("ablate", photo, "--dry-run", *common, "--seeds", "3")
    assert "one replaces" in fewer.err and "one replaces" not in more.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--plan", "beauty"), 'no plan "beauty"'),
        (("--plan", "levels", "--values", "1,2"), "--values belongs to"),
        (("--plan", "grid"), "--axis"),
        (("--plan", "csv"), "--csv FILE"),
        # Before a model is loaded, which may take minutes.
        (("--plan", "csv", "--csv", "nowhere.csv", "--model", "no-such-model"), "nowhere.csv"),
        (("--plan", "guidance", "--values", "1,high"), "write numbers"),
        (("--plan", "guidance", "--values", "99"), "guidance_scale is 99"),
        (("--plan", "negatives"), "guidance_scale is 1"),
        (("--plan", "words", "--text", "caption"), "caption"),
        (("--plan", "levels", "--seeds", "0"), "at least 1"),
        (("--plan", "levels", "--metrics", "beauty"), "beauty"),
        (("--plan", "levels", "--metrics", "piqe,ssim"), "ssim needs the true picture"),
        (("--plan", "levels", "--upscale", "99"), "upscale is 99"),
        (("--plan", "grid", "--axis", "color_fix=none,pink"), "pink"),
    ],
)
def test_bad_usage(xpsr, photo: Path, tiny: Path, tmp_path: Path, arguments, words: str) -> None:
    out = tmp_path / "out"
    done = xpsr("ablate", photo, "--model", tiny, "--preset", "mini", "--out", out, *arguments)
    assert (done.code, done.out) == (2, "")
    assert words in done.err and "Traceback" not in done.err
    assert not out.exists()  # which is not claimed for this picture by a slip of the pen


def test_stopped_in_the_middle(xpsr, photo: Path, tiny: Path, tmp_path: Path) -> None:
    """By SIGTERM, as by Ctrl-C: what is finished is reported, and the same command goes on."""
    out = tmp_path / "out"
    arguments = ["ablate", str(photo), "--model", str(tiny), "--plan", "words", "--out", str(out)]
    arguments += QUICK
    process = subprocess.Popen(
        [sys.executable, "-m", "xpsr", *arguments],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    first = json.loads(process.stdout.readline())
    for _ in range(2):  # as `timeout` does
        process.send_signal(signal.SIGTERM)
        time.sleep(0.05)
    rest, errors = process.communicate(timeout=250)
    assert process.returncode == 143, errors
    assert "Traceback" not in errors
    assert "cells are finished" in errors and "same command again" in errors
    finished = [first, *(json.loads(line) for line in rest.splitlines())]
    assert "report" in finished[-1] and Path(finished[-1]["report"]).is_file()
    assert all(Path(cell["output"]).is_file() for cell in finished[:-1])
    price = xpsr("ablate", photo, *arguments[2:], "--dry-run")
    assert f"{len(finished) - 1} of them" in price.err


def test_another_picture_and_a_full_disk_are_told(
    xpsr, photo: Path, tiny: Path, tmp_path: Path, picture, monkeypatch
) -> None:
    out = tmp_path / "out"
    common = ("--model", tiny, "--plan", "swap", "--seeds", "1", "--out", out, *QUICK)
    assert xpsr("ablate", photo, *common).code == 0
    before = {path: path.read_bytes() for path in out.rglob("*.*") if path.is_file()}
    picture(20, 24).save(tmp_path / "other.png")
    other = xpsr("ablate", tmp_path / "other.png", *common)
    given = ("--prompt", "A cat.", "--lowlevel-prompt", "Blurry.")
    again = xpsr("ablate", tmp_path / "other.png", *common, *given)
    for done in (other, again):
        assert (done.code, done.out) == (2, "") and "of another picture" in done.err
    assert before == {path: path.read_bytes() for path in out.rglob("*.*") if path.is_file()}

    def full(*_) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("xpsr.ablation.folder.save_png", full)
    lost = xpsr("ablate", photo, *common[: -len(QUICK) - 2], "--out", tmp_path / "full", *QUICK)
    assert (lost.code, lost.out) == (2, "") and "No space left on device" in lost.err
    assert "Traceback" not in lost.err


def test_a_true_picture_of_no_use_is_refused_before_the_start(
    xpsr, photo: Path, tiny: Path, tmp_path: Path, picture
) -> None:
    out = tmp_path / "out"
    common = ("ablate", photo, "--model", tiny, "--out", out, "--seeds", "1", *QUICK)
    common += ("--reference", tmp_path / "truth.png")
    for size, of_levels, of_grid in (((24, 20), 2, 2), ((48, 40), 0, 0), ((72, 60), 2, 0)):
        picture(*size).save(tmp_path / "truth.png")
        for plan, code in (("levels",), of_levels), (("grid", "--axis", "upscale=2,3"), of_grid):
            done = xpsr(*common, "--plan", *plan, "--dry-run")
            assert done.code == code, done.err
            said = "--reference has {} x {} pixels, and the results have 48 x 40".format(*size)
            assert (said in done.err) == bool(code) and (" and others" in done.err) == (
                bool(code) and plan[0] == "grid"
            )
    assert not out.exists()


def test_a_picture_whose_name_is_no_text_can_be_reported(
    xpsr, photo: Path, tiny: Path, tmp_path: Path
) -> None:
    try:
        odd = photo.rename(tmp_path / os.fsdecode(b"odd \xff.png"))
    except (OSError, UnicodeError) as error:
        pytest.skip(f"this disk takes no such name: {error}")
    out = tmp_path / "out"
    done = xpsr("ablate", odd, "--model", tiny, "--plan", "swap", "--seeds", "1", "--out", out,
                *QUICK)  # fmt: skip
    assert done.code == 0, done.err
    assert "odd \\udcff.png" in (out / "report.html").read_text("utf-8")


def test_every_text_and_setting_is_an_option_and_no_name_is_cut() -> None:
    """On a terminal of 80 columns, where `rich` shortens what does not fit."""
    for command in get_command(app).commands:
        shown = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "80"}).output
        assert re.findall(r"\S*…", shown.replace("evaluate …", "").replace("describe …", "")) == []
        if command in ("restore", "ablate", "evaluate"):
            assert not [one for one in RUN if f"--{one.replace('_', '-')} " not in shown]
