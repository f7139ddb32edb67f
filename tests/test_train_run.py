"""Whole runs as users start them: killed and taken up again, on several processes, sharded.

To start a process takes longer than to train for some steps. So what is about neither launching nor
killing is the same command in this process.
"""

import logging
import os
import signal
import time
from functools import partial

import pytest
import torch
from accelerate.state import AcceleratorState
from PIL import Image
from safetensors.torch import load_file
from timm.optim import muon
from training_help import CONFIGS, LAUNCH, LAUNCH_TWO, finish, make_photos, train, weights

import xpsr
from train.__main__ import main
from train.describe import describe
from train.manifest import read_manifest
from train.pairing import PrepareConfig
from train.prepare import prepare


@pytest.fixture(scope="module")
def pairs_folder(tmp_path_factory):
    photos, out = (tmp_path_factory.mktemp(name) for name in ("photos", "pairs"))
    list(prepare(make_photos(photos), out, PrepareConfig(variants=2, size=128)))
    list(describe(out, "measured"))
    return out


@pytest.fixture
def train_here(pairs_folder, one_thread, monkeypatch, capsys):
    """`train_here(out, *overrides)`: what the command says in this process, on the CPU."""
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    level, flash = logging.getLogger("train").level, torch.backends.cuda.flash_sdp_enabled()

    def run(out, *overrides, config="smoke.yaml") -> str:
        AcceleratorState._reset_state(reset_partial_state=True)
        torch.backends.cuda.enable_flash_sdp(False)  # as where there is no GPU
        main(CONFIGS / config, [f"data={pairs_folder}", f"out={out}", *overrides])
        return capsys.readouterr().err

    yield run
    torch.backends.cuda.enable_flash_sdp(flash)
    logging.getLogger("train").setLevel(level)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_smoke_from_photos_to_a_pipeline_also_when_killed_on_the_way(
    pairs_folder, train_here, tmp_path
):
    """A run stopped by SIGKILL goes on to bit-identical weights, and the studio can load them."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    options = ("steps=6", "save_every=2", "validate_every=3", "validate_pictures=1")
    log = train_here(whole, *options)
    assert "step 6 of 6" in log and "0:00:00 left" in log and "validation of step 3" in log

    process = train(pairs_folder, killed, *options, launcher=LAUNCH)
    while not list((killed / "checkpoints").glob("step-*2")):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert not (killed / "model_index.json").exists()
    # What a stop in the middle of writing leaves, and a newest checkpoint that was damaged.
    (killed / "checkpoints" / "part-9").mkdir()
    (killed / "checkpoints" / "step-00000005").mkdir()
    log = finish(train(pairs_folder, killed, *options))
    assert "step 6 of 6" in log and "damaged" in log and "going on from" in log

    a, b = weights(whole), weights(killed)
    assert a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)

    pipe = xpsr.load(str(whole))
    picture = Image.open(pairs_folder / "LR" / f"{read_manifest(pairs_folder)[0]['id']}.png")
    out = pipe(picture, prompt="Waves.", num_inference_steps=2, seed=1)
    assert out.images[0].size == (128, 128)


def trained_weights(out) -> dict[str, torch.Tensor]:
    return load_file(out / "checkpoints" / "step-00000003" / "model.safetensors")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_processes_accumulation_and_batches_learn_the_same(pairs_folder, train_here, tmp_path):
    """Two processes of one pair = one of two = one accumulated twice, after three steps."""
    outs = {name: tmp_path / name for name in ("one process", "accumulated", "two processes")}
    fixed = ("steps=3", "caption_dropout=0.3", "trackers=[]")
    halves = (*fixed, "batch_size=1", "gradient_accumulation_steps=2")
    # accelerate shards on GPUs only; that nothing is sharded here has to be said.
    launched = {"launcher": LAUNCH_TWO, "ACCELERATE_USE_FSDP": "true"}
    two = train(pairs_folder, outs["two processes"], *fixed, "batch_size=1", **launched)
    logs = {
        "one process": train_here(outs["one process"], *fixed, "batch_size=2"),
        "accumulated": train_here(outs["accumulated"], *halves),
        "two processes": finish(two),
    }
    found = {name: trained_weights(out) for name, out in outs.items()}
    reference = found.pop("one process")
    for name, weights_of in found.items():
        assert weights_of.keys() == reference.keys()
        off = {k: (weights_of[k] - reference[k]).abs() for k in reference}
        # Three steps of Adam at 1e-3 move every weight by about 3e-3. Where a gradient is hardly
        # more than rounding Adam enlarges it, so a few weights differ by more than the rest.
        assert max(value.max().item() for value in off.values()) < 3e-4, name
        assert torch.cat([value.flatten() for value in off.values()]).mean() < 1e-7, name
    # The reported loss is that of all pairs as well.
    figures = {
        name: [line.split("loss ")[1].split()[0] for line in log.splitlines() if "loss " in line]
        for name, log in logs.items()
    }
    assert figures["one process"] == figures["accumulated"] == figures["two processes"]
    assert "8 pairs in" in logs["one process"] and "2 processes" in logs["two processes"]
    assert "Nothing is sharded" in logs["two processes"]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_embedded_model_is_made_by_one_command(train_here, tmp_path, monkeypatch):
    """From nothing, at its real size: a step of each part, and the result is of mini's making."""
    # float32, also in Muon: most processors only imitate bf16 and take ten times as long.
    few = ("steps=1", "batch_size=2", "lr_warmup_steps=0", "trackers=[]", "mixed_precision=no")
    whole = partial(muon.zeropower_via_newtonschulz, dtype=torch.float32)
    monkeypatch.setattr(muon, "zeropower_via_newtonschulz", whole)
    last = tmp_path / "mini"
    said = train_here(last, *few, config="mini.yaml")
    assert "Part 1 of 4" in said and "Part 4 of 4" in said
    first, second = (last / "parts" / name for name in ("mini_clean", "mini_rest"))
    before, after = weights(first), weights(second)
    predictor = "controlnet.degradation_free_predictor."
    still = {name for name in before if torch.equal(before[name], after[name])}
    assert {name for name in before if name.startswith(predictor)} <= still
    assert len(still) < 0.2 * len(before)
    made, shipped = xpsr.load(str(last)), xpsr.load("mini")
    for part in ("unet", "controlnet", "vae", "text_encoder"):
        sizes = [
            {name: tuple(w.shape) for name, w in getattr(pipe, part).state_dict().items()}
            for pipe in (made, shipped)
        ]
        assert sizes[0] == sizes[1], part
    assert made.scheduler.config.trained_betas == shipped.scheduler.config.trained_betas
    out = made(Image.new("RGB", (32, 32), "teal"), prompt="A wall.", preset="mini")
    assert out.images[0].size == (128, 128)
