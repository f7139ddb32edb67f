"""Checkpoints of the authors as files: what is read, and what is refused in a sentence."""

import json
from pathlib import Path

import pytest
import torch
from diffusers import ControlNetModel, UNet2DConditionModel
from safetensors.torch import load_file, save_file

from xpsr.errors import NotEnoughMemoryError, XPSRError
from xpsr.models import XPSRControlNetModel, XPSRUNet2DConditionModel
from xpsr.models.checkpoint import check

GOLDEN = Path(__file__).parent / "golden" / "xpsr"


def test_a_bin_checkpoint_loads_like_safetensors(tmp_path):
    source = GOLDEN / "tiny" / "controlnet"
    weights = load_file(source / "diffusion_pytorch_model.safetensors")
    torch.save(weights, tmp_path / "diffusion_pytorch_model.bin")
    (tmp_path / "config.json").write_text((source / "config.json").read_text())
    a = XPSRControlNetModel.from_official(tmp_path).state_dict()
    b = XPSRControlNetModel.from_official(source).state_dict()
    assert all(torch.equal(a[k], b[k]) for k in b)


@pytest.mark.parametrize(
    "said",
    [
        "DefaultCPUAllocator: not enough memory: you tried to allocate 4 bytes",
        "unable to mmap 4 bytes from file <w>: Cannot allocate memory (12)",
    ],
)
def test_where_memory_runs_out_the_file_is_not_called_damaged(monkeypatch, said):
    """Who is told so fetches gigabytes once more."""

    def full(*args):
        raise RuntimeError(said)

    monkeypatch.setattr("xpsr.models.weights_file._cast", full)
    with pytest.raises(NotEnoughMemoryError, match="not enough memory to read"):
        XPSRControlNetModel.from_official(GOLDEN / "tiny" / "controlnet")


def copy_checkpoint(source, target, edit=lambda weights: weights):
    target.mkdir(exist_ok=True)
    (target / "config.json").write_text((source / "config.json").read_text())
    weights = load_file(source / "diffusion_pytorch_model.safetensors")
    save_file(edit(weights), target / "diffusion_pytorch_model.safetensors")
    return target


def without_last(weights):
    return dict(sorted(weights.items())[:-1])


def wrong_shape(weights):
    return {**weights, "conv_in.weight": torch.zeros(8, 5, 3, 3)}


@pytest.mark.parametrize(
    ("edit", "says"), [(without_last, "1 missing"), (wrong_shape, "wrong shape (first: conv_in")]
)
def test_weights_that_do_not_fit_are_reported(edit, says, tmp_path):
    for name, cls in (("controlnet", XPSRControlNetModel), ("unet", XPSRUNet2DConditionModel)):
        folder = copy_checkpoint(GOLDEN / "tiny" / name, tmp_path / name, edit)
        with pytest.raises(XPSRError) as caught:
            cls.from_official(folder)
        assert says in str(caught.value)


def test_a_plain_controlnet_and_swapped_folders_are_named(tmp_path):
    tiny = json.loads((GOLDEN / "tiny" / "unet" / "config.json").read_text())
    ControlNetModel.from_unet(UNet2DConditionModel.from_config(tiny)).save_pretrained(tmp_path)
    with pytest.raises(XPSRError, match="looks like a plain ControlNet"):
        XPSRControlNetModel.from_official(tmp_path)
    with pytest.raises(XPSRError, match="looks like an XPSR UNet"):
        XPSRControlNetModel.from_official(GOLDEN / "tiny" / "unet")
    with pytest.raises(XPSRError, match="looks like an XPSR ControlNet"):
        XPSRUNet2DConditionModel.from_official(GOLDEN / "tiny" / "controlnet")


def test_networks_saved_by_themselves_load_like_the_authors(tmp_path):
    for name, cls in (("controlnet", XPSRControlNetModel), ("unet", XPSRUNet2DConditionModel)):
        official = cls.from_official(GOLDEN / "tiny" / name)
        official.save_pretrained(tmp_path / name)
        again = cls.from_official(tmp_path / name).state_dict()
        assert again.keys() == official.state_dict().keys()
        assert all(torch.equal(again[k], v) for k, v in official.state_dict().items())
    assert check(tmp_path).problems == ()


def test_weights_in_several_parts_are_told(tmp_path):
    unet = XPSRUNet2DConditionModel.from_official(GOLDEN / "tiny" / "unet")
    unet.save_pretrained(tmp_path, max_shard_size="1MB")
    with pytest.raises(XPSRError, match="in several parts; save them anew in a single file"):
        XPSRUNet2DConditionModel.from_official(tmp_path)


def test_damaged_files_and_wrong_folders_are_named(tmp_path):
    with pytest.raises(XPSRError, match="no folder"):
        XPSRControlNetModel.from_official(tmp_path / "absent")
    with pytest.raises(XPSRError, match=r"no config\.json"):
        XPSRControlNetModel.from_official(tmp_path)
    folder = copy_checkpoint(GOLDEN / "tiny" / "controlnet", tmp_path / "cut")
    path = folder / "diffusion_pytorch_model.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(XPSRError, match="damaged or cut short"):
        XPSRControlNetModel.from_official(folder)
    path.unlink()
    with pytest.raises(XPSRError, match="has no weights"):
        XPSRControlNetModel.from_official(folder)
    binary = folder / "diffusion_pytorch_model.bin"
    torch.save({"conv_in.weight": torch.zeros(3)}, binary)
    binary.write_bytes(binary.read_bytes()[:200])
    with pytest.raises(XPSRError, match="damaged or cut short"):
        XPSRControlNetModel.from_official(folder)


def test_a_pickle_with_code_is_refused(tmp_path):
    source = GOLDEN / "tiny" / "controlnet"
    (tmp_path / "config.json").write_text((source / "config.json").read_text())
    torch.save({"conv_in.weight": Path("x")}, tmp_path / "diffusion_pytorch_model.bin")
    with pytest.raises(XPSRError, match="program code"):
        XPSRControlNetModel.from_official(tmp_path)
