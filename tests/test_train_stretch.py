"""Training in stretches: the decoder learns along, time runs out, the better model is kept."""

import json
import logging
from functools import partial
from types import SimpleNamespace

import pytest
import torch
import yaml
from accelerate.state import AcceleratorState
from safetensors.torch import load_file
from skimage import data
from training_help import CONFIGS, make_photos, weights
from typer.testing import CliRunner

import xpsr
from train import handover, stretch
from train.__main__ import run
from train.autoencoder import even_out, train_decoder
from train.config import LossConfig, read_config
from train.describe import describe
from train.loss import decoded_error
from train.pairing import PrepareConfig
from train.prepare import prepare
from train.validate import Table
from xpsr.errors import XPSRError
from xpsr.models import PatchAutoencoder


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
    options = ["batch_size=1", "model.decoder_steps=0", "trackers=[]", *overrides]
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


def test_the_decoder_can_learn_alone(pairs, first, tmp_path):
    smoke(
        pairs,
        tmp_path / "after",
        "steps=0",
        "sharpen_targets=1",
        "mixed_precision=bf16",
        "loss.gradient_weight=1",
        f"model.start={first}",
        "model.decoder_steps=4",
    )
    before, after = weights(first), weights(tmp_path / "after")
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved and all(name.startswith("vae.correction.") for name in moved)


def test_many_small_batches_for_the_decoder_are_no_line_each(monkeypatch, capfd, caplog):
    caplog.set_level(logging.INFO)
    pairs = SimpleNamespace(batch=lambda numbers: SimpleNamespace(clean=[*numbers]))
    monkeypatch.setattr(handover, "denoised", lambda networks, batch, steps, seed: (steps, seed))
    examples = handover.decoder_examples(None, pairs, 300, 2, 7)
    first = 10**12
    assert examples[1] == ((2, 8), [first + 2, first + 3]) and len(examples) == 300
    assert len(capfd.readouterr().err.splitlines()) + len(caplog.records) <= 1


def test_half_precision_teaches_the_decoder_as_well():
    """Every step has to see the weights that the one before has left."""
    torch.manual_seed(0)
    photo = torch.from_numpy(data.chelsea()[:256, :384].copy()).permute(2, 0, 1)[None] / 127.5 - 1
    loss = LossConfig(decoded_weight=1, decoded_log_floor=1e-3)

    def error_after(steps, **precision):
        torch.manual_seed(0)
        vae = PatchAutoencoder(latent_channels=24, decoder_width=16, decoder_blocks=1)
        patches = torch.nn.functional.pixel_unshuffle(photo, 8)[0].flatten(1)
        vectors, _, _ = torch.linalg.svd(patches - patches.mean(1, keepdim=True))
        vae.set_basis(vectors[:, :24].T, patches.mean(1))
        examples = [(vae.encode(photo).latent_dist.mode().detach(), photo)]
        train_decoder(vae, examples, steps, loss, 1e-3, **precision)
        with torch.no_grad():
            return decoded_error(vae.decode(examples[0][0]).sample, photo, loss).item()

    half = partial(torch.autocast, "cpu", torch.bfloat16)
    start, whole, halved = error_after(0), error_after(40), error_after(40, precision=half)
    assert whole < start - 0.05
    assert halved < start - 0.7 * (start - whole)


def test_the_weave_is_taken_out_of_the_decoder():
    """A pattern in every patch goes, as far as the errors of a photo let it be seen."""
    photo = torch.from_numpy(data.chelsea()[:256, :384].copy()).permute(2, 0, 1)[None] / 127.5 - 1
    vae = PatchAutoencoder(latent_channels=24, decoder_width=16, decoder_blocks=1)
    patches = torch.nn.functional.pixel_unshuffle(photo, 8)[0].flatten(1)
    vectors, _, _ = torch.linalg.svd(patches - patches.mean(1, keepdim=True))
    vae.set_basis(vectors[:, :24].T, patches.mean(1))
    examples = [(vae.encode(photo).latent_dist.mode().detach(), photo)]
    even_out(vae, examples)
    clean = vae.correction[-1].bias.detach().clone()
    assert clean.abs().max() < 2 / 127.5  # what the basis itself leaves out in most patches

    weave = torch.randn(3, 64, generator=torch.Generator().manual_seed(0)) / 127.5
    weave -= weave.mean(1, keepdim=True)
    with torch.no_grad():
        vae.correction[-1].bias.add_(weave.flatten() + 0.01)  # a colour is no weave
    even_out(vae, examples)
    left = vae.correction[-1].bias.detach() - clean
    assert torch.allclose(left, torch.full_like(left, 0.01), atol=1e-5)


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


def test_what_cannot_be_judged_is_refused_before_the_training(tmp_path, monkeypatch):
    photos, out = make_photos(tmp_path / "photos", count=1), tmp_path / "stretch"
    config = tmp_path / "more.yaml"
    config.write_text(yaml.safe_dump({"data": "pairs", "steps": 2}))
    trained = []
    monkeypatch.setattr(stretch, "train", lambda *_: trained.append(1))

    def said(*options, start="mini"):
        command = ["--config", config, "--images", photos, "--start", start, "--out", out, *options]
        found = CliRunner().invoke(stretch.app, [*map(str, command)])
        assert found.exit_code == 2, found.output
        return " ".join(found.output.split())

    assert "--limit" in said("--limit", "0")
    assert "by --out" in said("out=elsewhere")
    assert "give one of them" in said("model.start=mini")
    assert "no option 'stepz'" in said("stepz=2")
    assert not out.exists()
    stretch.judged("mini", {"photo0.png": photos / "photo0.png"}, out / "before")
    other = tmp_path / "other"
    xpsr.load("mini").save_pretrained(other)
    assert "another model; choose another folder" in said(start=other)
    (photos / "photo0.png").write_bytes((photos / "narrow.png").read_bytes())
    assert "not known to be this picture" in said()
    assert not trained


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
