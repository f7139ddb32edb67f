"""The tagger DAPE against the authors' numbers, and what is said of files that are not its own."""

import json
import re

import numpy as np
import pytest
import torch
from accelerate import init_empty_weights
from PIL import Image
from safetensors.torch import load_file, save_file
from tiny_dape import CONFIG, DAPE, RAM, SAID, SEESR, tiny_dape
from torch.nn import functional as F

from xpsr.errors import XPSRError
from xpsr.models import DAPEModel
from xpsr.models.dape_official import merge_lora, to_ours
from xpsr.models.ram_tags import ram_tags
from xpsr.parts import read_part


@pytest.fixture(scope="module")
def golden():
    return load_file(SEESR / "dape.safetensors")


@pytest.fixture(scope="module")
def dape():
    return tiny_dape()


def close(found, expected, tolerance=1e-4):
    assert found.shape == expected.shape
    assert (found - expected).abs().max() <= tolerance


def picture(values):
    """A tensor (1, 3, H, W) in [0, 1], as a picture of 8 bits."""
    levels = (values[0].permute(1, 2, 0) * 255).round().byte()
    return Image.fromarray(levels.numpy())


@torch.no_grad()
@pytest.mark.parametrize("whose", ["dape", "ram"])
def test_tokens_logits_and_tags(golden, whose):
    model = DAPEModel.from_official(RAM, DAPE if whose == "dape" else None, config=CONFIG)
    assert not model.training
    embeds = model.embed(golden["in.pixels"])
    close(embeds, golden[f"{whose}.image_embeds"])
    close(model.logits(embeds), golden[f"{whose}.logits"])
    assert [", ".join(tags) for tags in model.tags(embeds)] == SAID[f"expected_tags_{whose}"]


@torch.no_grad()
def test_inner_activations(golden, dape):
    seen, hooks = {}, []

    def look(name, module, at_its_input=False):
        def hook(module, given, made):
            found = given if at_its_input else made
            seen[name] = found[0] if isinstance(found, tuple) else found

        hooks.append(module.register_forward_hook(hook))

    look("patch_embed", dape.swin.embeddings)
    look("layer0", dape.swin.encoder.layers[0])
    look("layer1", dape.swin.encoder.layers[1])
    look("swin_out", dape.image_proj, at_its_input=True)
    look("tagging_head", dape.tagging_head[-1])
    dape.logits(dape.embed(golden["in.pixels"]))
    for hook in hooks:
        hook.remove()
    assert {f"dape.tap.{name}" for name in seen} == {n for n in golden if ".tap." in n}
    for name, found in seen.items():
        close(found, golden[f"dape.tap.{name}"])


def test_merged_weights(golden):
    weights = load_file(RAM)
    assert merge_lora(weights, load_file(DAPE)) == ""
    qkv, key = "layers.0.blocks.0", "tagging_head.0"
    found = weights[f"visual_encoder.{qkv}.attn.qkv.weight"]
    close(found, golden[f"dape.merged_qkv_weight.{qkv}"], 1e-6)
    found = weights["tagging_head.encoder.layer.0.crossattention.self.key.weight"]
    close(found, golden[f"dape.merged_key_weight.{key}"], 1e-6)


@pytest.mark.parametrize("size", ["40x52", "150x180"])
def test_pictures_are_squashed_without_antialias(golden, dape, size):
    values = golden[f"in.lr_image_{size}"]
    small = F.interpolate(values, (64, 64), mode="bilinear", antialias=False)
    close(small, golden[f"resize.{size}.no_antialias"], 1e-6)
    mean, std = (torch.tensor(SAID[name])[:, None, None] for name in ("image_mean", "image_std"))
    # The golden pictures have more than 8 bits: what a picture holds of them is what is seen.
    eight = torch.from_numpy(np.asarray(picture(values)) / np.float32(255)).permute(2, 0, 1)[None]
    wanted = F.interpolate(eight, (64, 64), mode="bilinear", antialias=False)
    close(dape.pixels(picture(values)), (wanted - mean) / std, 1e-6)
    row = 0 if size == "40x52" else 1
    close(dape.pixels(picture(values)), golden["in.pixels"][row : row + 1], 0.5 / 255 / 0.224)
    smooth = (golden[f"resize.{size}.antialias"] - mean) / std
    if size == "150x180":
        assert (dape.pixels(picture(values)) - smooth).abs().max() > 0.1


def test_pictures_of_other_modes(dape):
    grey = Image.new("L", (31, 17), 99)
    assert torch.equal(dape.pixels(grey), dape.pixels(grey.convert("RGB")))
    assert dape.pixels(grey.convert("RGBA")).shape == (1, 3, 64, 64)


def test_official_size_takes_every_needed_weight_once():
    said = json.loads((SEESR / "keys_ram_dape.json").read_text(encoding="utf-8"))
    with init_empty_weights():
        model = DAPEModel()
    given = {
        name: torch.empty(shape, device="meta") for name, shape in said["ram_base_keys"].items()
    }
    lora = {
        name: torch.empty(shape, device="meta") for name, shape in said["dape_lora_keys"].items()
    }
    assert merge_lora(given, lora) == ""
    assert "1 missing" in merge_lora(given, {k: v for k, v in lora.items() if k != min(lora)})
    ours = to_ours(given)
    fused = sum(".attn.qkv." in name for name in given)
    assert len(ours) == len(given) + 2 * fused
    assert {k: v.shape for k, v in ours.items()} == {
        k: v.shape for k, v in model.state_dict().items()
    }
    assert model.num_parameters() == said["n_params_needed_base"]
    assert (len(model.config.tags), len(model.config.thresholds)) == (4585, 4585)


def test_vocabulary():
    tags, thresholds = ram_tags()
    assert (tags[0], tags[-1], len(tags)) == ("3D CG rendering", "zoo", len(thresholds))
    assert (min(thresholds), max(thresholds), thresholds.count(0.65)) == (0.45, 1.0, 3414)


@torch.no_grad()
def test_a_tag_at_its_threshold_is_left_out(golden, dape):
    embeds = dape.embed(golden["in.pixels"])
    exact = dape.logits(embeds)[0].sigmoid().tolist()
    model = DAPEModel.from_official(RAM, DAPE, config={**CONFIG, "thresholds": exact})
    assert model.tags(embeds)[0] == []


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_saved_and_read_again(golden, tmp_path, dtype):
    model = tiny_dape(dtype=dtype)
    assert model.dtype == dtype
    model.save_pretrained(tmp_path / "tagger")
    again = read_part(tmp_path / "tagger", DAPEModel, dtype)
    assert not again.training
    state = again.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert again.config.tags == SAID["tags"]
    with torch.no_grad():
        seen = golden["in.pixels"].to(dtype)
        assert torch.equal(again.embed(seen), model.embed(seen))
        assert again.tags(again.embed(seen)) == model.tags(model.embed(seen))


@torch.no_grad()
def test_half_precision_is_near(golden, dape):
    half = tiny_dape(dtype=torch.float16)
    embeds = half.embed(golden["in.pixels"].half())
    assert embeds.dtype == torch.float16
    close(embeds.float(), golden["dape.image_embeds"], 0.05)


def test_a_tagger_that_lacks_a_weight_is_refused(tmp_path):
    folder = tmp_path / "tagger"
    tiny_dape().save_pretrained(folder)
    path = folder / "diffusion_pytorch_model.safetensors"
    save_file({k: v for k, v in load_file(path).items() if k != "fc.bias"}, path)
    with pytest.raises(XPSRError, match="1 missing"):
        read_part(folder, DAPEModel, torch.float32)


@torch.no_grad()
def test_files_as_the_authors_give_them(golden, tmp_path):
    """Nested, spelled in the old way, with groups and buffers that are of no use here."""
    unused = {"text_decoder.bert.weight": torch.ones(2), "tag_encoder.weight": torch.ones(2)}
    buffers = {"visual_encoder.layers.0.blocks.0.attn.relative_position_index": torch.ones(16, 16)}
    model = {k.replace("tagging_head", "vision_multi"): v for k, v in load_file(RAM).items()}
    ram, dape = tmp_path / "ram_swin_large_14m.pth", tmp_path / "DAPE.pth"
    torch.save({"model": {**model, **unused, **buffers}, "epoch": 3}, ram)
    other = {"text_decoder.layer.query.lora_A": torch.ones(8, 3)}
    torch.save({**load_file(DAPE), **other}, dape)
    read = DAPEModel.from_official(ram, dape, config=CONFIG)
    close(read.embed(golden["in.pixels"]), golden["dape.image_embeds"])


def refused(ram=RAM, dape=DAPE, **options):
    with pytest.raises(XPSRError) as caught:
        DAPEModel.from_official(ram, dape, config=CONFIG, **options)
    said = str(caught.value)
    assert "\n" not in said and said.endswith(".") and len(said) < 420
    return said


def test_one_file_in_place_of_the_other():
    assert re.search("dape_lora.* is not the file ram_swin.*looks like the LoRA", refused(ram=DAPE))
    assert re.search("ram_base.* is not the file DAPE.pth.*looks like RAM", refused(dape=RAM))


def test_its_successor_is_named(tmp_path):
    path = tmp_path / "ram_plus.safetensors"
    save_file({**load_file(RAM), "reweight_scale": torch.ones(1)}, path)
    assert "RAM++" in refused(ram=path)
    unet = SEESR.parent / "xpsr" / "tiny" / "unet" / "diffusion_pytorch_model.safetensors"
    assert "another kind of model" in refused(ram=unet)


def test_damaged_files(tmp_path):
    half = tmp_path / "ram_swin_large_14m.pth"
    torch.save({"model": load_file(RAM)}, half)
    half.write_bytes(half.read_bytes()[:20_000])
    assert "damaged or cut short" in refused(ram=half)
    page = tmp_path / "DAPE.pth"
    page.write_text("<!DOCTYPE html><html><title>Google Drive</title></html>")
    assert "web page" in refused(dape=page)
    assert "cannot be read" in refused(ram=tmp_path / "nowhere.pth")


def test_weights_that_do_not_fit(tmp_path):
    ram, dape = load_file(RAM), load_file(DAPE)
    path = tmp_path / "one.safetensors"
    save_file({k: v for k, v in ram.items() if k != "fc.weight"}, path)
    assert "1 missing (first: fc.weight)" in refused(ram=path)
    save_file({**ram, "label_embed": torch.ones(7, 512)}, path)
    assert "(7, 512) instead of (6, 512)" in refused(ram=path)
    save_file({k: v for k, v in dape.items() if "key" not in k}, path)
    assert "4 missing" in refused(dape=path)
    with pytest.raises(XPSRError, match="RAM"):  # the golden files, taken for official ones
        DAPEModel.from_official(RAM, DAPE)
    with pytest.raises(XPSRError, match="as many thresholds"):
        DAPEModel.from_official(RAM, config={**CONFIG, "thresholds": [0.5]})
