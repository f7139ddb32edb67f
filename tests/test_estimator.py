"""The degradation estimator and the describer `dalpsr`: form, shipped weights, what they see."""

from __future__ import annotations

import io
import re
import socket
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from loading_elsewhere import loading_elsewhere
from PIL import Image
from safetensors.torch import load_file, save_file
from scipy import ndimage

from studio import words as page_words
from studio.restore import words
from train.estimator.samples import make_sample
from xpsr.errors import XPSRError
from xpsr.prompts import scene
from xpsr.prompts.dalpsr import sentence
from xpsr.prompts.describer import make_describer
from xpsr.prompts.estimator import (
    RANGES,
    WEIGHTS,
    Estimate,
    Estimator,
    estimate,
    level_of,
    load_estimator,
    tokens_of,
)
from xpsr.prompts.provenance import Origin, written
from xpsr.prompts.traces import WIDTH, statistics

# None of them was trained on.
PHOTOS = ("astronaut", "chelsea", "coffee", "rocket", "camera")
LEVEL = r"(0~0\.25|0\.25~0\.5|0\.5~0\.75|0\.75~1)"
FORM = re.compile(
    rf"Deblur with sigma {LEVEL}, Denoise with sigma {LEVEL}, Dejpeg with sigma {LEVEL}"
)


def photo(name: str) -> Image.Image:
    return Image.fromarray(getattr(skimage.data, name)()).convert("RGB")


def small(name: str) -> np.ndarray:
    """A sharp picture of about 150 x 200, as float."""
    image = photo(name)
    return np.asarray(image.resize((200, 200 * image.height // image.width)), dtype=np.float32)


def picture(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(pixels.round().clip(0, 255).astype(np.uint8))


def blurred(pixels: np.ndarray, sigma: float) -> Image.Image:
    return picture(ndimage.gaussian_filter(pixels, (sigma, sigma, 0)))


def noisy(pixels: np.ndarray, sigma: float) -> Image.Image:
    return picture(pixels + np.random.default_rng(0).normal(0, sigma, pixels.shape))


def poisson(pixels: np.ndarray, sigma: float) -> Image.Image:
    photons = pixels.mean() / sigma**2
    return picture(np.random.default_rng(0).poisson(pixels * photons) / photons)


def compressed(pixels: np.ndarray, quality: float, times: int = 1) -> Image.Image:
    image = picture(pixels)
    for _ in range(times):
        file = io.BytesIO()
        image.save(file, "JPEG", quality=int(quality))
        image = Image.open(file).convert("RGB")
    return image


def test_the_form_is_that_of_the_drawing() -> None:
    found = Estimate((0.1, 0.2, 0.7, 0.0), (0.2, 0.8, 0.0, 0.0), (0.6, 0.2, 0.1, 0.1), (2, 9, 90))
    said = "Deblur with sigma 0.5~0.75, Denoise with sigma 0.25~0.5, Dejpeg with sigma 0~0.25"
    assert sentence(found) == said
    last = Estimate((0, 0, 0, 1), (0, 0, 0, 1), (0, 0, 0, 1), (3, 30, 30))
    assert sentence(last).count("0.75~1") == 3
    assert FORM.fullmatch(sentence(last))


@pytest.mark.parametrize(
    ("name", "value", "level"),
    [
        ("blur", 0.0, 0), ("blur", 0.89, 0), ("blur", 0.91, 1), ("blur", 3.0, 3), ("blur", 9.0, 3),
        ("noise", 0.0, 0), ("noise", 8.0, 0), ("noise", 15.6, 2), ("noise", 50, 3),
        ("jpeg", 100, 0), ("jpeg", 79, 0), ("jpeg", 78, 1), ("jpeg", 62, 2), ("jpeg", 5, 3),
    ],
)  # fmt: skip
def test_parameters_fall_into_their_levels(name: str, value: float, level: int) -> None:
    assert level_of(name, value) == level


def test_values_are_read_off_the_scale_in_units_of_the_parameter() -> None:
    fresh = Estimator(groups=2)
    rows = torch.tensor([[1, 0, 0, 0], [0, 0, 0, 1], [0, 0.5, 0.5, 0]])
    assert fresh.values(rows) == pytest.approx((0.2, 30.0, 62.5))
    fresh.scale[1, 1] *= 0.5
    found = Estimate(*(tuple(row) for row in rows.tolist()), values=fresh.values(rows))
    assert [found.value(name) for name in RANGES] == pytest.approx([0.2, 15.0, 62.5])
    assert [found.level(name) for name in RANGES] == [0, 3, 1]
    assert found.confidence("jpeg") == 0.5


def test_the_scale_of_the_shipped_weights_never_turns() -> None:
    for (low, high), (levels, values) in zip(
        RANGES.values(), load_estimator().scale.numpy(), strict=True
    ):
        assert (np.diff(levels) >= 0).all() and levels[0] >= 0 and levels[-1] <= 3
        assert (np.diff(values) * (high - low) >= 0).all()
        # From next to nothing of it to the end of the range.
        assert abs(values[0] - low) < 0.12 * abs(high - low)
        assert (values[-1] - high) / (high - low) > -0.25


def test_shipped_weights_are_small_and_need_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("something asked the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    load_estimator.cache_clear()
    network = load_estimator()
    assert WEIGHTS.stat().st_size < 1_000_000
    assert 100_000 < sum(p.numel() for p in network.parameters()) < 200_000
    assert len(tokens_of(photo("coffee"))) == len(network.place)
    assert (network.deviation > 0).all()
    assert (network.temperature != 1).all()  # calibrated


def test_it_loads_while_another_thread_loads_a_model() -> None:
    """diffusers changes for the whole process what a network that is being built consists of."""
    load_estimator.cache_clear()
    expected = load_estimator()(tokens_of(photo("coffee"))[None])
    load_estimator.cache_clear()
    with loading_elsewhere():
        network = load_estimator()
    assert torch.equal(network(tokens_of(photo("coffee"))[None]), expected)


@pytest.mark.parametrize("change", ["missing", "unexpected", "shape"])
def test_weights_load_strictly(tmp_path: Path, change: str) -> None:
    weights = load_file(WEIGHTS)
    if change == "missing":
        del weights["logit.bias"]
    elif change == "unexpected":
        weights["more"] = weights["logit.bias"].clone()
    else:
        weights["logit.bias"] = weights["logit.bias"].repeat(2)
    save_file(weights, tmp_path / "estimator.safetensors")
    with pytest.raises(RuntimeError, match="logit.bias" if change != "unexpected" else "more"):
        load_estimator(tmp_path / "estimator.safetensors")


@pytest.mark.parametrize(
    ("size", "mode"),
    [((16, 16), "RGB"), ((17, 33), "L"), ((64, 48), "RGBA"), ((400, 21), "1"), ((900, 500), "RGB")],
)
def test_any_size_and_mode(size: tuple[int, int], mode: str) -> None:
    found = estimate(photo("coffee").resize(size).convert(mode))
    for name in RANGES:
        row = getattr(found, name)
        assert len(row) == 4
        assert sum(row) == pytest.approx(1, abs=1e-9)
    assert FORM.fullmatch(sentence(found))


@pytest.mark.parametrize("value", [0, 128, 255])
def test_empty_pictures(value: int) -> None:
    image = Image.new("RGB", (64, 48), (value,) * 3)
    assert all(len(group) <= WIDTH for group in statistics(image).values())
    assert all(np.isfinite(group).all() for group in statistics(image).values())
    assert FORM.fullmatch(sentence(estimate(image)))


def test_too_small() -> None:
    with pytest.raises(XPSRError, match="16 on each side"):
        estimate(Image.new("RGB", (15, 300)))


SERIES = {
    "blur": (blurred, "blur", (0.4, 1.2, 1.9, 2.7)),
    "gaussian noise": (noisy, "noise", (2, 9, 17, 30)),
    "poisson noise": (poisson, "noise", (2, 9, 17, 30)),
    "jpeg": (compressed, "jpeg", (92, 70, 52, 34)),
    "jpeg twice": (
        lambda pixels, quality: compressed(pixels, quality, 2),
        "jpeg",
        (92, 70, 52, 34),
    ),
}


@pytest.mark.parametrize("name", PHOTOS)
@pytest.mark.parametrize("series", SERIES)
def test_more_of_it_never_reads_as_less(series: str, name: str) -> None:
    """One degradation alone, from weak to strong; the photos and the code are not the trainer's."""
    degrade, kind, values = SERIES[series]
    found = [estimate(degrade(small(name), value)) for value in values]
    read = [one.value(kind) for one in found]
    upwards = RANGES[kind][0] < RANGES[kind][1]
    assert read == sorted(read, reverse=not upwards)
    levels = [one.level(kind) for one in found]
    assert levels == sorted(levels)
    assert levels[0] == 0
    # Just beyond the last limit: of blur and of noise that follows the light some fall short.
    assert levels[-1] == 3 or (series in ("blur", "poisson noise") and levels[-1] == 2)
    low, high = RANGES[kind]
    assert (read[-1] - low) / (high - low) > 0.6


def test_shipped_weights_read_what_was_done() -> None:
    """All three at once on photos that were not trained on: bounds below the card's."""
    away: dict[str, list[int]] = {name: [] for name in RANGES}
    for number in range(60):
        sample = make_sample(photo(PHOTOS[number % 5]), number, side=128, extremes=False)
        found = estimate(sample.image)
        for name, errors in away.items():
            errors.append(abs(found.level(name) - level_of(name, sample.truth[name])))
    within = {name: np.mean(np.array(errors) <= 1) for name, errors in away.items()}
    exact = {name: np.mean(np.array(errors) == 0) for name, errors in away.items()}
    assert within["blur"] >= 0.9
    assert within["noise"] >= 0.95
    assert within["jpeg"] >= 0.95
    assert min(exact.values()) >= 0.45  # chance is 0.25


def test_dalpsr_is_a_describer() -> None:
    low = noisy(small("coffee"), 27)
    said = make_describer("dalpsr").describe(low)
    assert said.source == "dalpsr"
    assert said.high == scene.sentences(low)
    assert said.low == sentence(estimate(low))
    assert "Denoise with sigma 0.75~1" in said.low
    origin = Origin.of_source(said.source)
    assert {s.origin.kind for s in written(said.low, origin)} == {"dalpsr"}
    assert {s.origin.kind for s in written(said.high, origin)} == {"measured"}


def test_dalpsr_from_the_command_line(xpsr, tmp_path: Path) -> None:
    path = tmp_path / "low.png"
    compressed(small("coffee"), 34).save(path)
    done = xpsr("describe", path, "--describer", "dalpsr")
    assert done.code == 0, done.err
    (line,) = done.records
    assert line["source"] == "dalpsr"
    assert FORM.fullmatch(line["low"])
    assert line["low"] == sentence(estimate(Image.open(path)))


def test_the_page_says_whose_reading_of_dalpsr_it_is() -> None:
    assert "our reimplementation from abstract and figure" in page_words.describer("dalpsr")
    assert "No model here learned" in words.described("dalpsr", remembered=False)
