"""Training of the degradation estimator: its samples are what they say, and it learns from them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image
from safetensors.torch import save_file
from scipy import ndimage
from typer.testing import CliRunner

from train.estimator.__main__ import app
from train.estimator.dataset import TURN, collect, read
from train.estimator.fit import fit
from train.estimator.report import Judged, figures_of
from train.estimator.samples import make_sample
from train.estimator.second_order import make_second_order, what_is_seen
from xpsr.errors import XPSRError
from xpsr.prompts.estimator import RANGES, Estimator, estimate, level_of, load_estimator
from xpsr.prompts.traces import LUMA

PHOTOS = ("astronaut", "chelsea", "coffee", "rocket")


def photo(name: str) -> Image.Image:
    return Image.fromarray(getattr(skimage.data, name)()).convert("RGB")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for name in PHOTOS:
        photo(name).save(folder / f"{name}.png")
    return folder


@pytest.fixture(scope="module")
def statistics(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One turn of every photo, which takes a second each."""
    folder = tmp_path_factory.mktemp("statistics")
    assert list(collect(photos, folder, 1, seed=0))[-1] == (len(PHOTOS), len(PHOTOS), None)
    return folder


def test_samples_depend_on_nothing_but_their_seed() -> None:
    first, second, other = (make_sample(photo("astronaut"), seed, side=64) for seed in (7, 7, 8))
    assert first.image.tobytes() == second.image.tobytes()
    assert (first.truth, first.drawn) == (second.truth, second.drawn)
    assert first.image.tobytes() != other.image.tobytes()
    assert all(make_sample(photo("rocket"), k, side=50).image.size == (50, 50) for k in range(9))


def test_levels_are_even_and_every_kind_occurs() -> None:
    drawn = [make_sample(photo("rocket"), seed, side=48) for seed in range(200)]
    for name in RANGES:
        counts = np.bincount([level_of(name, one.truth[name]) for one in drawn], minlength=4)
        assert counts.min() >= 30  # of about 50; the last has those beyond the range as well
    assert {one.drawn["noise"]["kind"] for one in drawn} == {"gaussian", "poisson"}
    assert {one.drawn["shrunk"]["mode"] for one in drawn} == {"area", "bilinear", "bicubic"}
    twice = [one for one in drawn if one.drawn["earlier_jpeg"]]
    assert 30 <= len(twice) <= 90
    assert all(one.drawn["earlier_jpeg"]["quality"] >= one.truth["jpeg"] for one in twice)


def test_noise_is_as_strong_as_it_says() -> None:
    plain, checked = Image.new("RGB", (600, 600), (128, 128, 128)), 0
    for seed in range(60):
        sample = make_sample(plain, seed, side=128, extremes=False)
        if sample.truth["jpeg"] > 85:  # coarser tables swallow a part of the noise
            # JPEG keeps colour at half of the resolution, so the luma is looked at.
            share = 1.0 if sample.drawn["noise"]["gray"] else np.linalg.norm(LUMA)
            spread = (np.asarray(sample.image) @ LUMA).std()
            assert spread == pytest.approx(sample.truth["noise"] * share, rel=0.15, abs=1.0)
            checked += 1
    assert checked >= 5


def test_blur_is_on_the_grid_of_the_result() -> None:
    """An edge blurred by sigma rises from 16 % to 84 % within two sigmas, however much shrunk."""
    edge = np.zeros((600, 600, 3), dtype=np.uint8)
    edge[:, 300:] = 255
    widths = []
    for seed in range(400):
        sample = make_sample(Image.fromarray(edge), seed, side=64, extremes=False)
        sigma, noise, jpeg = sample.truth.values()
        line = np.asarray(sample.image)[..., 1].mean(axis=0) / 255
        whole = line[0] < 0.1 and line[-1] > 0.9
        if whole and sigma > 1 and noise < 10 and jpeg > 60:
            rise = np.interp([0.16, 0.84], np.maximum.accumulate(line), np.arange(64))
            widths.append(float(np.diff(rise)[0]) / (2 * sigma))
    assert len(widths) >= 5
    assert np.median(widths) == pytest.approx(1.0, abs=0.12)


def test_a_small_photo_is_refused() -> None:
    with pytest.raises(XPSRError, match="144 pixels"):
        make_sample(Image.new("RGB", (143, 500)), 0, side=128)


def test_second_order_samples_depend_on_nothing_but_their_seed() -> None:
    first, second, other = (make_second_order(photo("astronaut"), seed) for seed in (7, 7, 8))
    assert first.image.tobytes() == second.image.tobytes()
    assert first.truth == second.truth
    assert first.image.tobytes() != other.image.tobytes()
    assert first.truth["jpeg"] == first.drawn["jpeg2"]
    assert make_second_order(photo("rocket"), 1, side=64).image.size == (64, 64)
    with pytest.raises(XPSRError, match="256 pixels"):
        make_second_order(Image.new("RGB", (255, 600)), 1, side=64)


@pytest.mark.parametrize(("blur", "noise"), [(0.0, 0.0), (1.5, 0.0), (0.9, 12.0), (3.0, 6.0)])
def test_blur_and_noise_are_found_in_a_pair(blur: float, noise: float) -> None:
    clean = photo("astronaut").crop((0, 0, 512, 512))
    shrunk = np.asarray(clean.resize((128, 128), Image.Resampling.BOX), dtype=np.float32)
    low = ndimage.gaussian_filter(shrunk, (blur, blur, 0))
    low = low + np.random.default_rng(0).normal(0, noise, low.shape)
    found = what_is_seen(clean, Image.fromarray(low.clip(0, 255).round().astype(np.uint8)))
    assert found == pytest.approx((blur, noise), abs=0.4 + 0.1 * noise)


def test_training_learns_and_resumes(photos: Path, statistics: Path, tmp_path: Path) -> None:
    shutil.copytree(statistics, tmp_path / "statistics")
    Image.new("RGB", (90, 90)).save(photos / "tiny.png")
    (photos / "away.png").symlink_to("nowhere.png")
    first = [said for _, _, said in collect(photos, tmp_path / "statistics", 1, seed=0)]
    away, tiny = (said for said in first if said)
    assert away.startswith("away.png: ")
    assert tiny == "tiny.png: A photo needs 144 pixels on each side to be degraded."
    with pytest.raises(XPSRError, match="two photos"):  # and nothing falls over them here
        read(photos, tmp_path / "statistics", 2, seed=0)
    for name in ("tiny.png", "away.png"):
        (photos / name).unlink()
    files = sorted((tmp_path / "statistics").glob("*.npz"))
    assert len(files) == len(PHOTOS)
    files[0].unlink()
    before = [file.stat().st_mtime_ns for file in files[1:]]

    arguments = ["train", "--images", str(photos), "--out", str(tmp_path), "--turns", "4"]
    done = CliRunner().invoke(app, [*arguments, "--steps", "100"])
    assert done.exit_code == 0, done.output
    assert [file.stat().st_mtime_ns for file in files[1:]] == before
    record = json.loads((tmp_path / "training.json").read_text())
    assert record["samples"] + record["held_out"] == len(PHOTOS) * TURN * 4
    assert 0 < record["held_out"] < record["samples"]

    modes = {path.stat().st_mode for path in tmp_path.iterdir() if path.is_file()}
    assert len(modes) == 1  # the weights can be read by whoever can read the rest
    network = load_estimator(tmp_path / "estimator.safetensors")
    camera, right = photo("camera"), 0  # not trained on
    for seed in range(40):
        sample = make_sample(camera, seed, side=128, extremes=False)
        found = estimate(sample.image, network)
        for name in RANGES:
            right += found.level(name) == level_of(name, sample.truth[name])
    assert right >= 44  # of 120; guessing gives 30, and 44 three times in a thousand


def test_only_samples_of_these_photos_seed_and_turns_are_read(
    photos: Path, statistics: Path, tmp_path: Path
) -> None:
    own, folder = tmp_path / "own", tmp_path / "statistics"
    shutil.copytree(photos, own)
    shutil.copytree(statistics, folder)
    for turns, seed in ((2, 0), (1, 1)):
        list(collect(own, folder, turns, seed))
    with pytest.raises(XPSRError, match="two photos"):
        read(own, folder, 2, seed=1)  # of this seed there is one turn
    (own / "rocket.png").unlink()
    shutil.copy(own / "coffee.png", own / "chelsea.png")
    list(collect(own, folder, 1, seed=0))
    known, held = read(own, folder, 1, seed=0)
    assert (len(known), len(held)) == (2 * TURN, TURN)
    fresh = tmp_path / "fresh"
    list(collect(own, fresh, 1, seed=0))
    assert torch.equal(known.tokens, read(own, fresh, 1, seed=0)[0].tokens)


def test_training_is_a_function_of_its_seed(photos: Path, statistics: Path) -> None:
    known, held = read(photos, statistics, 1, seed=0)

    def weights(seed: int) -> dict[str, torch.Tensor]:
        network: Estimator = list(fit(known, held, steps=2, seed=seed))[-1][2]
        return network.state_dict()

    first, second, other = weights(0), weights(0), weights(1)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["queries"], other["queries"])


def test_figures_of_known_answers() -> None:
    sure, wrong = (0.0, 0.0, 0.1, 0.9), (0.8, 0.2, 0.0, 0.0)
    judged = Judged(
        truths=[(3.0, 30.0, 30.0)] * 9 + [(0.2, 1.0, 95.0)],
        rows=[(sure, sure, sure)] * 8 + [(wrong, sure, sure), (wrong, wrong, wrong)],
        measured=[(3.0, 30.0, 0.3)] * 9 + [(0.2, 1.0, 0.0)],
    )
    found = figures_of(judged)
    assert found["blur"].exact == found["blur"].within_one == 0.9
    assert found["noise"].exact == 1.0
    assert found["blur"].confusion == [[1, 0, 0, 0], [0] * 4, [0] * 4, [1, 0, 0, 8]]
    # Sure with 0.9 and right in 8 of 8; with 0.8 and right in 1 of 2.
    assert found["blur"].calibration_error == pytest.approx(0.8 * 0.1 + 0.2 * 0.3)
    assert found["jpeg"].rank == pytest.approx(1.0)


@pytest.mark.parametrize("what", ["train", "evaluate"])
def test_a_folder_without_pictures_is_a_plain_sentence(tmp_path: Path, what: str) -> None:
    arguments = [what, "--images", str(tmp_path), "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 2
    assert "There are no pictures" in done.output and not (tmp_path / "out").exists()
    assert "Traceback" not in done.output


def test_evaluation_reports_every_type(photos: Path, tmp_path: Path) -> None:
    arguments = ["evaluate", "--images", str(photos), "--out", str(tmp_path), "--count", "2"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    table = json.loads((tmp_path / "report.json").read_text())
    assert [one["pictures"] for one in table.values()] == [8, 8, 8]
    assert "| jpeg | 8 |" in (tmp_path / "report.md").read_text(encoding="utf-8")
    assert (tmp_path / "calibration.svg").read_text(encoding="utf-8").count("share that was") == 1


def test_evaluation_leaves_out_what_cannot_be_used_and_names_it(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    Image.new("RGB", (90, 90)).save(photos / "tiny.png")
    (photos / "broken.jpg").write_bytes(b"no picture")
    arguments = ["evaluate", "--images", str(photos), "--out", str(tmp_path / "out"), "--count=2"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 2 and "could be used" in done.output
    for name in PHOTOS[:2]:
        photo(name).save(photos / f"{name}.png")
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 1, done.output
    assert "tiny.png: left out" in done.output and "broken.jpg: left out" in done.output
    table = json.loads((tmp_path / "out" / "report.json").read_text())
    assert [one["pictures"] for one in table.values()] == [4, 4, 4]
    learnt = ["train", "--images", str(photos), "--out", str(tmp_path), "--turns=1", "--steps=1"]
    done = CliRunner().invoke(app, learnt)  # of photos to learn from some are of no use
    assert done.exit_code == 0 and "2 photos left out" in done.output


def test_wrong_weights_are_a_sentence(photos: Path, tmp_path: Path) -> None:
    file = tmp_path / "weights.safetensors"
    arguments = ["evaluate", "--images", str(photos), "--out", str(tmp_path)]
    done = CliRunner().invoke(app, [*arguments, "--weights", str(file)])
    assert done.exit_code == 2 and "There is no file" in done.output
    for tensors in (None, {"a": torch.zeros(1)}, {"place": torch.zeros(2, 3)}):
        file.write_bytes(b"none") if tensors is None else save_file(tensors, file)
        done = CliRunner().invoke(app, [*arguments, "--weights", str(file)])
        assert done.exit_code == 2 and "holds no weights of the estimator" in done.output
