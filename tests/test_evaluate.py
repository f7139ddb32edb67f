"""Evaluation: pairs, columns, tables, and the command on a small model, alone and divided."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from xpsr import metric_models
from xpsr.errors import XPSRError
from xpsr.evaluation import pairs as finding
from xpsr.evaluation import table
from xpsr.evaluation.judging import PAPER, choose_metrics

ROOT = Path(__file__).resolve().parents[1]
QUICK = ("--num-inference-steps", "1", "--upscale", "2", "--preset", "mini")


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def photos(tmp_path: Path, picture) -> Path:
    """A test set as RealSR's: three inputs of 24 x 20, their originals twice as large."""
    folder = tmp_path / "RealSR_CenterCrop"
    for part in ("LR", "HR"):
        (folder / part).mkdir(parents=True)
    for number in range(3):
        large = picture(48, 40).rotate(90 * number * 2).point(lambda v, n=number: min(255, v + n))
        large.save(folder / "HR" / f"Canon_{number:03}_HR.png")
        large.resize((24, 20)).save(folder / "LR" / f"Canon_{number:03}_LR4.png")
    return folder


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("sets/RealSR_CenterCrop/LR", "RealSR"),
        ("sets/DrealSR_CenterCrop/LR", "DRealSR"),
        ("DRealSRVal_crop128/test_LR", "DRealSR"),
        ("RealSRVal_crop128/test_LR", "RealSR"),
        ("DIV2K_V2_val/lq", "DIV2K-Val"),
        ("holiday/LR", None),
    ],
)
def test_sets_of_the_field_are_known_by_their_paths(tmp_path: Path, path: str, name) -> None:
    assert finding.dataset_of(tmp_path / path) == name


@pytest.mark.parametrize(
    ("low", "high"), [("LR", "HR"), ("test_LR", "test_HR"), ("lq", "gt"), ("LR", None)]
)
def test_folders_in_a_set(tmp_path: Path, low: str, high: str | None) -> None:
    (tmp_path / low).mkdir()
    if high:
        (tmp_path / high).mkdir()
    found = finding.open_folders(tmp_path, None)
    assert found == (tmp_path / low, tmp_path / high if high else None)
    assert finding.set_name(tmp_path / low) == finding.set_name(tmp_path) == tmp_path.name
    with pytest.raises(XPSRError, match="no folder"):
        finding.open_folders(tmp_path / "nowhere", None)


def test_partners_and_sizes(tmp_path: Path) -> None:
    for name, size in [
        ("lr/a_LR4.png", (8, 6)),
        ("lr/b.png", (8, 6)),
        ("lr/c.png", (8, 6)),
        ("lr/d.jpg", (6, 8)),
        ("hr/a_HR.png", (16, 12)),
        ("hr/b.png", (32, 24)),
        ("hr/d.png", (12, 16)),
        ("hr/e.png", (16, 12)),
        ("lr/f.png", (8, 6)),
        ("hr/f.png", (8, 6)),
    ]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", size).save(tmp_path / name)
    lows, highs = (sorted((tmp_path / part).iterdir()) for part in ("lr", "hr"))
    found = finding.find_pairs(lows, highs, 2)
    assert [(p.name, p.high.name) for p in found.pairs] == [("a_LR4", "a_HR.png"), ("d", "d.png")]
    assert set(found.problems) == {"b.png", "c.png", "e.png", "f.png"}
    assert "enlarged already" in found.problems["f.png"]
    assert "16 x 12" in found.problems["b.png"] and "32 x 24" in found.problems["b.png"]
    assert "--hr" in found.problems["c.png"] and "--lr" in found.problems["e.png"]


def test_columns_come_in_the_papers_order() -> None:
    assert PAPER == ("psnr", "ssim", "lpips", "dists", "fid", "maniqa", "clipiqa", "musiq")
    assert choose_metrics(["fid", "niqe", "psnr"], True) == ["psnr", "fid", "niqe"]
    assert choose_metrics(None, True)[:8] == list(PAPER)
    assert choose_metrics(None, False) == ["maniqa", "clipiqa", "musiq", "piqe", "backprojection"]
    with pytest.raises(XPSRError, match="--hr"):
        choose_metrics(["fid"], False)
    with pytest.raises(XPSRError, match="beauty"):
        choose_metrics(["beauty"], True)


def test_published_lines_are_marked_and_can_be_added(tmp_path: Path) -> None:
    (ours,) = table.published("RealSR")
    assert (ours.method, ours.scores["psnr"], ours.scores["musiq"]) == ("SeeSR", 25.31, 69.56)
    assert table.published(None) == []
    more = tmp_path / "more.csv"
    more.write_text("dataset,method,psnr,source\nRealSR,Other,30.5,a paper\nDIV2K-Val,No,1,x\n")
    lines = table.published("RealSR", more)
    assert [line.method for line in lines] == ["SeeSR", "Other"]
    assert len(table.published("DRealSR")) == 3
    text = table.to_markdown(table.Table("x|y", ["psnr", "fid"], lines))
    assert table.NOT_HERE in text
    assert "| Other (as published) | 30.50 | – |" in text and "x\\|y" in text
    for wrong, words in [("method,psnr\na,1\n", "source"), ("method,source,psnr\na,b,c\n", "psnr")]:
        more.write_text(wrong)
        with pytest.raises(XPSRError, match=words):
            table.published("RealSR", more)


def luma(path: Path, size: tuple[int, int] | None = None) -> np.ndarray:
    image = Image.open(path).convert("RGB")
    if size:
        image = image.resize(size, Image.Resampling.BICUBIC)
    return 16 / 255 + np.asarray(image, dtype=float) / 255 @ [65.481, 128.553, 24.966] / 255


def test_the_table_agrees_with_another_library(
    xpsr, photos: Path, tiny: Path, tmp_path: Path
) -> None:
    """PSNR and SSIM of the Y of BT.601, computed again from the written pictures."""
    out = tmp_path / "out"
    done = xpsr(
        "evaluate", "--lr", photos, "--model", tiny, "--metrics", "ssim,psnr", "--out", out, *QUICK
    )
    assert done.code == 0, done.err
    *rows, last = done.records
    assert [row["name"] for row in rows] == [f"Canon_00{n}_LR4" for n in range(3)]
    names = [row["name"] for row in rows]
    originals = [luma(photos / "HR" / f"{name[:9]}_HR.png") for name in names]
    ours = [luma(out / "pictures" / f"{name}.png") for name in names]
    plain = [luma(photos / "LR" / f"{name}.png", (48, 40)) for name in names]
    lines = {line["method"]: line["scores"] for line in last["lines"]}
    assert list(lines) == ["tiny", "bicubic", "SeeSR"]
    for method, pictures in (("tiny", ours), ("bicubic", plain)):
        both = list(zip(originals, pictures, strict=True))
        psnr = np.mean([peak_signal_noise_ratio(a, b, data_range=1) for a, b in both])
        ssim = np.mean(
            [
                structural_similarity(
                    a, b, data_range=1, gaussian_weights=True, sigma=1.5,
                    use_sample_covariance=False,
                )
                for a, b in both
            ]
        )  # fmt: skip
        assert lines[method]["psnr"] == pytest.approx(psnr, abs=0.02)
        assert lines[method]["ssim"] == pytest.approx(ssim, abs=0.01)
    text = (out / "table.md").read_text(encoding="utf-8")
    assert "| Method | PSNR ↑ | SSIM ↑ |" in text and "SeeSR (as published) | 25.31" in text
    assert (out / "plot.svg").read_text(encoding="utf-8").count("<svg") == 1
    assert len((out / "rows.csv").read_text(encoding="utf-8").splitlines()) == 4

    # Again: everything is there; another option may not mix with it.
    again = xpsr(
        "evaluate", "--lr", photos, "--model", tiny, "--metrics", "ssim,psnr", "--out", out, *QUICK
    )
    assert again.code == 0 and len(again.records) == 1
    assert "3 of 3 pictures are finished already" in again.err
    assert again.records[0]["lines"] == last["lines"]
    other = xpsr("evaluate", "--lr", photos, "--model", tiny, "--seed", "7", "--out", out, *QUICK)
    assert other.code == 2 and "--seed" in other.err

    # A further score is computed from the kept pictures, and resumes where a row is missing.
    kept = {path.name: path.stat().st_mtime_ns for path in (out / "pictures").iterdir()}
    more = xpsr(
        "evaluate", "--lr", photos, "--model", tiny, "--metrics", "psnr,piqe", "--out", out, *QUICK
    )
    assert more.code == 0 and len(more.records) == 4
    assert kept == {path.name: path.stat().st_mtime_ns for path in (out / "pictures").iterdir()}


def test_what_cannot_be_had_is_an_empty_column_with_its_reason(
    xpsr, photos: Path, tiny: Path, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(metric_models, "_attempts", {})
    monkeypatch.setattr(metric_models, "_online", lambda: False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "no weights"))
    out = tmp_path / "out"
    chosen = ("--metrics", "psnr,fid", "--limit", "1")
    done = xpsr("evaluate", "--lr", photos, "--model", tiny, "--out", out, *chosen, *QUICK)
    assert done.code == 0, done.err
    last = done.records[-1]
    assert "needs a download" in last["missing"]["fid"]
    assert "fid" not in last["lines"][0]["scores"] and "psnr" in last["lines"][0]["scores"]
    assert "FID is missing or incomplete: needs a download" in (out / "table.md").read_text("utf-8")


def test_problems_are_named_and_the_others_done(
    xpsr, photos: Path, tiny: Path, tmp_path: Path
) -> None:
    (photos / "HR" / "Canon_001_HR.png").unlink()
    (photos / "LR" / "Canon_002_LR4.png").write_bytes(b"no picture")
    out = tmp_path / "out"
    done = xpsr(
        "evaluate", "--lr", photos, "--model", tiny, "--metrics", "psnr", "--out", out, *QUICK
    )
    assert done.code == 1
    assert "Canon_001_LR4.png has no original" in done.err
    good, bad, last = done.records
    assert "scores" in good and "error" in bad and len(last["lines"]) == 3
    assert "1 of 2 pictures have no row" in done.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--lr", "nowhere"), "no folder"),
        (("--lr", "{photos}/LR", "--hr", "nowhere"), "no folder"),
        (("--lr", "{photos}/LR", "--metrics", "psnr"), "--hr"),
        (("--lr", "{photos}", "--metrics", "beauty"), "beauty"),
        (("--lr", "{photos}", "--upscale", "3"), "No picture is left"),
        (("--lr", "{photos}", "--upscale", "99"), "upscale is 99"),
        (("--lr", "{photos}", "--describer", "poet"), "poet"),
        (("--lr", "{photos}", "--preset", "best"), "best"),
    ],
)
def test_bad_usage(xpsr, photos: Path, tmp_path: Path, arguments, words: str) -> None:
    given = [one.format(photos=photos) for one in arguments]
    upscale = () if "--upscale" in given else ("--upscale", "2")
    done = xpsr("evaluate", *given, *upscale, "--out", tmp_path / "out")
    assert (done.code, done.out) == (2, "")
    assert words in done.err and "Traceback" not in done.err


def test_processes_share_the_work_with_equal_results(
    xpsr, photos: Path, tiny: Path, tmp_path: Path
) -> None:
    """As `accelerate launch` starts them: RANK and WORLD_SIZE say who does what."""
    command = [sys.executable, "-m", "xpsr", "evaluate", "--lr", str(photos), "--model", str(tiny)]
    command += ["--metrics", "psnr", *QUICK]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    started = [
        subprocess.Popen(
            [*command, "--out", str(tmp_path / "shared")],
            env={**environment, "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"},
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    outputs = [process.communicate(timeout=280)[0] for process in started]
    assert [process.returncode for process in started] == [0, 0]
    done = [len([1 for line in out.splitlines() if "seconds" in json.loads(line)])
            for out in outputs]  # fmt: skip
    assert done == [2, 1]
    alone = xpsr("evaluate", *command[4:], "--out", tmp_path / "alone")
    assert alone.code == 0, alone.err
    tables = [(tmp_path / name / "table.csv").read_text() for name in ("shared", "alone")]
    assert tables[0] == tables[1]
