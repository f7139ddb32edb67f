"""Training in stretches: the decoder learns along, time runs out, the better model is kept."""

import json
import logging

import torch
import yaml
from accelerate.state import AcceleratorState
from safetensors.torch import load_file
from training_help import CONFIGS, make_photos
from typer.testing import CliRunner

import xpsr
from train import stretch
from train.__main__ import run
from train.config import read_config
from train.describe import describe
from train.prepare import PrepareConfig, prepare


def make_pairs(photos, out):
    list(prepare(photos, out, PrepareConfig(size=128)))
    list(describe(out, "measured"))


def smoke(pairs, out, *overrides):
    options = ["batch_size=1", "model.decoder_steps=0", "trackers=[]", *overrides]
    AcceleratorState._reset_state(reset_partial_state=True)
    run(read_config(CONFIGS / "smoke.yaml", [f"data={pairs}", f"out={out}", *options]))


def decoder(folder):
    """The weights that learn, and those of the fixed basis."""
    weights = load_file(folder / "vae" / "diffusion_pytorch_model.safetensors")
    learns = {name for name in weights if name.startswith("correction")}
    return {n: weights[n] for n in learns}, {n: weights[n] for n in weights.keys() - learns}


def test_the_decoder_learns_along_and_the_encoder_stays(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    make_pairs(make_photos(tmp_path / "photos"), tmp_path / "pairs")
    smoke(tmp_path / "pairs", tmp_path / "still", "steps=2")
    smoke(
        tmp_path / "pairs",
        tmp_path / "along",
        "steps=2",
        "model.train_decoder=true",
        "loss.decoded_weight=1",
        "loss.decoded_log_floor=0.001",
    )
    (still, basis), (along, same_basis) = (decoder(tmp_path / n) for n in ("still", "along"))
    assert all(torch.equal(basis[name], same_basis[name]) for name in basis)
    assert any(not torch.equal(still[name], along[name]) for name in still)

    # Out of time after the first step, with everything written that a full run writes.
    smoke(tmp_path / "pairs", tmp_path / "short", "steps=1000", "minutes=0.0001")
    (checkpoint,) = (tmp_path / "short" / "checkpoints").iterdir()
    assert checkpoint.name == "step-00000001"
    assert xpsr.load(tmp_path / "short").config.residual_latents


def test_a_stretch_is_judged_and_the_better_model_kept_in_small_files(tmp_path):
    photos, pairs = make_photos(tmp_path / "photos"), tmp_path / "pairs"
    make_pairs(photos, pairs)
    smoke(pairs, tmp_path / "first", "steps=1")
    config = tmp_path / "more.yaml"
    config.write_text(yaml.safe_dump({"data": str(pairs), "out": "-", "steps": 2, "crop": 64}))
    out = tmp_path / "stretch"
    options = ["--config", config, "--images", photos, "--start", tmp_path / "first", "--out", out]
    found = CliRunner().invoke(
        stretch.app, [*map(str, options), "--limit", "1", "batch_size=1", "trackers=[]"]
    )
    assert found.exit_code == 0, found.output
    gains = json.loads((out / "gains.json").read_text())
    better = max(gains, key=gains.get)
    assert f"{better} is better" in found.output
    kept = xpsr.load(out / "better").unet.state_dict()
    model = {"before": tmp_path / "first", "after": out / "run"}[better]
    expected = xpsr.load(model).unet.state_dict()
    assert all(torch.equal(kept[name], expected[name]) for name in expected)
