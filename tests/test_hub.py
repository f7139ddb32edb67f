"""Models by hub id: the real client against a hub on loopback."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hub_server import hub
from safetensors.torch import load_file

LOAD = """
import sys, torch, xpsr
pipe = xpsr.load(sys.argv[1], device="cpu")
print(sum(p.double().sum().item() for n in (pipe.unet, pipe.controlnet) for p in n.parameters()))
"""
# One process for all of it: to start one takes longer than what is asked here.
LOOK_LOAD_LOOK = """
import json, torch, xpsr
from xpsr.errors import XPSRError
from xpsr.inspection import inspect_model
def look():
    facts = inspect_model("authors/xpsr", "someone/sd")
    return [facts.name, facts.kind, facts.weights, facts.fetched]
before = look()
xpsr.load("authors/xpsr", base="someone/sd", device="cpu")
after, said = look(), []
for ask in (lambda: inspect_model("authors/xpsr"), lambda: xpsr.load("nobody/nothing")):
    try:
        ask()
    except XPSRError as error:
        said.append(str(error))
print(json.dumps([before, after, said]))
"""


def run(
    program: str, address: str, home: Path, *arguments: str
) -> subprocess.CompletedProcess[str]:
    # Its own process: the client reads the hub's address when it is imported.
    environment = os.environ | {
        "HF_ENDPOINT": address,
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_OFFLINE": "0",
    }
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
        timeout=240,
        env=environment,
    )


def checksum(pipeline) -> float:
    networks = (pipeline.unet, pipeline.controlnet)
    return sum(p.double().sum().item() for n in networks for p in n.parameters())


def test_a_hub_model_in_shards_is_fetched_without_what_is_not_needed(tiny_pipeline, tmp_path):
    folder = tmp_path / "model"
    tiny_pipeline.save_pretrained(folder, max_shard_size="100KB")
    assert len(list((folder / "unet").glob("*-of-*.safetensors"))) > 1
    (folder / "safety_checker").mkdir()
    for unwanted in ("unet/diffusion_pytorch_model.fp16.safetensors", "safety_checker/model.bin"):
        (folder / unwanted).write_bytes(b"not for us")
    with hub({"someone/tiny": folder}) as (address, fetched):
        found = run(LOAD, address, tmp_path / "home", "someone/tiny")
    assert found.returncode == 0, found.stderr
    assert abs(float(found.stdout) - checksum(tiny_pipeline)) < 1e-6
    assert "someone/tiny/model_index.json" in fetched
    assert not any("fp16" in name or "safety" in name for name in fetched)


def test_an_official_checkpoint_of_pickled_weights_and_its_base(golden, tiny_pipeline, tmp_path):
    official, base = tmp_path / "official", tmp_path / "base"
    for part in ("unet", "controlnet"):
        (official / part).mkdir(parents=True)
        source = golden / "tiny" / part
        config = (source / "config.json").read_text(encoding="utf-8")
        (official / part / "config.json").write_text(config, encoding="utf-8")
        weights = load_file(source / "diffusion_pytorch_model.safetensors")
        torch.save(weights, official / part / "diffusion_pytorch_model.bin")
    for part in ("vae", "text_encoder", "tokenizer", "scheduler"):
        getattr(tiny_pipeline, part).save_pretrained(base / part)
    with hub({"authors/xpsr": official, "someone/sd": base}) as (address, fetched):
        done = run(LOOK_LOAD_LOOK, address, tmp_path / "home")
    assert done.returncode == 0, done.stderr
    before, after, (alone, missing) = json.loads(done.stdout)
    assert before[:3] == ["authors/xpsr", "hub", 0]
    files = [*official.rglob("*.bin"), *base.rglob("*.safetensors")]
    assert before[3] >= sum(path.stat().st_size for path in files)
    assert "authors/xpsr/unet/diffusion_pytorch_model.bin" in fetched
    assert after[2] > 100_000 and after[3] == 0
    assert "name a folder or hub id of Stable Diffusion 1.5 as base" in alone
    assert '"nobody/nothing" is no folder here and cannot be fetched' in missing


CHANGE = """
import html, json, re, sys
from studio.full.actions import FullActions
from studio.models.choice import Permission
from studio.models.engine import Engine, EngineOptions
from studio.results.outputs import Outputs
from studio.results.shelf import Shelf
from studio.services import Services
engine = Engine(EngineOptions(model=sys.argv[1], device="cpu"))
engine.pipeline()
page = FullActions(Services(engine, Outputs(sys.argv[2], Shelf()), Permission(True)))
told = {}
for name in sys.argv[3:]:
    looked = page.look(name, "")
    *_, last = page.use(name, "")
    said = [html.unescape(re.sub("<[^>]*>", "", text)) for text in (looked, last[0])]
    told[name] = [*said, engine.options.model, engine.loaded.label]
print(json.dumps(told))
"""


@pytest.mark.slow
def test_another_model_by_hub_id_on_the_page(tiny_pipeline, tiny, tmp_path):
    """What cannot be used is said before or after it was fetched; the old model stays in use."""
    whole, bare, cut, other = (tmp_path / name for name in ("whole", "bare", "cut", "other"))
    tiny_pipeline.save_pretrained(whole)
    shutil.copytree(whole, bare)
    shutil.copytree(whole, cut)
    (bare / "vae" / "diffusion_pytorch_model.safetensors").unlink()
    weights = cut / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    other.mkdir()
    (other / "README.md").write_text("Something else.")
    served = {f"me/{folder.name}": folder for folder in (whole, bare, cut, other)}
    names = ["me/nowhere", "me/bare", "me/other", "me/cut", "me/whole"]
    with hub(served) as (address, _):
        done = run(CHANGE, address, tmp_path, str(tiny), str(tmp_path / "outputs"), *names)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    cannot = "cannot be fetched from the Hugging Face hub; check the name and the network."
    assert told["me/nowhere"][1].endswith(cannot)
    assert '"me/bare" on the hub is incomplete: its "vae" has no weights.' in told["me/bare"][0]
    assert '"me/other" on the hub is no such model' in told["me/other"][1]
    assert "have to be fetched first" in told["me/cut"][0]
    assert "damaged or cut short" in told["me/cut"][1]
    for name in names[:-1]:
        assert told[name][2:] == [str(tiny), tiny.name], name
    assert told["me/whole"][2] == "me/whole" and "is in use" in told["me/whole"][1]

    # With the network gone: what was fetched before works, anything else is a sentence.
    done = run(CHANGE, address, tmp_path, str(tiny), str(tmp_path / "outputs"), *names[::-1][::4])
    told = json.loads(done.stdout)
    assert "is in use" in told["me/whole"][1]
    assert told["me/nowhere"][1].endswith(cannot) and told["me/nowhere"][2] == "me/whole"
