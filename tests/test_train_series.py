"""Trainings in a row by one configuration."""

import shutil
from pathlib import Path

import pytest
import torch
import yaml
from accelerate.state import AcceleratorState
from training_help import CONFIGS, make_photos, weights

from train import stretch
from train.__main__ import run, run_all
from train.config import read_config
from train.series import read_series
from xpsr.errors import XPSRError

FEW = ("steps=2", "batch_size=1", "save_every=1", "trackers=[]")


@pytest.fixture
def series(tmp_path: Path) -> Path:
    """Two trainings: a small model from nothing, and one that goes on from it."""
    shutil.copy(CONFIGS / "smoke.yaml", tmp_path / "first.yaml")
    second = {"data": "none", "out": "none", "crop": 64, "learning_rate": 1e-3}
    (tmp_path / "second.yaml").write_text(yaml.safe_dump(second), encoding="utf-8")
    path = tmp_path / "both.yaml"
    path.write_text("series: [first.yaml, second.yaml]\nout: both\n", encoding="utf-8")
    return path


def trained(series: Path, *options: str) -> None:
    AcceleratorState._reset_state(reset_partial_state=True)
    run_all(read_series(series, [*FEW, *options]))


def test_every_training_starts_from_the_one_before(series, tmp_path, one_thread, capsys):
    data, out = f"data={make_photos(tmp_path / 'photos')}", tmp_path / "out"
    sizes = ("degradation.size=64",)
    trained(series, data, f"out={out}", *sizes)
    told = capsys.readouterr().err
    assert f"Part 1 of 2, in {out / 'parts' / 'first'}" in told and f"Part 2 of 2, in {out}" in told

    AcceleratorState._reset_state(reset_partial_state=True)
    alone = tmp_path / "alone"
    first, second = (f"out={alone / name}" for name in ("first", "second"))
    run(read_config(tmp_path / "first.yaml", [*FEW, data, first, *sizes]))
    start = f"model.start={alone / 'first'}"
    run(read_config(tmp_path / "second.yaml", [*FEW, data, second, start, *sizes]))
    for ours, theirs in ((out / "parts" / "first", "first"), (out, "second")):
        found, wanted = weights(ours), weights(alone / theirs)
        assert found.keys() == wanted.keys()
        assert all(torch.equal(found[name], wanted[name]) for name in wanted), theirs

    # Again: what is done stays as it is, and the last goes on.
    files = [*(out / "parts").rglob("*.safetensors")]
    written = [path.stat().st_mtime_ns for path in files]
    capsys.readouterr()
    trained(series, data, f"out={out}", *sizes)
    assert files and written == [path.stat().st_mtime_ns for path in files]
    told = capsys.readouterr().err
    assert told.count("is done") == told.count("exported to") == 1

    # What has begun from a training does not know what that learns afterwards.
    with pytest.raises(XPSRError, match=r"step 2 of 5.* remove .*checkpoints"):
        trained(series, data, f"out={out}", *sizes, "steps=5")
    shutil.rmtree(out / "checkpoints")
    trained(series, data, f"out={out}", *sizes, "steps=3")
    assert "step 3 of 3" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["minutes=3"], "minutes ends one training.*first.yaml, second.yaml"),
        (["data=x", "claim_ratio=0.1"], "first.yaml: claim_ratio is for"),
        (["data=x", "stepz=1"], "first.yaml: There is no option 'stepz'"),
        ([], "needs data=FOLDER"),
    ],
)
def test_what_does_not_fit_is_told_before_anything_is_done(series, options, said):
    with pytest.raises(XPSRError, match=said):
        read_series(series, options)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("series: [first.yaml, third.yaml]", "third.yaml"),
        ("series: first.yaml", "must be a list"),
        ("series: [first.yaml]\nsteps: 3", "steps belongs into one of first.yaml"),
    ],
)
def test_a_series_that_cannot_be_read_is_a_sentence(series, text, said):
    series.write_text(f"{text}\n", encoding="utf-8")
    with pytest.raises(XPSRError, match=said):
        read_series(series, ["data=x", "out=y"])


def test_the_last_is_looked_at_before_the_first_begins(series):
    (series.parent / "second.yaml").write_text("crop: 64\nclaim_ratio: 0.1\n", encoding="utf-8")
    with pytest.raises(XPSRError, match=r"second.yaml: claim_ratio is for"):
        read_series(series, ["data=x", "out=y"])
    (series.parent / "second.yaml").write_text("mixed_precision: bf16\n", encoding="utf-8")
    with pytest.raises(XPSRError, match="the same mixed_precision"):
        read_series(series, ["data=x", "out=y"])


def test_a_stretch_is_of_one_training(series, tmp_path):
    with pytest.raises(XPSRError, match="a stretch is one"):
        stretch.start_of(series, None, ["data=x"], tmp_path / "run")


def test_the_embedded_model_is_a_series_of_four():
    parts = read_series(CONFIGS / "mini.yaml", ["out=runs/here"])
    folders = ["runs/here/parts/mini_clean", "runs/here/parts/mini_rest"]
    folders += ["runs/here/parts/mini_words", "runs/here"]
    assert [Path(one.out).as_posix() for one in parts] == folders
    assert [one.model.start and Path(one.model.start).as_posix() for one in parts] == [
        None,
        *folders[:3],
    ]
    assert {one.data for one in parts} == {"pairs/mini"}
