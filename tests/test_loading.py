"""Loading from every kind of place, saving, number formats, offload, devices."""

from __future__ import annotations

import copy
import errno
import json
import logging
import shutil
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import httpx2
import pytest
import torch
from accelerate import cpu_offload
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from diffusers.models import modeling_utils
from peft import LoraConfig, get_peft_model_state_dict
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers.utils import WEIGHTS_NAME

import xpsr
from xpsr.errors import NotEnoughMemoryError, XPSRError
from xpsr.inspection import inspect_model
from xpsr.models import XPSRControlNetModel, XPSRUNet2DConditionModel
from xpsr.models.own_layers import save_own_layers
from xpsr.pipeline import LORA, Restored, XPSRPipeline
from xpsr.placement import choose_device, choose_dtype
from xpsr.prompts import Prompts
from xpsr.prompts.describer import DescriberUnavailableError
from xpsr.prompts.weights import fetch_all
from xpsr.revision import ModelSource
from xpsr.settings import Settings

QUICK = Settings(num_inference_steps=1, upscale=2, process_size=0, seed=3)


def run(pipe: XPSRPipeline, image: Image.Image, **changes) -> Restored:
    *_, last = pipe.stream(image, Prompts(prompt="a wall"), replace(QUICK, **changes))
    assert isinstance(last, Restored)
    return last


def test_saved_and_loaded_again_it_makes_the_same_pixels(tiny_pipeline, picture, tmp_path):
    pipe = XPSRPipeline(**tiny_pipeline.components, residual_latents=True, default_preset="fast")
    pipe.save_pretrained(tmp_path)
    expected = run(pipe, picture(20, 16)).recipe.output_sha256
    for loaded in (XPSRPipeline.from_pretrained(tmp_path), xpsr.load(tmp_path, device="cpu")):
        assert loaded.config.residual_latents is True
        assert loaded.config.default_preset == "fast"
        for name in ("unet", "controlnet", "vae", "text_encoder"):
            before = getattr(tiny_pipeline, name).state_dict()
            after = getattr(loaded, name).state_dict()
            assert before.keys() == after.keys()
            assert all(torch.equal(before[key], after[key]) for key in before)
        assert run(loaded, picture(20, 16)).recipe.output_sha256 == expected
        assert loaded.label == tmp_path.name


def test_weights_begin_where_they_are_always_summed_up_alike(tiny_pipeline, golden, tmp_path):
    tiny_pipeline.save_pretrained(tmp_path)
    pipe = xpsr.load(tmp_path, device="cpu")
    official = XPSRUNet2DConditionModel.from_official(golden / "tiny" / "unet")
    for network in (pipe.unet, pipe.controlnet, pipe.vae, pipe.text_encoder, official):
        assert {value.data_ptr() % 64 for value in network.state_dict().values()} == {0}


def test_a_saved_copy_does_not_tell_where_the_original_lay(tiny_pipeline, tmp_path):
    tiny_pipeline.save_pretrained(tmp_path / "first")
    xpsr.load(tmp_path / "first", device="cpu").save_pretrained(tmp_path / "second")
    for path in (tmp_path / "second").rglob("*.json"):
        assert str(tmp_path) not in path.read_text(encoding="utf-8"), path.name


def test_our_classes_are_found_wherever_the_index_says_they_are(tiny_pipeline, tmp_path):
    tiny_pipeline.save_pretrained(tmp_path)
    path = tmp_path / "model_index.json"
    index = json.loads(path.read_text())
    index["unet"][0] = "some.module.of.the.past"
    path.write_text(json.dumps(index))
    assert isinstance(xpsr.load(tmp_path, device="cpu"), XPSRPipeline)
    index["unet"] = ["os", "system"]
    path.write_text(json.dumps(index))
    with pytest.raises(XPSRError, match='its unet is of the kind "system"'):
        xpsr.load(tmp_path, device="cpu")


@pytest.fixture(scope="module")
def base_folder(tiny_pipeline, tmp_path_factory):
    """What a Stable Diffusion folder gives to an official checkpoint."""
    folder = tmp_path_factory.mktemp("base")
    for name in ("vae", "text_encoder", "tokenizer", "scheduler"):
        getattr(tiny_pipeline, name).save_pretrained(folder / name)
    return folder


def test_official_checkpoint_needs_its_base(tiny_pipeline, picture, golden, base_folder):
    with pytest.raises(XPSRError, match="as base"):
        xpsr.load(golden / "tiny", device="cpu")
    pipe = xpsr.load(golden / "tiny", base=base_folder, device="cpu")
    assert pipe.label == "tiny"
    assert pipe.defaults()[1] == xpsr.PRESETS["official"]
    first, other = (run(one, picture(16, 16)).recipe for one in (pipe, tiny_pipeline))
    assert first.output_sha256 == other.output_sha256


@pytest.mark.parametrize("own_layers", [False, True])
def test_official_checkpoints_come_in_one_number_format_and_without_warnings(
    tiny_pipeline, golden, base_folder, tmp_path, monkeypatch, own_layers
):
    warned: list[str] = []
    monkeypatch.setattr(modeling_utils.logger, "warning", warned.append)
    folder, base = golden / "tiny", base_folder
    if own_layers:
        folder, base = tmp_path / "own", shutil.copytree(base_folder, tmp_path / "base")
        config = json.loads((golden / "tiny" / "unet" / "config.json").read_text())
        plain = UNet2DConditionModel.from_config(config)
        plain.save_pretrained(base / "unet")
        (folder / "unet").mkdir(parents=True)
        save_own_layers(XPSRUNet2DConditionModel.from_unet(plain), folder / "unet")
        tiny_pipeline.controlnet.save_pretrained(folder / "controlnet")
    warned.clear()
    pipe = xpsr.load(folder, base=base, device="cpu", dtype="bfloat16")
    assert warned == []
    for name in ("unet", "controlnet", "vae", "text_encoder"):
        weights = getattr(pipe, name).state_dict().values()
        assert {value.dtype for value in weights if value.is_floating_point()} == {torch.bfloat16}


def test_a_variant_is_loaded_where_there_is_nothing_else(tiny_pipeline, picture, tmp_path):
    half = xpsr.load(saved(tiny_pipeline, tmp_path / "plain"), device="cpu", dtype="float16")
    folder = saved(half, tmp_path / "half", variant="fp16", max_shard_size="100KB")
    assert not (folder / "vae" / "diffusion_pytorch_model.safetensors").exists()
    pipe = xpsr.load(folder, device="cpu")
    assert pipe.unet.dtype == torch.float32
    assert inspect_model(str(folder)).weights == inspect_model(str(tmp_path / "plain")).weights
    for name in ("unet", "controlnet", "vae", "text_encoder"):
        before, after = (getattr(one, name).state_dict() for one in (half, pipe))
        assert all(torch.equal(before[key].float(), after[key]) for key in before)
    for path in (folder / "vae").glob("*.fp16*.safetensors"):
        shutil.copy(path, path.with_name(path.name.replace("fp16", "other")))
    with pytest.raises(XPSRError, match=r"several variants \(fp16, other\)"):
        xpsr.load(folder, device="cpu")
    saved(tiny_pipeline, folder)  # plain ones come first
    again = xpsr.load(folder, device="cpu")
    assert torch.equal(again.unet.conv_in.weight, tiny_pipeline.unet.conv_in.weight)


def saved(pipe, folder, **options):
    pipe.save_pretrained(folder, **options)
    return folder


def test_a_base_of_pickles_is_read_without_talk_of_errors(
    tiny_pipeline, golden, base_folder, tmp_path, caplog, monkeypatch
):
    base = shutil.copytree(base_folder, tmp_path / "base")
    for part, name in (("vae", "diffusion_pytorch_model.bin"), ("text_encoder", WEIGHTS_NAME)):
        (path,) = (base / part).glob("*.safetensors")
        torch.save(load_file(path), base / part / name)
        path.unlink()
    for library in ("diffusers", "transformers"):
        monkeypatch.setattr(logging.getLogger(library), "propagate", True)
    pipe = xpsr.load(golden / "tiny", base=base, device="cpu")
    assert caplog.text == ""
    for part in ("vae", "text_encoder"):
        before, after = (getattr(one, part).state_dict() for one in (tiny_pipeline, pipe))
        assert all(torch.equal(before[key], after[key]) for key in before)


def test_parts_of_different_families_are_refused(golden, base_folder, tiny_pipeline, tmp_path):
    with pytest.raises(XPSRError, match="name another base"):
        xpsr.load(golden / "tiny_rrdb", base=base_folder, device="cpu")
    tiny_pipeline.save_pretrained(tmp_path)
    narrow = XPSRControlNetModel.from_official(golden / "tiny_rrdb" / "controlnet")
    narrow.save_pretrained(tmp_path / "controlnet")
    with pytest.raises(XPSRError, match="do not belong together"):
        xpsr.load(tmp_path, device="cpu")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("no such thing", "a hub id such as"),
        ("", "a hub id such as"),  # and not whatever lies in the present folder
        ("/nowhere/at/all", "a folder that exists"),
        ("../nowhere/at/all", "a folder that exists"),
        ("a" * 300, "File name too long"),
        ("~nobody-of-this-name/model", "nobody has here"),
        ("tests/conftest.py", "is a file, and here a model is a folder"),
    ],
)
def test_unknown_names_are_told_in_a_sentence(name, words):
    for look in (partial(xpsr.load, device="cpu"), inspect_model):
        with pytest.raises(XPSRError, match=words):
            look(name)


def test_a_path_is_a_folder_though_it_is_called_mini(tiny_pipeline, tmp_path, monkeypatch):
    tiny_pipeline.save_pretrained(tmp_path / "mini")
    monkeypatch.chdir(tmp_path)
    loaded = xpsr.load(Path("./mini"), device="cpu")
    width = tiny_pipeline.unet.config.block_out_channels
    assert loaded.unet.config.block_out_channels == width
    assert xpsr.load("mini", device="cpu").unet.config.block_out_channels != width


def test_folders_that_hold_no_model(tiny_pipeline, base_folder, tmp_path):
    with pytest.raises(XPSRError, match="holds no model"):
        xpsr.load(tmp_path, device="cpu")
    (tmp_path / "model_index.json").write_text("{")
    with pytest.raises(XPSRError, match="cannot be read"):
        xpsr.load(tmp_path, device="cpu")
    (tmp_path / "model_index.json").write_text("{}")
    with pytest.raises(XPSRError, match='incomplete: it has no "vae"'):
        xpsr.load(tmp_path, device="cpu")
    shutil.copytree(base_folder / "vae", tmp_path / "vae")
    weights = tmp_path / "vae" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(XPSRError, match="is damaged or cut short"):
        xpsr.load(tmp_path, device="cpu")


@pytest.mark.parametrize(
    ("part", "lost", "words"),
    [
        ("text_encoder", "layers.0.", r"\d+ missing \(first: \S*layers\.0\."),
        ("unet", ".pixel_attentions.", r"\d+ missing \(first: \S*pixel_attentions"),
        ("vae", "decoder.conv_in.", "2 missing"),
        ("controlnet", None, r"1 not expected \(first: stranger\)"),
    ],
)
def test_weights_that_do_not_fit_are_refused(tiny_pipeline, tmp_path, part, lost, words):
    """Both libraries would make up what is missing, anew at every start, and only log it."""
    tiny_pipeline.save_pretrained(tmp_path)
    (path,) = (tmp_path / part).glob("*.safetensors")
    weights = load_file(path)
    kept = {name: value for name, value in weights.items() if lost is None or lost not in name}
    assert len(kept) < len(weights) or lost is None
    if lost is None:
        kept["stranger"] = torch.zeros(1)
    save_file(kept, path, {"format": "pt"})
    with pytest.raises(XPSRError, match=f'"{part}" in .* do not fit its config.json: {words}'):
        xpsr.load(tmp_path, device="cpu")


def test_number_formats(tiny_pipeline, picture, tmp_path):
    tiny_pipeline.save_pretrained(tmp_path)
    pipe = xpsr.load(tmp_path, device="cpu", dtype="bfloat16")
    assert pipe.unet.dtype == pipe.vae.dtype == pipe.text_encoder.dtype == torch.bfloat16
    *steps, last = pipe.stream(picture(16, 16), settings=QUICK)
    assert steps[-1].latents.dtype == torch.float32
    assert last.recipe.dtype == "bfloat16"
    stored = load_file(tmp_path / "unet" / "diffusion_pytorch_model.safetensors")
    assert {value.dtype for value in stored.values()} == {torch.float32}


def test_model_offload_moves_every_part_in_before_it_works(tiny_pipeline, picture, tmp_path):
    """Also those that work outside their forward: encoding, decoding, the picture's embedding."""
    tiny_pipeline.save_pretrained(tmp_path)
    pipe = xpsr.load(tmp_path, device="cpu")
    pipe.enable_model_cpu_offload(device="cpu")
    moved: list[str] = []
    for name in ("text_encoder", "vae", "unet", "controlnet"):
        hook = getattr(pipe, name)._hf_hook
        hook.pre_forward = _recording(moved, name, hook.pre_forward)
    embedding = pipe.controlnet.controlnet_cond_embedding
    embedding.forward = _recording(moved, "hint", embedding.forward)
    last = run(pipe, picture(16, 16))
    assert set(moved) == {"text_encoder", "vae", "unet", "controlnet", "hint"}
    assert moved.index("vae") < moved.index("controlnet") < moved.index("hint")
    assert last.recipe.output_sha256 == run(tiny_pipeline, picture(16, 16)).recipe.output_sha256


def test_sequential_offload_makes_the_same_pixels(tiny_pipeline, picture, tmp_path):
    tiny_pipeline.save_pretrained(tmp_path)
    pipe = xpsr.load(tmp_path, device="cpu")
    for name in ("text_encoder", "vae", "unet", "controlnet"):  # as the pipeline's own method does
        cpu_offload(getattr(pipe, name), torch.device("cpu"), offload_buffers=True)
    last = run(pipe, picture(16, 16))
    assert last.recipe.output_sha256 == run(tiny_pipeline, picture(16, 16)).recipe.output_sha256


def test_a_pipeline_of_the_same_parts_has_their_name_and_number_format(tiny_pipeline, tmp_path):
    tiny_pipeline.save_pretrained(tmp_path / "mine")
    pipe = xpsr.load(tmp_path / "mine", device="cpu", dtype="bfloat16")
    told = pipe.surroundings()
    assert told["model"] == "mine" and told["revision"] and told["dtype"] == "bfloat16"
    assert XPSRPipeline.from_pipe(pipe).surroundings() == pipe.surroundings() == told
    other = XPSRPipeline.from_pipe(pipe, unet=copy.deepcopy(pipe.unet)).surroundings()
    assert (other["model"], other["revision"]) == ("unnamed", None)
    assert XPSRPipeline.from_pipe(pipe, torch_dtype=torch.float32).unet.dtype == torch.float32


def _recording(names, name, function):
    def call(*args, **kwargs):
        names.append(name)
        return function(*args, **kwargs)

    return call


def test_a_lora_of_stable_diffusion_and_what_its_recipe_tells(tiny_pipeline, picture, tmp_path):
    config = {k: v for k, v in tiny_pipeline.unet.config.items() if not k.startswith("_")}
    plain = UNet2DConditionModel.from_config(config)
    plain.add_adapter(LoraConfig(r=2, target_modules=["to_q", "to_v"], init_lora_weights=False))
    weights = get_peft_model_state_dict(plain)
    StableDiffusionPipeline.save_lora_weights(tmp_path, unet_lora_layers=weights)
    pipe = XPSRPipeline.from_pipe(tiny_pipeline)
    pipe.unet = copy.deepcopy(pipe.unet)
    pipe.source = ModelSource(revision="weights-" + 40 * "a")
    before = run(pipe, picture(16, 16)).recipe
    pipe.load_lora_weights(tmp_path, weight_name="pytorch_lora_weights.safetensors")
    during = run(pipe, picture(16, 16)).recipe
    assert during.output_sha256 != before.output_sha256
    assert (during.revision, during.notes) == (None, (LORA,))
    pipe.unload_lora_weights()
    assert run(pipe, picture(16, 16)).recipe == before
    pipe.load_lora_weights(tmp_path, weight_name="pytorch_lora_weights.safetensors")
    pipe.fuse_lora()
    pipe.unload_lora_weights()
    fused = run(pipe, picture(16, 16)).recipe
    assert fused.output_sha256 != before.output_sha256
    assert (fused.revision, fused.notes) == (None, (LORA,))


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "the disk is full"),
        (RuntimeError("reconstruction: No space left on device (os error 28)"), "the disk is full"),
        (httpx2.ReadError("connection reset"), "check the name and the network"),
    ],
)
def test_what_breaks_off_while_a_model_is_fetched_is_told(monkeypatch, error, words):
    def broken(*args, **kwargs):
        raise error

    monkeypatch.setattr("xpsr.finding.snapshot_download", broken)
    with pytest.raises(XPSRError, match=f'"owner/name" .*{words}'):
        xpsr.load("owner/name", device="cpu")
    monkeypatch.setattr("huggingface_hub.snapshot_download", broken)
    words = "the disk is full" if "disk" in words else "Connect to the internet"
    with pytest.raises(DescriberUnavailableError, match=words):
        fetch_all("owner/name", "main")


@pytest.mark.parametrize(
    ("place", "error"),
    [
        ("xpsr.pipeline.XPSRPipeline.to", torch.OutOfMemoryError("CUDA out of memory.")),
        ("xpsr.models.XPSRUNet2DConditionModel.from_pretrained", RuntimeError("out of memory")),
    ],
)
def test_too_little_memory_for_a_model_is_told_in_a_sentence(monkeypatch, place, error):
    def full(*args, **kwargs):
        raise error

    monkeypatch.setattr(place, full)
    with pytest.raises(NotEnoughMemoryError, match="to load this model: close other programs"):
        xpsr.load("mini", device="cpu")


def test_places():
    assert choose_device("cpu").type == "cpu"
    assert choose_dtype(torch.device("cpu")) == torch.float32
    assert choose_dtype(torch.device("cuda")) == torch.float16
    assert choose_dtype(torch.device("cpu"), "bfloat16") == torch.bfloat16
    with pytest.raises(XPSRError, match="choose one of cuda, mps, cpu"):
        choose_device("gpu please")
    with pytest.raises(XPSRError, match="float32, float16, bfloat16"):
        choose_dtype(torch.device("cpu"), "int8")
    if not torch.cuda.is_available():
        with pytest.raises(XPSRError, match=r"choose one of .*cpu"):
            choose_device("cuda")


def test_a_newcomers_first_screen_is_clean():
    """Neither xformers built for another torch nor anything else speaks while we are imported."""
    code = "import xpsr; xpsr.load('mini')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout + done.stderr == ""
