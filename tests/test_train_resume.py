"""Going on from a checkpoint: what it holds, and what is said where things are not as they were."""

import logging
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedType
from diffusers.training_utils import EMAModel
from training_help import CONFIGS, make_photos

from train import checkpoints, record
from train.__main__ import _gathered, _networks, run
from train.checkpoints import Extras, Place
from train.config import read_config
from train.data import Samples
from train.describe import describe
from train.pairing import PrepareConfig
from train.prepare import prepare
from xpsr.errors import XPSRError
from xpsr.models import PatchAutoencoder


class Schedule:
    """One that has taken some steps."""

    last_epoch = 7

    def state_dict(self) -> dict:
        return {}

    def load_state_dict(self, state: dict) -> None:
        pass


def extras(*weights: torch.Tensor, scale: float = 1.0, place: Place | None = None) -> Extras:
    trained = [torch.nn.Parameter(weight) for weight in weights]
    vae = PatchAutoencoder(4, 2, 4, 1, scaling_factor=scale)
    ema = EMAModel(trained, decay=0.9)
    place = place or Place(0, 4, 10, "a")
    return Extras(Schedule(), ema, trained, vae, place, "adamw", None)


def test_averaged_weights_go_on_where_the_weights_are():
    """They are read on the CPU; "meta" stands for a GPU here."""
    saved = extras(torch.ones(3), torch.ones(2, 2)).state_dict()
    here = extras(torch.ones(3, device="meta"), torch.ones(2, 2, device="meta"))
    here.load_state_dict(saved)
    assert here.ema is not None
    assert {mean.device.type for mean in here.ema.shadow_params} == {"meta"}
    here.ema.step(here.trained)


def test_the_scale_of_the_latents_stays_that_of_the_first_data():
    saved, here = extras(torch.ones(1), scale=1.25).state_dict(), extras(torch.ones(1), scale=1.5)
    old = {key: saved[key] for key in ("schedule", "ema")}  # of an earlier version
    here.load_state_dict(old)
    assert here.place.seen == 28 and not here.changes
    assert here.vae.config.scaling_factor == 1.5
    here.load_state_dict(saved)
    assert here.vae.config.scaling_factor == 1.25


def test_sharded_weights_are_gathered_with_the_scale_they_were_trained_by(pairs, tmp_path):
    config = read_config(CONFIGS / "smoke.yaml", [f"data={pairs}", f"out={tmp_path}"])
    networks = _networks(config)
    networks.vae.register_to_config(scaling_factor=1.25)  # of the data before
    model = torch.nn.ModuleDict(
        {part: getattr(networks, part) for part in ("unet", "controlnet", "text_encoder", "vae")}
    )
    with torch.no_grad():
        networks.unet.conv_in.weight.add_(1)
    engine = SimpleNamespace(
        distributed_type=DistributedType.FSDP,
        is_main_process=True,
        get_state_dict=lambda model: model.state_dict(),
    )
    whole = _gathered(config, networks, SimpleNamespace(model=model), engine)
    assert whole is not networks and whole.vae.config.scaling_factor == 1.25
    assert torch.equal(whole.unet.conv_in.weight, networks.unet.conv_in.weight)


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (Place(0, 4, 10, "a"), []),
        (Place(0, 2, 10, "a"), ["a step takes 2 pairs, before 4"]),
        (Place(0, 4, 12, "b"), ["data holds 12 pairs or photos, before 10"]),
        (Place(0, 4, 10, "b"), ["data holds other pairs, texts or photos"]),
        (Place(0, 4, 10, "a", "now"), ["data holds other pairs, texts or photos"]),
        (Place(0, 4, 10, "a", "then"), []),
    ],
)
def test_what_makes_other_samples_is_told(now, said):
    here = extras(torch.ones(1), place=now)
    saved = extras(torch.ones(1), place=Place(24, 4, 10, "a", "then")).state_dict()
    here.load_state_dict(saved)
    assert here.changes == said and here.place.seen == 24


def test_a_checkpoint_that_knows_nothing_of_the_photos_fits_any_of_these_names():
    saved = extras(torch.ones(1)).state_dict()
    del saved["place"]["pixels"]  # of an earlier version
    here = extras(torch.ones(1), place=Place(0, 4, 10, "a", "now"))
    here.load_state_dict(saved)
    assert not here.changes


def smoke(data: Path, out: Path, *overrides: str) -> None:
    always = ["batch_size=2", "trackers=[]"]
    AcceleratorState._reset_state(reset_partial_state=True)
    options = [f"data={data}", f"out={out}", *always, *overrides]
    run(read_config(CONFIGS / "smoke.yaml", options))


@pytest.fixture(scope="module")
def pairs(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("pairs")
    list(prepare(make_photos(tmp_path_factory.mktemp("photos")), out, PrepareConfig(size=128)))
    list(describe(out, "measured"))
    return out


def test_a_run_goes_on_after_the_samples_it_has_seen(pairs, tmp_path, caplog, monkeypatch):
    """Whatever a step takes now, none is shown again; other data is told."""
    caplog.set_level(logging.INFO)
    data, drawn = shutil.copytree(pairs, tmp_path / "pairs"), []
    batch = Samples.batch
    monkeypatch.setattr(Samples, "batch", lambda self, n: drawn.extend(n) or batch(self, n))
    smoke(data, tmp_path / "out", "steps=2")
    smoke(data, tmp_path / "out", "steps=4", "batch_size=1")
    assert drawn == [0, 1, 2, 3, 4, 5]
    assert "a step takes 1 pair, before 2. The run goes on after the 4 samples" in caplog.text
    caplog.clear()
    manifest = data / "manifest.jsonl"
    manifest.write_text("".join(manifest.read_text().splitlines(keepends=True)[1:]))
    smoke(data, tmp_path / "out", "steps=5", "batch_size=1")
    assert drawn[6:] == [6] and "data holds 3 pairs or photos, before 4" in caplog.text


class Disk:
    """accelerate, as far as files go: a checkpoint is whole where it has its file."""

    is_main_process = True
    step = 3

    def save_state(self, folder: str) -> None:
        Path(folder).mkdir(parents=True)
        (Path(folder) / "whole").touch()

    def load_state(self, folder: str) -> None:
        (Path(folder) / "whole").read_text()

    def wait_for_everyone(self) -> None:
        pass


def test_a_damaged_checkpoint_takes_no_place_of_a_whole_one(tmp_path, caplog):
    disk, folder = Disk(), tmp_path / "checkpoints"
    for step in (100, 200):
        checkpoints.save(disk, tmp_path, step, keep=2)
    (folder / "step-00000200" / "whole").unlink()
    (folder / "part-300").mkdir()
    assert checkpoints.resume(disk, tmp_path) == 100
    assert {path.name for path in folder.iterdir()} == {"step-00000100", "unread-step-00000200"}
    assert "step-00000200 is now unread-step-00000200" in caplog.text
    checkpoints.save(disk, tmp_path, 150, keep=1)
    assert checkpoints.resume(disk, tmp_path) == 150
    # Where none can be read, nothing is moved: an option may be all that is wrong.
    (folder / "step-00000150" / "whole").unlink()
    with pytest.raises(XPSRError, match="No checkpoint"):
        checkpoints.resume(disk, tmp_path)
    assert (folder / "step-00000150").is_dir()


def test_machines_that_do_not_share_the_folder_are_told(tmp_path, monkeypatch):
    checkpoints.save(Disk(), tmp_path, 100, keep=2)
    monkeypatch.setattr(checkpoints, "gather_object", lambda own: [*own, []])
    with pytest.raises(XPSRError, match="one folder that all machines share"):
        checkpoints.resume(Disk(), tmp_path)


def test_the_options_of_a_run_outlive_those_that_do_not_fit_it(pairs, tmp_path):
    smoke(pairs, tmp_path, "steps=1")
    options = (tmp_path / "config.yaml").read_text()
    for other, said in (
        ("model.unet.block_out_channels=[16, 32]", ""),
        ("optimizer=adamw8bit", "it was written with optimizer=adamw"),
    ):
        with pytest.raises(XPSRError, match=f"{said}.* which .*config.yaml holds"):
            smoke(pairs, tmp_path, "steps=2", other)
        assert (tmp_path / "config.yaml").read_text() == options


def test_a_default_that_is_given_is_no_change(tmp_path):
    before = ["data=pairs", f"out={tmp_path}", "model.alpha_bar_range=[0.1, 0.005]"]
    record.write(tmp_path, read_config(CONFIGS / "smoke.yaml", before))

    def changes(*overrides: str) -> list[str]:
        return record.changes(tmp_path, read_config(CONFIGS / "smoke.yaml", [*before, *overrides]))

    assert changes("weight_decay=0.01", "crop=64", "steps=9") == []
    assert changes("crop=96", "model.unet.act_fn=gelu") == [
        "crop: 64, now 96",
        "model.unet.act_fn: not given, now gelu",
    ]
    (tmp_path / "config.yaml").write_text("data: pairs\nout: x\ncolour: red\n")
    assert "There is no option 'colour'" in changes()[0]


def test_a_constant_rate_warms_up_as_well_and_within_the_steps(pairs, tmp_path, capsys):
    warm = ("lr_schedule=constant", "lr_warmup_steps=2")
    smoke(pairs, tmp_path, *warm, "steps=3")
    said = [line.split("lr ")[1].split()[0] for line in capsys.readouterr().err.splitlines()[1:4]]
    assert said == ["5.00e-04", "1.00e-03", "1.00e-03"]
    with pytest.raises(XPSRError, match="never be reached"):
        smoke(pairs, tmp_path / "other", *warm, "steps=2")
    assert not (tmp_path / "other").exists()
    smoke(pairs, tmp_path, *warm, "steps=1")  # exports what is there
