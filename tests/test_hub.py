"""Models by hub id: the real client against a hub on loopback."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from hub_server import hub
from safetensors.torch import load_file

pytestmark = pytest.mark.slow

LOAD_AND_LOOK = """
import torch, xpsr
from xpsr.errors import XPSRError
from xpsr.inspection import default_preset, inspect_model

def load(name, base=None):
    pipe = xpsr.load(name, base=base, device="cpu")
    networks = (pipe.unet, pipe.controlnet)
    return sum(p.double().sum().item() for network in networks for p in network.parameters())

def look():
    facts = inspect_model("authors/xpsr", "someone/sd")
    return [facts.name, facts.kind, facts.weights, facts.fetched]

def refused(ask, name):
    try:
        ask(name)
    except XPSRError as error:
        return str(error)

told["sum"] = load("someone/tiny")
told["before"], _, told["after"] = look(), load("authors/xpsr", "someone/sd"), look()
told["see"] = [default_preset("someone/see")]
told["see"].append(type(xpsr.load("someone/see", device="cpu")).__name__)
told["see"].append(default_preset("someone/see"))
told["alone"] = refused(inspect_model, "authors/xpsr")
told["missing"] = refused(load, "nobody/nothing")
"""
CHANGE = """
import html, re
from studio.full.actions import FullActions
from studio.models.choice import Permission
from studio.models.engine import Engine, EngineOptions
from studio.results.outputs import Outputs
from studio.results.shelf import Shelf
from studio.visit import Visit
from studio.services import Services
model, outputs, *names = sys.argv[1:]
engine = Engine(EngineOptions(model=model, device="cpu"))
engine.pipeline()
page = FullActions(Services(engine, Outputs(outputs, Shelf()), Permission(True)))
for name in names:
    looked = page.look(name, "")
    *_, last = page.use(name, "", Visit())
    said = [html.unescape(re.sub("<[^>]*>", "", text)) for text in (looked, last[0])]
    told[name] = [*said, engine.options.model, engine.loaded.label]
"""
CHOSEN = ["me/nowhere", "me/bare", "me/other", "me/cut", "me/whole"]


@dataclass
class Asked:
    """What a process was told, and which files it fetched from the hub."""

    address: str
    home: Path
    told: dict[str, Any] = field(default_factory=dict)
    fetched: set[str] = field(default_factory=set)

    def ask(self, programs: Sequence[str], *arguments: str | Path) -> None:
        """In a process of its own: the client reads the hub's address when it is imported."""
        environment = os.environ | {
            "HF_ENDPOINT": self.address,
            "HF_HOME": str(self.home),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_OFFLINE": "0",
        }
        program = ["import json, sys\ntold = {}", *programs, "print(json.dumps(told))"]
        done = subprocess.run(
            [sys.executable, "-c", "\n".join(program), *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=240,
            env=environment,
        )
        assert done.returncode == 0, done.stderr
        self.told = json.loads(done.stdout)


def save_in_shards(pipeline: Any, folder: Path) -> Path:
    """… with files that nobody wants."""
    pipeline.save_pretrained(folder, max_shard_size="100KB")
    assert len(list((folder / "unet").glob("*-of-*.safetensors"))) > 1
    (folder / "safety_checker").mkdir()
    for unwanted in ("unet/diffusion_pytorch_model.fp16.safetensors", "safety_checker/model.bin"):
        (folder / unwanted).write_bytes(b"not for us")
    return folder


def save_official(golden: Path, pipeline: Any, folder: Path) -> tuple[Path, Path]:
    """A checkpoint as the authors published theirs, and its base."""
    official, base = folder / "official", folder / "base"
    for part in ("unet", "controlnet"):
        (official / part).mkdir(parents=True)
        source = golden / "tiny" / part
        config = (source / "config.json").read_text(encoding="utf-8")
        (official / part / "config.json").write_text(config, encoding="utf-8")
        weights = load_file(source / "diffusion_pytorch_model.safetensors")
        torch.save(weights, official / part / "diffusion_pytorch_model.bin")
    for part in ("vae", "text_encoder", "tokenizer", "scheduler"):
        getattr(pipeline, part).save_pretrained(base / part)
    return official, base


def save_for_the_page(pipeline: Any, folder: Path) -> dict[str, Path]:
    """Models of which only the one that is whole can be used."""
    whole, bare, cut, other = (folder / name for name in ("whole", "bare", "cut", "other"))
    pipeline.save_pretrained(whole)
    shutil.copytree(whole, bare)
    shutil.copytree(whole, cut)
    (bare / "vae" / "diffusion_pytorch_model.safetensors").unlink()
    weights = cut / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    other.mkdir()
    (other / "README.md").write_text("Something else.")
    return {f"me/{one.name}": one for one in (whole, bare, cut, other)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("hub")


@pytest.fixture(scope="module")
def official(golden, tiny_pipeline, folder) -> tuple[Path, Path]:
    return save_official(golden, tiny_pipeline, folder)


@pytest.fixture(scope="module")
def asked(tiny_pipeline, tiny_seesr, tiny, folder, official) -> Asked:
    """One process for all of it: to start one takes longer than what is asked here."""
    tiny_seesr.save_pretrained(folder / "see")
    served = {
        "someone/see": folder / "see",
        "someone/tiny": save_in_shards(tiny_pipeline, folder / "shards"),
        **dict(zip(("authors/xpsr", "someone/sd"), official, strict=True)),
        **save_for_the_page(tiny_pipeline, folder),
    }
    with hub(served) as (address, fetched):
        asked = Asked(address, folder / "home", fetched=fetched)
        asked.ask([LOAD_AND_LOOK, CHANGE], tiny, folder / "outputs", *CHOSEN)
    return asked


def checksum(pipeline) -> float:
    networks = (pipeline.unet, pipeline.controlnet)
    return sum(p.double().sum().item() for n in networks for p in n.parameters())


def test_a_hub_model_in_shards_is_fetched_without_what_is_not_needed(asked, tiny_pipeline):
    assert abs(asked.told["sum"] - checksum(tiny_pipeline)) < 1e-6
    assert "someone/tiny/model_index.json" in asked.fetched
    assert not any("fp16" in name or "safety" in name for name in asked.fetched)


def test_an_official_checkpoint_of_pickled_weights_and_its_base(asked, official):
    before, after = asked.told["before"], asked.told["after"]
    assert before[:3] == ["authors/xpsr", "hub", 0]
    files = [*official[0].rglob("*.bin"), *official[1].rglob("*.safetensors")]
    assert before[3] >= sum(path.stat().st_size for path in files)
    assert "authors/xpsr/unet/diffusion_pytorch_model.bin" in asked.fetched
    assert after[2] > 100_000 and after[3] == 0
    assert "name a folder or hub id of Stable Diffusion 1.5 as base" in asked.told["alone"]
    assert '"nobody/nothing" is no folder here and cannot be fetched' in asked.told["missing"]


def test_a_seesr_is_known_by_its_index_once_it_is_here(asked):
    assert asked.told["see"] == ["official", "SeeSRPipeline", "seesr"]
    assert "someone/see/tagger/diffusion_pytorch_model.safetensors" in asked.fetched


def test_another_model_by_hub_id_on_the_page(asked, tiny, folder):
    """What cannot be used is said before or after it was fetched; the old model stays in use."""
    told = asked.told
    cannot = "cannot be fetched from the Hugging Face hub; check the name and the network."
    assert told["me/nowhere"][1].endswith(cannot)
    assert '"me/bare" on the hub is incomplete: its "vae" has no weights.' in told["me/bare"][0]
    assert '"me/other" on the hub is no such model' in told["me/other"][1]
    assert "have to be fetched first" in told["me/cut"][0]
    assert "damaged or cut short" in told["me/cut"][1]
    for name in CHOSEN[:-1]:
        assert told[name][2:] == [str(tiny), tiny.name], name
    assert told["me/whole"][2] == "me/whole" and "is in use" in told["me/whole"][1]

    # With the network gone: what was fetched before works, anything else is a sentence.
    later = Asked(asked.address, asked.home)
    later.ask([CHANGE], tiny, folder / "outputs", "me/whole", "me/nowhere")
    assert "is in use" in later.told["me/whole"][1]
    nowhere = later.told["me/nowhere"]
    assert nowhere[1].endswith(cannot) and nowhere[2] == "me/whole"
