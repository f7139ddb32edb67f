"""The folder of a finished run: one kind of export takes the place of another, and its card."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from diffusers import DDPMScheduler
from PIL import Image

import xpsr
from train import record
from train.card import model_card
from train.config import TrainConfig
from train.export import check_export, export
from train.networks import Networks
from xpsr.errors import XPSRError
from xpsr.models.family import XPSR


@pytest.fixture
def networks(tiny_pipeline) -> Networks:
    scheduler = DDPMScheduler.from_config(tiny_pipeline.scheduler.config)
    names = ("vae", "text_encoder", "tokenizer", "unet", "controlnet")
    return Networks(*(getattr(tiny_pipeline, name) for name in names), scheduler)


def test_an_export_leaves_nothing_of_another_kind(networks, tmp_path: Path) -> None:
    def exported(out: str, kind: str, start: str | None = None) -> Path:
        model = {"start": start}
        config = TrainConfig(data="photos", out=str(tmp_path / out), export=kind, model=model)
        check_export(networks, config)
        export(networks, config, 1, 2, torch.float32)
        return tmp_path / out

    base = str(exported("base", "full"))
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.yaml").touch()
    (run / "checkpoints").mkdir()
    for kind, given in (("full", None), ("own", base), ("full", None)):
        exported("run", kind, base)
        pipe = xpsr.load(str(run), base=given, dtype="float32")
        loaded = pipe.unet.state_dict()
        for name, value in networks.unet.state_dict().items():
            assert torch.equal(loaded[name], value), (kind, name)
        assert (run / "vae").exists() is (kind == "full")
        assert (run / "config.yaml").exists() and (run / "checkpoints").exists()
        assert not (run / ".export").exists()
        # Weights can be read by whoever can read the card.
        modes = {path.stat().st_mode for path in run.rglob("*.*") if path.is_file()}
        assert len(modes) == 1, kind
    with pytest.raises(XPSRError, match="one folder"):
        exported("run", "own", str(run))


def test_a_card_tells_the_options_that_the_run_was_trained_by(tmp_path: Path) -> None:
    out = tmp_path / "run"
    trained = TrainConfig(data="photos", out=str(out), steps=2300, learning_rate=1e-3)
    out.mkdir()
    record.write(out, trained)
    card = model_card(trained.model_copy(update={"steps": 1}), XPSR, 2300, 8)
    assert "for 2,300 steps of 8 pairs" in card.replace("\n", " ")
    assert "for 1 step of 1 pair." in model_card(trained, XPSR, 1, 1).replace("\n", " ")
    assert "steps: 2300" in card and "steps: 1\n" not in card


def test_a_card_reads_the_upscaling_off_the_pairs(tmp_path: Path) -> None:
    for side, size in (("HR", 96), ("LR", 48)):
        (tmp_path / side).mkdir()
        Image.new("RGB", (size, size)).save(tmp_path / side / "a.png")
    (tmp_path / "manifest.jsonl").write_text(json.dumps({"id": "a", "photo": "a.jpg"}))
    (tmp_path / "prepare.json").write_text("")  # as a stop in the middle of writing left it
    assert "×2 super" in model_card(TrainConfig(data=str(tmp_path), out="run"), XPSR, 1, 1)
