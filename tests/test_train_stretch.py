"""Training in stretches: the decoder learns along, time runs out, the better model is kept."""

import json
import logging

import numpy as np
import pytest
import torch
import yaml
from accelerate.state import AcceleratorState
from PIL import Image
from safetensors.torch import load_file
from training_help import CONFIGS, make_photos, weights
from typer.testing import CliRunner

import xpsr
from train import stretch
from train.__main__ import run
from train.config import read_config
from train.data import Pairs
from train.describe import describe
from train.networks import make_networks
from train.pairing import PrepareConfig
from train.prepare import prepare
from train.step import TrainingStep
from train.validate import Table
from xpsr.errors import XPSRError
from xpsr.schedule import Noise


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return make_photos(tmp_path_factory.mktemp("photos"))


@pytest.fixture(scope="module")
def pairs(photos, tmp_path_factory):
    out = tmp_path_factory.mktemp("pairs")
    list(prepare(photos, out, PrepareConfig(size=128)))
    list(describe(out, "measured"))
    return out


@pytest.fixture(scope="module")
def first(pairs, tmp_path_factory):
    """A model that has taken one step."""
    out = tmp_path_factory.mktemp("models") / "first"
    smoke(pairs, out, "steps=1")
    return out


def smoke(pairs, out, *overrides):
    options = ["batch_size=1", "trackers=[]", *overrides]
    AcceleratorState._reset_state(reset_partial_state=True)
    run(read_config(CONFIGS / "smoke.yaml", [f"data={pairs}", f"out={out}", *options]))


def decoder(folder):
    """The weights that learn, and those of the fixed basis."""
    weights = load_file(folder / "vae" / "diffusion_pytorch_model.safetensors")
    learns = {name for name in weights if name.startswith("correction")}
    return {n: weights[n] for n in learns}, {n: weights[n] for n in weights.keys() - learns}


def test_the_decoder_learns_along_and_the_encoder_stays(pairs, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    smoke(pairs, tmp_path / "still", "steps=2")
    smoke(
        pairs,
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
    smoke(pairs, tmp_path / "short", "steps=1000", "minutes=0.0001")
    (checkpoint,) = (tmp_path / "short" / "checkpoints").iterdir()
    assert checkpoint.name == "step-00000001"
    assert xpsr.load(tmp_path / "short").config.residual_latents


def test_the_decoder_learns_alone_by_what_it_is_handed_over(pairs, tmp_path):
    """Its correction and its finish, and nothing else; the same in one batch as in two parts."""
    smoke(pairs, tmp_path / "first", "steps=1", "model.autoencoder.finish_channels=[4, 6]")
    before = weights(tmp_path / "first")
    always = (
        f"model.start={tmp_path / 'first'}",
        *("model.only=decoder", "timestep_power=1"),
        *("steps=3", "caption_dropout=0.3", "bare_ratio=0.3", "sharpen_targets=1"),
        *("loss.decoded_weight=1", "loss.gradient_weight=1", "loss.weave_weight=1"),
    )
    smoke(pairs, tmp_path / "whole", *always, "batch_size=4")
    smoke(pairs, tmp_path / "parts", *always, "batch_size=2", "gradient_accumulation_steps=2")
    whole, parts = (weights(tmp_path / name) for name in ("whole", "parts"))
    moved = {name for name in before if not torch.equal(before[name], whole[name])}
    kinds = {name.rsplit(".", 1)[0] for name in moved}
    assert {"vae.correction.0", "vae.finish.conv_in", "vae.finish.conv_out"} <= kinds
    assert all(name.startswith(("vae.correction.", "vae.finish.")) for name in moved)
    assert all(torch.allclose(whole[name], parts[name], atol=2e-4) for name in moved)


def test_what_the_decoder_is_handed_over_is_what_the_pipeline_would(pairs, first):
    """Decoded, it is the picture that a restoration gives: bare in one step, from noise in two."""
    pipe = xpsr.load(first, device="cpu", dtype=torch.float32)
    config = read_config(
        CONFIGS / "smoke.yaml",
        [
            *(f"data={pairs}", "out=-", "crop=null", "bare_ratio=1", "caption_dropout=0"),
            *(f"model.start={first}", "model.only=decoder", "loss.decoded_weight=1"),
        ],
    )
    networks = make_networks(config.model, lambda _: None, 0)
    samples = Pairs(pairs, networks.tokenizer, config)
    batch = samples.batch([3])
    step = TrainingStep(networks, config)

    index = next(i for i, line in enumerate(samples.lines) if line["id"] == batch.ids[0])
    pair = samples.pair(index, np.random.default_rng(0))
    texts = {"prompt": pair.prompt, "lowlevel_prompt": pair.lowlevel_prompt}

    def unlike(latents, **settings):
        told = pipe(Image.fromarray(pair.low), **texts, color_fix="none", **settings).images[0]
        with torch.no_grad():
            drawn = (pipe.vae.decode(latents).sample[0] / 2 + 0.5).clamp(0, 1) * 255
        return (drawn - torch.from_numpy(np.array(told)).permute(2, 0, 1)).abs().max().item()

    bare = step._handed_over(batch)
    assert unlike(bare, preset="faithful") <= 0.51  # the rounding to whole levels
    high, low = (step.text_encoder(ids)[0] for ids in (batch.input_ids, batch.lowlevel_input_ids))
    with torch.no_grad():
        noise = Noise(5).like(bare)
        walked = step._walk(noise, 2, batch, high, low) / step.vae.config.scaling_factor
        walked = walked + step._clean_latent(batch, [torch.Generator()], high, low)[1]
    assert unlike(walked, seed=5, num_inference_steps=2, scheduler="ddim") <= 0.51
    assert not torch.allclose(walked, bare, atol=0.1)


def test_a_stretch_is_judged_and_the_better_model_kept_in_small_files(
    photos, pairs, first, tmp_path
):
    config = tmp_path / "more.yaml"
    config.write_text(yaml.safe_dump({"data": str(pairs), "out": "-", "steps": 2, "crop": 64}))
    out = tmp_path / "stretch"
    options = ["--config", config, "--images", photos, "--start", first, "--out", out]
    found = CliRunner().invoke(
        stretch.app, [*map(str, options), "--limit", "1", "batch_size=1", "trackers=[]"]
    )
    assert found.exit_code == 0, found.output
    voices = json.loads((out / "votes.json").read_text())
    assert set(voices) == set(stretch.JUDGED)
    assert all(sum(pair) <= len(stretch.RECIPES) for pair in voices.values())
    before, after = (sum(pair[side] for pair in voices.values()) for side in (0, 1))
    better = "after" if after > before else "before"
    assert f"{better} is better, by {max(before, after)} to {min(before, after)}" in found.output
    files = list((out / "better").rglob("*.safetensors"))
    assert all(file.stat().st_size <= 16 * 2**20 for file in files)
    assert all(weight.dtype == torch.float16 for f in files for weight in load_file(f).values())
    kept = xpsr.load(out / "better").unet.state_dict()
    expected = weights({"before": first, "after": out / "run"}[better])
    assert all(torch.equal(kept[name], expected[f"unet.{name}"]) for name in kept)


def test_a_stretch_goes_on_from_what_the_configuration_says(tmp_path):
    config = tmp_path / "more.yaml"
    for model, own in (({"start": "runs/other"}, "runs/other"), ({}, "mini")):
        config.write_text(yaml.safe_dump({"data": "pairs", "steps": 2, "model": model}))
        assert stretch.start_of(config, None, [], tmp_path) == own
        assert stretch.start_of(config, None, ["model.start=given"], tmp_path) == "given"
        assert stretch.start_of(config, "first", [], tmp_path) == "first"


def test_what_cannot_be_judged_or_trained_is_refused_first(pairs, tmp_path, monkeypatch):
    photos, out = make_photos(tmp_path / "photos", count=1), tmp_path / "stretch"
    config = tmp_path / "more.yaml"
    config.write_text(yaml.safe_dump({"data": str(pairs), "steps": 2, "trackers": []}))
    trained = []
    monkeypatch.setattr(stretch, "train", lambda *_: trained.append(1))

    def said(*options, start="mini"):
        command = ["--config", config, "--images", photos, "--start", start, "--out", out, *options]
        AcceleratorState._reset_state(reset_partial_state=True)
        found = CliRunner().invoke(stretch.app, [*map(str, command)])
        assert found.exit_code == 2, found.output
        return " ".join(found.output.split())

    assert "--limit" in said("--limit", "0")
    assert "by --out" in said("out=elsewhere")
    assert "give one of them" in said("model.start=mini")
    assert "no option 'stepz'" in said("stepz=2")
    assert "no folder nowhere" in said("data=nowhere")
    assert "crop is 256" in said("crop=256")
    assert "never be reached" in said("lr_warmup_steps=2")
    assert "pigeon is not installed" in said("trackers=[pigeon]")
    assert not out.exists()
    stretch.judged("mini", {"photo0.png": photos / "photo0.png"}, out / "before")
    other = tmp_path / "other"
    xpsr.load("mini").save_pretrained(other)
    assert "another model; choose another folder" in said(start=other)
    (photos / "photo0.png").write_bytes((photos / "narrow.png").read_bytes())
    assert "not known to be this picture" in said()
    assert not trained


def test_an_error_of_the_training_is_the_last_thing_that_is_said(tmp_path, capfd):
    with pytest.raises(XPSRError, match="what it said stands above"):
        stretch.train(tmp_path / "nowhere.yaml", ["data=pairs"])
    assert capfd.readouterr().err.splitlines()[-1].startswith("There is no configuration file")


def test_scores_of_a_model_that_has_learnt_more_since_are_made_anew(tmp_path):
    photos = {"photo0.png": make_photos(tmp_path / "photos", count=1) / "photo0.png"}
    again = tmp_path / "after"
    first = stretch.judged("mini", photos, again, again=True)
    (crop,) = (again / "crops").glob("* mild default.png")
    written = crop.stat().st_mtime_ns
    assert stretch.judged("mini", photos, again, again=True).rows == first.rows
    assert crop.stat().st_mtime_ns == written  # the same weights: nothing to do
    run = json.loads((again / "run.json").read_text())
    (again / "run.json").write_text(json.dumps({**run, "weights_sha256": "other"}))
    with pytest.raises(XPSRError, match="another model"):
        stretch.judged("mini", photos, again)
    (again / "scores.csv").write_text("")
    found = stretch.judged("mini", photos, again, again=True)
    assert [row["psnr"] for row in found.rows] == [row["psnr"] for row in first.rows]
    assert json.loads((again / "run.json").read_text()) == run


def test_every_score_has_a_voice(tmp_path):
    """Sharper by a hair on two photos, and worse by far in PSNR: the vote is by number."""
    tables = [Table(tmp_path / name) for name in ("before.csv", "after.csv")]
    figures = {"psnr": (30, 20), "ssim": (0.9, 0.9), "gmsd": (0.2, 0.1), "piqe": (50, 40)}
    for side, table in enumerate(tables):
        for picture in ("a", "b"):
            row = {name: pair[side] for name, pair in figures.items()}
            row |= {"backprojection": 1, "detail": (2, 1.1)[side], "seed": 0}
            row |= {"recipe": "mild", "picture": picture, "method": "default"}
            table.add(**row, degradation_seed=0)
    found = stretch.votes(*tables)
    assert found == {"psnr": (2, 0), "ssim": (0, 0)} | dict.fromkeys(
        ("gmsd", "piqe", "detail"), (0, 2)
    )
