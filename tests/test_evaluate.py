"""Evaluation: pairs, columns, tables, and the command on a small model, alone and divided."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from scipy.signal import convolve2d
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from xpsr.errors import XPSRError
from xpsr.evaluation import pairs as finding
from xpsr.evaluation import plot, table
from xpsr.evaluation.judging import PAPER, Judge, choose_metrics
from xpsr.names import distinct_names
from xpsr.prompts import Prompts
from xpsr.recipe import read_recipe, save_png
from xpsr.settings import Settings

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
        ("holiday/LR", "holiday"),
    ],
)
def test_sets_of_the_field_are_known_by_their_paths(tmp_path: Path, path: str, name: str) -> None:
    assert finding.set_name(tmp_path / path) == name


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
    assert set(found.problems) == {"b.png", "c.png", "f.png"} and found.spare == ("e.png",)
    assert "enlarged already" in found.problems["f.png"]
    assert "16 x 12" in found.problems["b.png"] and "32 x 24" in found.problems["b.png"]
    assert "--hr" in found.problems["c.png"]


def test_no_original_is_taken_for_two_inputs(tmp_path: Path) -> None:
    """ "box2" is no second input of "box", and DIV2K's "0801x4" one of "0801"."""
    for name, side in (
        ("lr/box1.png", 8), ("lr/box2.png", 8), ("lr/0801x4.png", 8), ("lr/a.png", 8),
        ("lr/a_LR4.png", 8), ("hr/box1.png", 16), ("hr/0801.png", 16), ("hr/a.png", 16),
    ):  # fmt: skip
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (side, side)).save(tmp_path / name)
    lows, highs = (sorted((tmp_path / part).iterdir()) for part in ("lr", "hr"))
    found = finding.find_pairs(lows, highs, 2)
    pairs = [(pair.name, pair.high.name) for pair in found.pairs if pair.high]
    assert pairs == [("0801x4", "0801.png"), ("a", "a.png"), ("box1", "box1.png")]
    assert "no original" in found.problems["box2.png"]
    assert "original of a.png, a.png" in found.problems["a_LR4.png"]


def test_every_picture_has_a_name_of_its_own() -> None:
    assert distinct_names(["a", "a-2", "A", "a", "b"]) == ["a", "a-2", "A-3", "a-4", "b"]
    lows = [Path(name) for name in ("a.jpg", "a.png", "a-2.png")]
    names = [pair.name for pair in finding.find_pairs(lows, None, 4).pairs]
    assert sorted(names) == ["a", "a-2", "a-3"]


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
    xpsr, seesr = table.published("RealSR")
    assert (seesr.method, seesr.scores["psnr"], seesr.scores["musiq"]) == ("SeeSR", 25.31, 69.56)
    assert (xpsr.method, xpsr.scores, xpsr.source) == ("XPSR", {}, table.XPSR_MISSING)
    assert table.published("photos") == []
    more = tmp_path / "more.csv"
    more.write_text("dataset,method,psnr,source\nRealSR,Other,30.5,a paper\nDIV2K-Val,No,1,x\n")
    lines = table.published("RealSR", more)
    assert [line.method for line in lines] == ["XPSR", "SeeSR", "Other"]
    assert len(table.published("DRealSR")) == 4
    whole = table.Table("x|y", ["psnr", "fid"], lines)
    text = table.to_markdown(whole)
    assert f"| XPSR ({table.XPSR_MISSING}) | – | – |" in text and table.NOT_HERE in text
    assert "| Other (as published: a paper) | 30.50 | – |" in text and "x\\|y" in text
    rows = list(csv.DictReader(io.StringIO(table.to_csv(whole))))
    assert [row["source"] for row in rows] == [
        table.XPSR_MISSING, "as published: Table 1 of the XPSR paper", "as published: a paper",
    ]  # fmt: skip
    plots = []
    for name in ("one.svg", "two.svg"):
        plot.draw(whole, tmp_path / name)
        plots.append((tmp_path / name).read_text(encoding="utf-8"))
    assert plots[0] == plots[1]
    for said in ("XPSR (figures not here)", "SeeSR, as published: Table 1 of the XPSR paper"):
        assert f"<!-- {said} -->" in plots[0]
    # Who has the figures puts them in the place of the empty line.
    more.write_text("method,psnr,source\nXPSR,26,Table 1\n")
    assert [line.method for line in table.published("RealSR", more)] == ["SeeSR", "XPSR"]
    assert table.CONVENTIONS in text
    assert table.CONVENTIONS not in table.to_markdown(table.Table("x", ["piqe"], lines))
    for wrong, words in (("psnr\na,1", "source"), ("source,psnr\na,b,c", "psnr"),
                         ("source,psnr\na,b,nan", "no number")):  # fmt: skip
        more.write_text(f"method,{wrong}\n")
        with pytest.raises(XPSRError, match=words):
            table.published("RealSR", more)


def luma(path: Path, size: tuple[int, int] | None = None) -> np.ndarray:
    """The Y of BT.601, 16 to 235, of a picture as it is seen: upright, on white."""
    with Image.open(path) as file:
        seen = ImageOps.exif_transpose(file).convert("RGBA")
    image = Image.new("RGBA", seen.size, "white")
    image.alpha_composite(seen)
    image = image.convert("RGB")
    if size:
        image = image.resize(size, Image.Resampling.BICUBIC)
    return 16 + np.asarray(image, dtype=float) @ [65481, 128553, 24966] / 255000


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """With what pyiqa adds to the error, so that equal pictures have 80 dB."""
    return -10 * np.log10(np.mean((a - b) ** 2) / 255**2 + 1e-8)


def ssim(a: np.ndarray, b: np.ndarray) -> float:
    """By the book (Wang et al. 2004), of rounded values, and with pyiqa's bound at 0."""
    a, b = np.round(a), np.round(b)
    bell = np.exp(-((np.arange(11) - 5) ** 2) / (2 * 1.5**2))
    window = np.outer(bell, bell) / bell.sum() ** 2

    def mean(values: np.ndarray) -> np.ndarray:
        return convolve2d(values, window, mode="valid")

    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mean_a, mean_b = mean(a), mean(b)
    spread = mean(a * a) - mean_a**2 + mean(b * b) - mean_b**2
    structure = (2 * (mean(a * b) - mean_a * mean_b) + c2) / (spread + c2)
    light = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    return float((light * structure.clip(0)).mean())


def original(kind: str, large: Image.Image, folder: Path) -> tuple[Path, Image.Image]:
    """An original stored as `kind`, and what is seen of it."""
    path = folder / f"{kind}.png"
    if kind == "grey":
        large = large.convert("L")
    elif kind == "palette":
        large = large.quantize(32)
    elif kind == "transparent":
        large.putalpha(Image.linear_gradient("L").resize(large.size))
    elif kind == "turned":
        note = Image.Exif()
        note[0x0112] = 6
        path = folder / "turned.jpg"
        large.transpose(Image.Transpose.ROTATE_90).save(path, quality=95, exif=note)
        return path, large
    large.save(path)
    return path, large.convert("RGB")


@pytest.mark.parametrize("kind", ["odd", "grey", "palette", "transparent", "turned"])
def test_scores_are_those_of_fifteen_lines(tiny_pipeline, picture, tmp_path: Path, kind) -> None:
    """Sides that no 4 divides, and originals of every kind, to the fourth decimal."""
    high, seen = original(kind, picture(46, 38), tmp_path)
    low = tmp_path / "low.png"
    seen.resize((23, 19), Image.Resampling.BICUBIC).save(low)
    settings = Settings(num_inference_steps=1, upscale=2, process_size=0)
    judge = Judge(lambda: tiny_pipeline, ["psnr", "ssim"], lambda _: Prompts(), settings, tmp_path)
    row = judge.row(finding.Pair("result", low, high))
    truth = luma(high)
    for key, ours in (("scores", luma(tmp_path / "result.png")), ("bicubic", luma(low, (46, 38)))):
        assert row[key]["psnr"] == pytest.approx(psnr(ours, truth), abs=1e-4)
        assert row[key]["ssim"] == pytest.approx(ssim(ours, truth), abs=1e-6)
    assert bool(row["notes"]) == (kind == "transparent")


def test_the_table_agrees_with_another_library(
    xpsr, photos: Path, tiny: Path, tmp_path: Path
) -> None:
    """PSNR and SSIM of the Y of BT.601, computed again from the written pictures."""
    out = tmp_path / "out"
    options = ("--metrics", "ssim,psnr", *QUICK)
    done = xpsr("evaluate", "--lr", photos, "--model", tiny, "--out", out, *options)
    assert done.code == 0, done.err
    *rows, last = done.records
    assert [row["name"] for row in rows] == [f"Canon_00{n}_LR4" for n in range(3)]
    names = [row["name"] for row in rows]
    originals = [luma(photos / "HR" / f"{name[:9]}_HR.png") for name in names]
    ours = [luma(out / "pictures" / f"{name}.png") for name in names]
    plain = [luma(photos / "LR" / f"{name}.png", (48, 40)) for name in names]
    lines = {line["method"]: line["scores"] for line in last["lines"]}
    assert list(lines) == ["tiny", "bicubic", "XPSR", "SeeSR"]
    for method, pictures in (("tiny", ours), ("bicubic", plain)):
        both = list(zip(originals, pictures, strict=True))
        library = np.mean([peak_signal_noise_ratio(a, b, data_range=255) for a, b in both])
        assert lines[method]["psnr"] == pytest.approx(library, abs=1e-3)
        assert lines[method]["ssim"] == pytest.approx(np.mean([ssim(a, b) for a, b in both]))
        # The library does not round, and its map has to be bounded as pyiqa's is.
        maps = [
            structural_similarity(
                a, b, data_range=255, gaussian_weights=True, sigma=1.5,
                use_sample_covariance=False, full=True,
            )[1][5:-5, 5:-5]
            for a, b in both
        ]  # fmt: skip
        library = np.mean([one.clip(0) for one in maps])
        assert lines[method]["ssim"] == pytest.approx(library, abs=0.01)
    text = (out / "table.md").read_text(encoding="utf-8")
    assert (
        "| Method | PSNR ↑ | SSIM ↑ |" in text
        and "| SeeSR (as published: Table 1 of the XPSR paper) | 25.31" in text
    )
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


def test_means_of_a_column_are_over_the_same_pictures() -> None:
    """One picture without a figure for the model must not leave it in bicubic's mean alone."""
    figures = (("a", 1.0, 10.0), ("b", None, 90.0), ("c", 3.0, 20.0))
    rows = [
        {"scores": {"piqe": own}, "bicubic": {"piqe": plain}, "reasons": {"piqe": "too small"}}
        for _, own, plain in figures
    ]
    found = table.summarise("mini", rows, ["piqe"], "set")
    assert [line.scores["piqe"] for line in found.lines] == [2.0, 15.0]
    assert found.missing["piqe"] == "1 of 3 pictures: too small; the means are of the others"


@pytest.mark.usefixtures("no_downloads")
def test_what_cannot_be_had_is_an_empty_column_with_its_reason(
    xpsr, photos: Path, tiny: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    chosen = ("--metrics", "psnr,fid", "--limit", "1")
    done = xpsr("evaluate", "--lr", photos, "--model", tiny, "--out", out, *chosen, *QUICK)
    assert done.code == 0, done.err
    last = done.records[-1]
    assert "needs a download" in last["missing"]["fid"]
    assert "fid" not in last["lines"][0]["scores"] and "psnr" in last["lines"][0]["scores"]
    assert "FID is missing or incomplete: needs a download" in (out / "table.md").read_text("utf-8")


def test_pictures_of_ones_own_are_never_written_over(
    xpsr, photos: Path, tiny: Path, tmp_path: Path
) -> None:
    shutil.move(photos / "LR", photos / "pictures")
    before = {path: path.read_bytes() for path in photos.rglob("*.png")}
    options = ("--model", tiny, "--metrics", "piqe", *QUICK)
    done = xpsr("evaluate", "--lr", photos / "pictures", "--out", photos, *options)
    assert (done.code, done.out) == (2, "") and "one of the pictures themselves" in done.err
    (tmp_path / "out" / "pictures").mkdir(parents=True)
    (strange := tmp_path / "out" / "pictures" / "Canon_000_LR4.png").write_bytes(b"a drawing")
    done = xpsr("evaluate", "--lr", photos / "pictures", "--out", tmp_path / "out", *options)
    assert (done.code, done.out) == (2, "") and "carries no recipe" in done.err
    assert strange.read_bytes() == b"a drawing"
    assert before == {path: path.read_bytes() for path in photos.rglob("*.png")}


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
    assert "scores" in good and "error" in bad and len(last["lines"]) == 4
    assert "1 of 2 pictures have no row" in done.err


def test_results_of_other_weights_are_not_mixed_in(
    xpsr, photos: Path, tiny: Path, tmp_path: Path
) -> None:
    """A model of the same name may have been trained on since."""
    out = tmp_path / "out"
    options = ("--lr", photos, "--model", tiny, "--metrics", "psnr", "--out", out, *QUICK)
    assert xpsr("evaluate", *options, "--limit", "1").code == 0
    (path,) = (out / "pictures").iterdir()
    older = read_recipe(path).model_copy(update={"revision": "0" * 40})
    save_png(Image.open(path).convert("RGB"), older, path)
    done = xpsr("evaluate", *options)
    assert (done.code, done.out) == (2, "")
    assert "other weights (revision 0000000000000000" in done.err


def test_a_result_that_cannot_be_written_is_told(tiny_pipeline, picture, tmp_path: Path) -> None:
    picture(24, 20).save(tmp_path / "low.png")
    settings = Settings(num_inference_steps=1, upscale=2, process_size=0)
    nowhere = tmp_path / "removed"
    judge = Judge(lambda: tiny_pipeline, ["piqe"], lambda _: Prompts(), settings, nowhere)
    with pytest.raises(XPSRError, match="one.png cannot be written: No such file"):
        judge.row(finding.Pair("one", tmp_path / "low.png", None))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--lr", "nowhere"), "no folder"),
        (("--lr", ""), "An empty name"),  # as of a variable of the shell that is not set
        (("--lr", "{photos}/LR", "--hr", ""), "An empty name"),
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
    xpsr, photos: Path, tiny: Path, tmp_path: Path, picture
) -> None:
    """As `torchrun` starts them, with pictures of every kind that fails: told once, as by one."""
    (photos / "LR" / "Canon_001_LR4.png").write_bytes(b"no picture")
    (photos / "HR" / "Canon_002_HR.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    for name in ("Canon_003", "Canon_004", "small", "alone"):
        picture(24, 20).save(photos / "LR" / f"{name}.png")
    for name, size in (("Canon_003", (48, 40)), ("Canon_004", (48, 40)), ("small", (40, 40))):
        picture(*size).save(photos / "HR" / f"{name}.png")
    arguments = ["--lr", str(photos), "--model", str(tiny), "--metrics", "psnr", *QUICK]
    command = [sys.executable, "-m", "xpsr", "evaluate", *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    started = [
        subprocess.Popen(
            [*command, "--out", str(tmp_path / "shared")],
            env={**environment, "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"},
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]  # fmt: skip
    outputs = [process.communicate(timeout=280) for process in started]
    assert [process.returncode for process in started] == [1, 1]
    records = [json.loads(line) for out, _ in outputs for line in out.splitlines()]
    assert len([one for one in records if "seconds" in one]) == 3
    said = "".join(err for _, err in outputs)
    for told in ("small.png gives", "alone.png has no original", "_001_LR4: ", "_002_LR4: "):
        lines = [line for line in said.splitlines() if told in line and line[:2] != "- "]
        assert len(lines) == 1, told
    alone = xpsr("evaluate", *arguments, "--out", tmp_path / "alone")
    assert alone.code == 1
    for name in ("table.csv", "table.md", "plot.svg"):
        both = [(tmp_path / folder / name).read_text("utf-8") for folder in ("shared", "alone")]
        assert both[0] == both[1]
    text = (tmp_path / "alone" / "table.md").read_text("utf-8")
    assert "Not in the means: alone.png has no original" in text
    assert "Not in the means: Canon_002_LR4: " in text and "Means over 3 pictures" in text
