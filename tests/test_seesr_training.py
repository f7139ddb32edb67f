"""Training SeeSR on a Stable Diffusion, and its tagger from RAM."""

from __future__ import annotations

import json
import math
import shutil
from functools import partial
from pathlib import Path

import pytest
import torch
from accelerate import init_empty_weights
from accelerate.state import AcceleratorState
from diffusers import UNet2DConditionModel
from PIL import Image
from safetensors.torch import load_file
from tiny_dape import CONFIG, DAPE, RAM, SEESR, tiny_dape
from torch.nn import functional as F
from training_help import CONFIGS, make_photos, weights

import xpsr
from train.__main__ import run
from train.config import read_config
from train.data import Pairs
from train.describe import describe
from train.networks import make_networks
from train.pairing import PrepareConfig
from train.prepare import prepare
from train.step import TrainingStep
from train.tagging import add_lora, tagging_loss, take_out_lora
from train.validate import main as validate
from xpsr.errors import XPSRError
from xpsr.models import DAPEModel, SeeSRControlNetModel, SeeSRUNet2DConditionModel
from xpsr.models.dape_official import to_ours
from xpsr.prompts.describer import make_describer
from xpsr.seesr import SeeSRPipeline


@pytest.fixture(autouse=True)
def tiny_tagger(monkeypatch):
    """The authors' two files hold a tagger of golden size."""
    official = partial(DAPEModel.from_official, config=CONFIG)
    monkeypatch.setattr(DAPEModel, "from_official", official)


@pytest.fixture(scope="module")
def taggers(tmp_path_factory) -> dict[str, Path]:
    """Folders: RAM with DAPE, and RAM alone."""
    folders = {name: tmp_path_factory.mktemp(name) for name in ("both", "ram")}
    for folder in folders.values():
        torch.save({"model": load_file(RAM)}, folder / "ram_swin_large_14m.pth")
    torch.save(load_file(DAPE), folders["both"] / "DAPE.pth")
    return folders


@pytest.fixture(scope="module")
def pairs_folder(tmp_path_factory) -> Path:
    photos, out = (tmp_path_factory.mktemp(name) for name in ("photos", "pairs"))
    list(prepare(make_photos(photos), out, PrepareConfig(size=128)))
    list(describe(out, "measured"))
    return out


@pytest.fixture(scope="module")
def base(tiny_seesr, tmp_path_factory) -> Path:
    """A tiny Stable Diffusion 2 in its own layout."""
    folder = tmp_path_factory.mktemp("base")
    plain(tiny_seesr).save_pretrained(folder / "unet")
    for name in ("vae", "text_encoder", "tokenizer", "scheduler"):
        getattr(tiny_seesr, name).save_pretrained(folder / name)
    return folder


def plain(pipe) -> UNet2DConditionModel:
    keys = UNet2DConditionModel._get_init_keys(UNet2DConditionModel)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return UNet2DConditionModel(**{k: v for k, v in pipe.unet.config.items() if k in keys})


def options(name, data, out, base, tagger, *more):
    small = ["steps=2", "batch_size=1", "gradient_accumulation_steps=1", "trackers=[]"]
    small += ["mixed_precision=no", "learning_rate=1e-3", "crop=64", "lr_warmup_steps=0"]
    where = [f"data={data}", f"out={out}", f"model.start={base}"]
    where += [f"model.tagger={tagger}"] if tagger else ["model.tagger=null"]
    return read_config(CONFIGS / name, [*where, *small, *more])


seesr = partial(options, "seesr_sd2.yaml")
dape = partial(options, "dape.yaml")


def train(config) -> Path:
    AcceleratorState._reset_state(reset_partial_state=True)
    run(config)
    return Path(config.out)


def trained(config) -> SeeSRPipeline:
    return xpsr.load(train(config), device="cpu")


def networks_of(config):
    return make_networks(config.model, lambda _: pytest.fail("no data is needed"), config.seed)


def test_networks_start_as_copies(tiny_seesr):
    """Spec, sec. 3.2: the ControlNet as the UNet's encoder with its image attention, which is
    fresh and no identity."""
    stock = plain(tiny_seesr)
    unet = SeeSRUNet2DConditionModel.from_unet(stock)
    controlnet = SeeSRControlNetModel.from_unet(unet)
    given, whole, encoder = (network.state_dict() for network in (stock, unet, controlnet))
    assert {key for key in whole if ".image." in key} == whole.keys() - given.keys()
    assert all(torch.equal(value, whole[key]) for key, value in given.items())
    copied = encoder.keys() & whole.keys()
    assert any(".image." in key for key in copied)
    fresh = ("controlnet_cond_embedding.", "controlnet_down_blocks.", "controlnet_mid_block.")
    assert all(key.startswith(fresh) for key in encoder.keys() - copied)
    assert all(torch.equal(encoder[key], whole[key]) for key in copied)
    sample, text, seen = torch.randn(1, 4, 8, 8), torch.randn(1, 5, 12), torch.randn(1, 3, 512)
    with torch.no_grad():
        assert not torch.allclose(unet(sample, 9, text, seen).sample, stock(sample, 9, text).sample)
        control = controlnet(sample, 9, text, seen, torch.rand(1, 3, 64, 64))
    assert all(not residual.any() for residual in control.down_block_res_samples)


def test_what_learns_and_by_what_loss(pairs_folder, base, taggers, tmp_path):
    config = seesr(pairs_folder, tmp_path, base, taggers["both"], "caption_dropout=0")
    networks = networks_of(config)
    model = TrainingStep(networks, config)
    learn = {name for name, p in model.named_parameters() if p.requires_grad}
    own = {n for n, _ in model.named_parameters() if n.startswith("unet.") and ".image." in n}
    assert own
    assert learn == own | {f"controlnet.{n}" for n, _ in networks.controlnet.named_parameters()}

    batch = Pairs(pairs_folder, networks.tokenizer, config).batch([0])
    losses = model(batch)
    draw = torch.Generator().manual_seed(batch.seeds[0])
    vae, schedule = networks.vae, networks.scheduler
    with torch.no_grad():
        posterior = vae.encode(batch.clean).latent_dist
        clean = posterior.mean + posterior.std * torch.randn(posterior.mean.shape, generator=draw)
        clean = clean * vae.config.scaling_factor
        noise = torch.randn(clean.shape, generator=draw)
        t = (torch.rand(1, generator=draw) * 1000).long()
        noisy = schedule.alphas_cumprod[t] ** 0.5 * clean
        noisy += (1 - schedule.alphas_cumprod[t]) ** 0.5 * noise
        small = F.interpolate(batch.conditioning, (64, 64), mode="bicubic").clamp(0, 1)
        mean = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
        std = torch.tensor([0.229, 0.224, 0.225])[:, None, None]
        seen = tiny_dape().embed((small - mean) / std)
        text = networks.text_encoder(batch.input_ids)[0]
        control = networks.controlnet(noisy, t, text, seen, batch.conditioning)
        down, mid = control.down_block_res_samples, control.mid_block_res_sample
        prediction = networks.unet(noisy, t, text, seen, down, mid).sample
    expected = (prediction - noise).square().mean()
    assert torch.allclose(losses.total, expected, rtol=1e-5) and losses.total == losses.diffusion
    losses.total.backward()
    grads = [p.grad for name, p in model.named_parameters() if name in own]
    assert all(grad is not None for grad in grads) and any(grad.any() for grad in grads)


@pytest.mark.parametrize("more", [(), ("gradient_checkpointing=true", "ema_decay=0.9")])
def test_a_run_ends_in_a_model_that_restores(
    more, pairs_folder, base, taggers, tmp_path, picture, capsys
):
    config = seesr(pairs_folder, tmp_path / "a", base, taggers["both"], "log_every=1", *more)
    before = networks_of(config).unet.state_dict()
    pipe = trained(config)
    said = capsys.readouterr().err
    assert "diffusion" in said and "pixel" not in said and "latent" not in said
    assert isinstance(pipe, SeeSRPipeline) and pipe.config.default_preset == "seesr"
    after = pipe.unet.state_dict()
    moved = {k for k, v in before.items() if not torch.equal(v.half(), after[k].half())}
    assert moved and all(".image." in key for key in moved)
    assert any(zero.weight.any() for zero in pipe.controlnet.controlnet_down_blocks)
    done = pipe(picture(24, 20), prompt="bird,", num_inference_steps=1, process_size=0, upscale=2)
    assert done.images[0].size == (48, 40)
    card = (tmp_path / "a" / "README.md").read_text("utf-8")
    assert "of the SeeSR kind (CVPR 2024)" in card and "lowlevel_prompt" not in card
    if more:
        return
    # Looked at while it trains, and gone on with from another folder, with its own tagger.
    looked = ("validate_every=1", "validate_pictures=1")
    looked += ("validate_setting=num_inference_steps=1,process_size=0",)
    again = seesr(pairs_folder, tmp_path / "b", tmp_path / "a", None, "steps=1", *looked)
    further = trained(again)
    assert "validation of step 1  psnr" in capsys.readouterr().err
    key = next(iter(moved))
    assert not torch.equal(further.unet.state_dict()[key], after[key])


def test_a_run_goes_on_as_if_it_had_not_been_stopped(pairs_folder, base, taggers, tmp_path):
    whole, parts = (
        partial(seesr, pairs_folder, tmp_path / name, base, taggers["both"]) for name in "ab"
    )
    train(parts("steps=1"))
    held = load_file(next((tmp_path / "b" / "checkpoints").glob("step-*/model.safetensors")))
    assert held and not any(key.startswith(("tagger.", "vae.")) for key in held)
    one, two = (weights(train(of())) for of in (whole, parts))
    assert one and all(torch.equal(one[key], two[key]) for key in one)


def test_the_taggers_loss_and_gradients_are_the_authors():
    """The golden student has the LoRA and sees the first picture, plain RAM the second."""
    golden = load_file(SEESR / "dape.safetensors")
    teacher, student = (DAPEModel.from_official(RAM) for _ in range(2))
    add_lora(student)
    layers = {name: p for name, p in student.named_parameters() if p.requires_grad}
    theirs = {our_name(name): value for name, value in as_ours(load_file(DAPE)).items()}
    assert layers.keys() <= theirs.keys()  # their file has more than what is needed for tags
    for name, layer in layers.items():
        layer.data.copy_(theirs[name])
    with torch.no_grad():
        wanted = teacher.embed(golden["in.pixels"][1:])
        wanted = wanted, teacher.logits(wanted)
    found = student.embed(golden["in.pixels"][:1])
    losses = tagging_loss((found, student.logits(found)), wanted)
    assert abs(losses.diffusion - golden["loss.feature_mse"]) < 1e-5
    assert abs(losses.total - losses.diffusion - golden["loss.logit_soft_bce"]) < 1e-5
    assert abs(losses.total - golden["loss.total"]) < 1e-5
    losses.total.backward()
    swin = "swin.encoder.layers.0.blocks.0.attention.{}_proj.lora_B.default.weight"
    head = "tagging_head.0.attention.to_k.lora_A.default.weight"
    query, value, key = (layers[name].grad for name in (swin.format("q"), swin.format("v"), head))
    for ours, name in (
        (torch.cat([query, value]), "grad.layers.0.blocks.0.qkv.lora_B"),
        (key, "grad.tagging_head.0.key.lora_A"),
    ):
        assert (ours - golden[name]).abs().max() <= 1e-4 * golden[name].abs().max(), name


def as_ours(lora: dict) -> dict:
    """Their LoRA with the query and the value of Swin apart: they have one layer of both."""
    found = {}
    for name, value in lora.items():
        if ".qkv." in name:
            query, rest = value.chunk(2)
            # As a weight of RAM's, whose three parts are named by `to_ours`.
            value = torch.cat([query, torch.zeros_like(query), rest])
        found |= to_ours({name: value})
    return {name: value for name, value in found.items() if ".k_proj." not in name}


def our_name(name: str) -> str:
    return f"{name}.default.weight"


def test_the_tagger_learns_to_see_through_damage(pairs_folder, base, taggers, tmp_path, capsys):
    bare = shutil.copytree(pairs_folder, tmp_path / "bare")  # no text is read
    lines = [json.loads(line) for line in (bare / "manifest.jsonl").read_text("utf-8").splitlines()]
    kept = [{k: v for k, v in line.items() if "prompt" not in k} for line in lines]
    (bare / "manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in kept))
    config = dape(
        bare,
        tmp_path / "run",
        base,
        taggers["ram"],
        "steps=12",
        "batch_size=4",
        "learning_rate=1e-2",
        "flips=false",
    )
    pipe = trained(config)
    ram, tagger = DAPEModel.from_official(RAM), pipe.tagger
    learnt = tagger.state_dict()
    differ = {
        name
        for name, value in ram.state_dict().items()
        if not torch.equal(value.half(), learnt[name].half())
    }
    assert differ and all(
        name.endswith(("q_proj.weight", "v_proj.weight", "to_q.weight", "to_k.weight"))
        for name in differ
    )
    assert "left out" not in capsys.readouterr().err
    samples = Pairs(pairs_folder, pipe.tokenizer, config)
    batch = samples.batch(range(len(samples)))
    with torch.no_grad():
        wanted = ram.embed(ram.squashed(batch.clean / 2 + 0.5))
        far, near = (
            F.mse_loss(model.embed(model.squashed(batch.conditioning)), wanted)
            for model in (ram, tagger.float())
        )
    assert near < 0.9 * far
    # What was exported writes tags, and is the start of a SeeSR.
    assert make_describer(f"tags:{tmp_path / 'run'}").describe(golden_picture()).high.endswith(",")
    start = networks_of(seesr(pairs_folder, tmp_path / "x", tmp_path / "run", None))
    assert torch.equal(start.tagger.fc.weight, tagger.fc.weight)


def golden_picture() -> Image.Image:
    stored = load_file(SEESR / "dape.safetensors")["in.lr_image_40x52"]
    return Image.fromarray((stored[0].permute(1, 2, 0) * 255).round().byte().numpy())


def test_as_many_numbers_learn_as_in_dape():
    known = json.loads((SEESR / "keys_ram_dape.json").read_text("utf-8"))["dape_lora_keys"]
    with init_empty_weights():
        tagger = DAPEModel().requires_grad_(False)
        add_lora(tagger)
    learnt = sum(p.numel() for p in tagger.parameters() if p.requires_grad)
    assert learnt == sum(math.prod(shape) for shape in known.values()) == 622_592


def test_lora_is_taken_out_with_or_without_what_it_does():
    pixels = torch.rand(1, 3, 64, 64)
    tagger = tiny_dape()
    with torch.no_grad():
        before = tagger.embed(pixels)
        add_lora(tagger)
        assert torch.allclose(tagger.embed(pixels), before, atol=1e-4)
        for name, parameter in tagger.named_parameters():
            if "lora_B" in name:
                parameter.normal_()
        learnt = tagger.embed(pixels)
        assert torch.allclose(take_out_lora(tagger).embed(pixels), learnt, atol=1e-4)
    assert tagger.state_dict().keys() == tiny_dape().state_dict().keys()
    assert not torch.allclose(learnt, before, atol=1e-2)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["loss.pixel_weight=0.1"], "A SeeSR is trained without loss.pixel_weight"),
        (["export=own", "trust_ratio=0.1"], "A SeeSR is trained without trust_ratio, export"),
        (["model.only=texts"], "model.only=texts trains a reader that this ControlNet does not"),
        (["model.tagger=nowhere"], "There is no folder nowhere with a tagger"),
        (["model.start=null"], "model.tagger makes a SeeSR of a Stable Diffusion"),
        (["model.controlnet.fusion=high"], "No network can be built from the tables of model"),
    ],
)
def test_what_does_not_go_together(more, said, pairs_folder, base, taggers, tmp_path):
    config = seesr(pairs_folder, tmp_path / "run", base, taggers["both"], *more)
    with pytest.raises(XPSRError, match=said):
        train(config)
    assert not (tmp_path / "run").exists()


def test_photos_that_nobody_has_tagged_are_told(base, taggers, tmp_path):
    """They would be described in sentences, which SeeSR is not made for."""
    photos = make_photos(tmp_path / "photos", 1)
    config = seesr(photos, tmp_path / "run", base, taggers["both"], "degradation.size=128")
    with pytest.raises(XPSRError, match="Make pairs of them with train.prepare --describer tags:"):
        train(config)
    train(config.model_copy(update={"prompts": "none", "steps": 1}))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["validate_every=1"], "model.only=tagger has no use for validate_every"),
        (["model.tagger=null"], "trains the tagger of a SeeSR, which this model does not have"),
    ],
)
def test_what_does_not_go_with_the_tagger_alone(more, said, pairs_folder, base, taggers, tmp_path):
    config = dape(pairs_folder, tmp_path / "run", base, taggers["ram"], *more)
    with pytest.raises(XPSRError, match=said):
        train(config)


def test_plain_ram_writes_the_tags_of_clean_pictures(taggers, tmp_path):
    said = json.loads((SEESR / "tiny" / "dape" / "config.json").read_text("utf-8"))
    for spec, whose in (("both?lora=no", "ram"), ("ram?lora=no", "ram"), ("both", "dape")):
        name, _, rest = spec.partition("?")
        describer = make_describer(f"tags:{taggers[name]}{'?' if rest else ''}{rest}")
        assert describer.describe(golden_picture()).high == said[f"expected_tags_{whose}"][0] + ","
    tiny_dape().save_pretrained(tmp_path / "tagger")
    for spec, complaint in (
        (f"{tmp_path}?lora=no", "has the LoRA of DAPE in it, and RAM alone is wanted"),
        (f"{taggers['both']}?lora=maybe", "The option lora takes yes or no"),
        (f"{taggers['ram']}", "has no DAPE.pth"),
    ):
        with pytest.raises(XPSRError, match=complaint):
            make_describer(f"tags:{spec}")


def test_validation_lets_its_own_tagger_describe(tiny_seesr, tmp_path, monkeypatch):
    tiny_seesr.save_pretrained(tmp_path / "see")
    make_photos(tmp_path / "photos", 1)
    (tmp_path / "photos" / "broken.jpg").unlink()
    (tmp_path / "photos" / "narrow.png").unlink()
    heard = []
    call = SeeSRPipeline.__call__
    monkeypatch.setattr(
        SeeSRPipeline,
        "__call__",
        lambda self, *a, **told: heard.append(told["prompt"]) or call(self, *a, **told),
    )
    setting = "num_inference_steps=1,process_size=0"
    validate(
        tmp_path / "photos", tmp_path / "out", str(tmp_path / "see"), None, ["mild"], [setting], 1
    )
    assert heard and heard[0].endswith(",") and "." not in heard[0]
