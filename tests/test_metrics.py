"""Scores: right numbers, right directions, and reasons instead of crashes."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time

import numpy as np
import pytest
import skimage.data
import torch
from command_line import ENVIRONMENT
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

import xpsr.metric_models
from xpsr.errors import XPSRError
from xpsr.image import to_tensor
from xpsr.metric_models import OPTIONS
from xpsr.metrics import MAX_DECIBEL, METRICS, Score, backprojection, reasons, score, to_json

FREE = [name for name, metric in METRICS.items() if not metric.needs_download]
COMPARING = [name for name in FREE if METRICS[name].needs_reference]
SIZE = (192, 192)


@pytest.fixture(scope="module")
def clean() -> Image.Image:
    return Image.fromarray(skimage.data.astronaut()).crop((60, 0, 444, 384)).resize(SIZE)


@pytest.fixture(scope="module")
def worse(clean: Image.Image) -> list[Image.Image]:
    """Reduced and enlarged again, by more and more."""
    return [clean.resize((192 // f, 192 // f)).resize(SIZE) for f in (2, 4, 8)]


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a new process: nothing was tried yet."""
    monkeypatch.setattr(xpsr.metric_models, "_attempts", {})


def video_luma(image: Image.Image) -> np.ndarray:
    return 16 / 255 + np.asarray(image, dtype=float) / 255 @ [65.481, 128.553, 24.966] / 255


def test_psnr_and_ssim_agree_with_another_library(clean, worse) -> None:
    found = score(worse[0], reference=clean, metrics=["psnr", "ssim"])
    ours, theirs = video_luma(worse[0]), video_luma(clean)
    assert found["psnr"].value == pytest.approx(
        peak_signal_noise_ratio(theirs, ours, data_range=1), abs=0.01
    )
    other = structural_similarity(
        theirs, ours, data_range=1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    assert found["ssim"].value == pytest.approx(other, abs=0.01)


@pytest.mark.parametrize("size", [(88, 72), (333, 11), (12, 200)])
def test_ssim_is_pyiqas(size: tuple[int, int], picture) -> None:
    """Ours takes rows and columns one after the other; the figure is the same."""
    import pyiqa

    theirs = pyiqa.create_metric("ssim", device="cpu", **OPTIONS["psnr"])
    clean = picture(*size)
    blurred = clean.resize((size[0] // 4, size[1] // 4)).resize(size)
    for other in (blurred, clean.point(lambda value: 255 - value), clean):
        found = score(other, reference=clean, metrics=["ssim"])["ssim"].value
        wanted = float(theirs(to_tensor(other), to_tensor(clean)))
        assert found == pytest.approx(wanted, abs=1e-4)


@pytest.mark.parametrize("name", FREE)
def test_direction_and_range(name: str, clean, worse) -> None:
    metric = METRICS[name]
    small = clean.resize((48, 48))
    values = [
        score(picture, reference=clean, input=small, metrics=[name])[name].value
        for picture in (clean, *worse)
    ]
    assert all(value is not None for value in values)
    ordered = values if metric.lower_better else values[::-1]
    assert ordered == sorted(ordered)
    assert values[0] != values[-1]
    assert all(metric.low <= value <= metric.high + 1e-6 for value in values)


def test_equal_pictures_have_the_best_score(clean) -> None:
    for name, found in score(clean, reference=clean, metrics=COMPARING).items():
        best = METRICS[name].low if METRICS[name].lower_better else METRICS[name].high
        assert found.value == pytest.approx(best, abs=1e-4), name


def test_one_name_is_that_score(clean) -> None:
    assert score(clean, reference=clean, metrics="psnr").keys() == {"psnr"}


def test_backprojection(clean) -> None:
    small = clean.resize((48, 48), Image.Resampling.BICUBIC)
    assert backprojection(clean, small) == pytest.approx(MAX_DECIBEL)
    lighter = small.point(lambda value: min(value + 10, 255))
    expected = 20 * math.log10(255 / 10)
    flat = Image.new("RGB", (96, 96), (50, 60, 70))
    assert backprojection(flat, Image.new("RGB", (24, 24), (60, 70, 80))) == pytest.approx(
        expected, abs=1e-3
    )
    assert backprojection(clean, lighter) < 30
    # It sees a colour that left, which a score on brightness alone would not.
    tinted = Image.merge("RGB", (*clean.split()[:2], clean.split()[0]))
    assert backprojection(tinted, small) < 25


def test_default_choice(clean) -> None:
    small = clean.resize((48, 48))
    assert set(score(small)) == {"piqe"}
    assert set(score(clean, input=small)) == {"piqe", "backprojection"}
    assert set(score(small, reference=small)) == {"piqe", *COMPARING}


def test_obstacles_are_reasons(clean) -> None:
    small, tiny = clean.resize((48, 48)), clean.resize((16, 16))
    other_size = score(small, reference=clean, input=clean, metrics=["ssim", "backprojection"])
    assert other_size["ssim"].value is None
    assert "192 x 192" in other_size["ssim"].reason
    assert "48 x 48" in other_size["ssim"].reason
    assert "as large as its input" in other_size["backprojection"].reason
    missing = score(small, metrics=["psnr", "backprojection"])
    assert "true picture" in missing["psnr"].reason
    assert "picture that was restored" in missing["backprojection"].reason
    small_scores = score(tiny, reference=tiny)
    assert "161 pixels" in small_scores["ms_ssim"].reason
    assert "41 pixels" in small_scores["vif"].reason
    assert small_scores["psnr"].value == pytest.approx(MAX_DECIBEL)


@pytest.mark.parametrize("size", [(16, 16), (17, 300), (40, 41), (161, 161), (333, 200)])
def test_stated_smallest_sizes_are_true(size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    picture = Image.fromarray(pixels)
    worse = picture.point(lambda value: value // 2)
    for name, found in score(worse, reference=picture, input=picture.resize((8, 8))).items():
        if min(size) >= METRICS[name].min_side:
            assert found.value is not None, (name, found)
        else:
            assert "at least" in found.reason


def test_empty_picture_gets_a_reason_or_a_number() -> None:
    for name, found in score(Image.new("RGB", (64, 64))).items():
        assert (found.value is None) != (found.reason is None), name


def test_json_has_no_holes(clean) -> None:
    found = score(clean, metrics=["piqe", "psnr"])
    read = json.loads(json.dumps(to_json(found), allow_nan=False))
    assert read["piqe"] == found["piqe"].value
    assert read["psnr"] is None
    assert set(read) == {"piqe", "psnr"}
    assert reasons(found) == {"psnr": found["psnr"].reason}
    assert to_json({"piqe": Score(3.0)}) == {"piqe": 3.0}


def test_unknown_name() -> None:
    with pytest.raises(XPSRError, match=r"beauty.*piqe"):
        score(Image.new("RGB", (32, 32)), metrics=["beauty"])


def test_nobodys_random_numbers_move(clean, monkeypatch) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    seeded: list[int] = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded.append)
    score(clean, reference=clean)
    assert torch.equal(torch.rand(3), expected)
    assert not seeded  # those of the GPUs are as little ours


def test_without_a_net_there_is_a_reason_fast(fresh, monkeypatch, capfd, tmp_path, clean) -> None:
    import pyiqa.utils.download_util

    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # nobody listens there
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    # Weights of an earlier day may lie on this machine.
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(pyiqa.utils.download_util, "DEFAULT_CACHE_DIR", str(tmp_path))
    start = time.monotonic()
    found = score(clean, reference=clean, metrics=["lpips", "maniqa"])
    took = time.monotonic() - start
    assert took < 60  # the hub's own patience alone is a minute for each
    for one in found.values():
        assert one.value is None
        assert one.reason.startswith("needs a download: there is no connection")
    again = time.monotonic()
    assert score(clean, metrics=["maniqa"]) == {"maniqa": found["maniqa"]}
    assert time.monotonic() - again < 1  # once per process
    said = capfd.readouterr()
    assert said.out == ""
    assert "Retrying" not in said.err
    assert "Downloading" not in said.err


def test_weights_that_never_arrive_do_not_hang(fresh, monkeypatch, clean) -> None:
    monkeypatch.setattr(xpsr.metric_models, "_online", lambda: False)
    monkeypatch.setattr(xpsr.metric_models, "OFFLINE_SECONDS", 0.3)
    monkeypatch.setattr(xpsr.metric_models, "_create", lambda name: time.sleep(3))
    start = time.monotonic()
    found = score(clean, metrics=["musiq"])["musiq"]
    assert time.monotonic() - start < 2
    assert found.reason.startswith("needs a download")


@pytest.mark.parametrize("online", [False, True])
def test_the_hub_is_not_asked_without_a_net(fresh, monkeypatch, clean, online: bool) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    seen = []

    def create(name: str):
        seen.append(constants.HF_HUB_OFFLINE)
        raise OSError("no weights")

    monkeypatch.setattr(xpsr.metric_models, "_online", lambda: online)
    monkeypatch.setattr(xpsr.metric_models, "_create", create)
    found = score(clean, metrics=["musiq"])["musiq"]
    assert seen == [not online]
    assert constants.HF_HUB_OFFLINE is False
    reason = "the server did not deliver it" if online else "there is no connection to the internet"
    assert found == Score(None, f"needs a download: {reason}")


def test_a_process_can_end_while_a_judge_is_being_built() -> None:
    """As after Ctrl-C: where Python's end meets a thread in the midst of torch, it aborts."""
    code = """if True:
        import sys, time, torch
        from xpsr import metric_models as m
        m._create = lambda name: [torch.rand(400, 400) @ torch.rand(400, 400) for _ in range(400)]
        m._attempts["psnr"] = m._start("psnr", online=True)
        time.sleep(0.1)
        sys.exit(7)
    """
    assert subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT).returncode == 7


def test_prints_of_a_judge_reach_nobody_else(fresh, monkeypatch, capsys, clean) -> None:
    def chatty(name: str):
        print("Downloading weights")
        return lambda *pictures: torch.tensor(0.5)

    monkeypatch.setattr(xpsr.metric_models, "_online", lambda: True)
    monkeypatch.setattr(xpsr.metric_models, "_create", chatty)
    assert score(clean, metrics=["musiq"])["musiq"] == Score(0.5)
    print("ours")
    assert capsys.readouterr().out == "ours\n"


def test_a_judge_built_while_a_model_is_loaded_is_built_again(monkeypatch) -> None:
    import pyiqa

    nets = [torch.nn.Linear(1, 1, device=device) for device in ("meta", "meta", "cpu")]
    given = iter(nets)
    monkeypatch.setattr(pyiqa, "create_metric", lambda *_, **__: next(given))
    assert xpsr.metric_models._create("lpips") is nets[-1]


def test_every_metric_is_explained() -> None:
    for name, metric in METRICS.items():
        assert metric.name == name
        assert metric.low < metric.high
        assert metric.label
        assert metric.about.endswith(".")
        assert "\n" not in metric.about
        assert len(metric.about) < 100
