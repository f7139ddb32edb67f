"""What is trained, from which start, and the switches of the paper's ablations, each tried."""

import json
import logging
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState
from diffusers import DDPMScheduler, UNet2DConditionModel
from PIL import Image
from safetensors.torch import load_file
from training_help import CONFIGS, make_photos, weights

import xpsr
from train import checkpoints
from train.__main__ import run
from train.compatibility import check_options
from train.config import read_config
from train.data import Pairs
from train.describe import describe
from train.latents import LatentCache
from train.networks import make_networks
from train.pairing import PrepareConfig
from train.photos import training_data
from train.prepare import prepare
from train.step import TrainingStep
from xpsr.autoencoder import encode
from xpsr.errors import XPSRError
from xpsr.schedule import Noise, Solver, start_latents
from xpsr.settings import Settings


@pytest.fixture(scope="module")
def pairs_folder(tmp_path_factory):
    photos, out = (tmp_path_factory.mktemp(name) for name in ("photos", "pairs"))
    list(prepare(make_photos(photos), out, PrepareConfig(size=128)))
    list(describe(out, "measured"))
    return out


@pytest.fixture(scope="module")
def base(tiny_pipeline, tmp_path_factory):
    """A tiny Stable Diffusion in its own layout, without anything of XPSR's."""
    folder = tmp_path_factory.mktemp("base")
    pipe = tiny_pipeline
    keys = UNet2DConditionModel._get_init_keys(UNet2DConditionModel)
    config = {k: v for k, v in pipe.unet.config.items() if k in keys and not k.startswith("_")}
    torch.manual_seed(1)
    UNet2DConditionModel(**config).save_pretrained(folder / "unet")
    for name in ("vae", "text_encoder", "tokenizer"):
        getattr(pipe, name).save_pretrained(folder / name)
    DDPMScheduler.from_config(pipe.scheduler.config).save_pretrained(folder / "scheduler")
    return folder


def smoke(data, out, *overrides):
    always = ["steps=1", "batch_size=1", "trackers=[]"]
    options = [f"data={data}", f"out={out}", *always, *overrides]
    return read_config(CONFIGS / "smoke.yaml", options)


def sd15(data, out, base, *overrides):
    always = ["steps=2", "crop=64", "mixed_precision=no", "batch_size=1", "trackers=[]"]
    always += ["model.start=" + str(base), "gradient_accumulation_steps=1", "learning_rate=1e-3"]
    options = [f"data={data}", f"out={out}", *always, *overrides]
    return read_config(CONFIGS / "xpsr_sd15.yaml", options)


def trained(config):
    AcceleratorState._reset_state(reset_partial_state=True)
    run(config)
    return weights(Path(config.out))


def networks_of(config):
    return make_networks(config.model, lambda t: training_data(config, t), config.seed)


@pytest.mark.parametrize(
    "overrides",
    [
        ["model.controlnet.fusion=serial"],
        ["model.controlnet.fusion=high"],
        ["model.controlnet.fusion=low"],
        ["loss.pixel_weight=0"],
        ["loss.latent_weight=0"],
        ["model.controlnet.return_rgbs=false", "model.controlnet.use_latent_pred=false"],
        ["prompts=high"],
        ["prompts=low"],
        ["prompts=none"],
        ["optimizer=adamw8bit"],
        ["optimizer=muon", "model.train_text_encoder=true"],
        ["mixed_precision=bf16", "gradient_checkpointing=true"],
    ],
    ids=" ".join,
)
def test_every_switch_trains_and_exports(overrides, pairs_folder, tmp_path):
    """Tables 2, 3 and 4 of the paper, and what a run can be told besides."""
    found = trained(smoke(pairs_folder, tmp_path, *overrides))
    assert found and all(torch.isfinite(value).all() for value in found.values())
    assert (tmp_path / "model_index.json").is_file()
    if "model.controlnet.fusion=serial" in overrides:
        config = json.loads((tmp_path / "controlnet" / "config.json").read_text())
        assert config["fusion"] == "serial"
        xpsr.load(str(tmp_path))


def test_switches_change_the_loss_they_are_named_after(pairs_folder, tmp_path):
    def losses(*overrides):
        config = smoke(pairs_folder, tmp_path, "crop=64", *overrides)
        networks = networks_of(config)
        batch = Pairs(pairs_folder, networks.tokenizer, config).batch([0, 1])
        with torch.no_grad():
            return TrainingStep(networks, config)(batch)

    full = losses()
    none = losses("loss.pixel_weight=0", "loss.latent_weight=0")
    assert torch.equal(none.total, none.diffusion) and torch.equal(none.diffusion, full.diffusion)
    bare = losses("model.controlnet.return_rgbs=false", "model.controlnet.use_latent_pred=false")
    assert bare.pixel.numel() == bare.latent.numel() == 0
    assert full.pixel.numel() == 3 and full.latent.numel() > 3
    assert torch.allclose(
        full.total - full.diffusion, 0.05 * (full.pixel.sum() + full.latent.sum())
    )


def test_from_stable_diffusion_only_xpsrs_own_layers_learn(pairs_folder, base, tmp_path):
    """Spec: the whole ControlNet, and pixel_attentions of the UNet. Another base: Table 6."""
    config = sd15(pairs_folder, tmp_path / "run", base, "save_every=1")
    networks = networks_of(config)
    model = TrainingStep(networks, config)
    learn = {name for name, p in model.named_parameters() if p.requires_grad}
    own = {n for n, _ in model.named_parameters() if ".pixel_attentions." in n}
    assert learn == own | {f"controlnet.{n}" for n, _ in networks.controlnet.named_parameters()}
    before = {f"unet.{k}": v.half() for k, v in networks.unet.state_dict().items()}
    after = trained(config)
    moved = {key for key, value in before.items() if not torch.equal(value, after[key])}
    # Not all: the first steps are too small for some weights of 1 to leave it in half precision.
    assert all(".pixel_attentions." in key for key in moved) and len(moved) > len(own) / 2
    plain = UNet2DConditionModel.from_pretrained(base / "unet").state_dict()
    assert all(torch.equal(v.half(), after[f"unet.{k}"]) for k, v in plain.items())


def test_checkpoints_leave_out_what_the_base_has(pairs_folder, base, tmp_path, monkeypatch):
    """Those of earlier versions hold it; on another base neither goes on."""

    def steps(count, out, start=base):
        return sd15(pairs_folder, tmp_path / out, start, f"steps={count}", "save_every=1")

    whole = trained(steps(2, "whole"))
    trained(steps(1, "run"))
    with monkeypatch.context() as earlier:
        earlier.setattr(checkpoints, "leave_out_frozen", lambda model: None)
        trained(steps(1, "old"))
    ours, old = (tmp_path / out / "checkpoints" / "step-00000001" for out in ("run", "old"))
    extras = torch.load(old / "custom_checkpoint_0.pkl")
    del extras["base"]
    torch.save(extras, old / "custom_checkpoint_0.pkl")
    parts = TrainingStep(networks_of(steps(1, "run")), steps(1, "run")).named_parameters()
    learning = {name for name, weight in parts if weight.requires_grad}
    held = load_file(ours / "model.safetensors").keys()
    assert learning == {name for name in held if "position_ids" not in name}
    assert learning < load_file(old / "model.safetensors").keys() > held
    other = shutil.copytree(base, tmp_path / "other")
    unet = UNet2DConditionModel.from_pretrained(base / "unet")
    unet.conv_out.bias.data += 1
    unet.save_pretrained(other / "unet")
    for out in ("run", "old"):
        with pytest.raises(XPSRError, match="model.start holds other weights than when it was wri"):
            trained(steps(2, out, other))
        again = trained(steps(2, out))
        assert all(torch.equal(again[name], weight) for name, weight in whole.items())


def test_only_the_own_layers_are_exported_and_loaded_on_their_base(
    pairs_folder, base, tmp_path, picture
):
    for kind in ("full", "own"):
        trained(sd15(pairs_folder, tmp_path / kind, base, f"export={kind}"))
    assert not (tmp_path / "own" / "vae").exists()
    sizes = [
        sum(f.stat().st_size for f in (tmp_path / k / "unet").iterdir()) for k in ("own", "full")
    ]
    assert sizes[0] < sizes[1]
    low = picture(32, 32)
    options = {"prompt": "A boat.", "num_inference_steps": 2, "seed": 1, "process_size": 0}
    results = [
        xpsr.load(str(folder), base=b, dtype="float32")(low, **options).images[0]
        for folder, b in ((tmp_path / "full", None), (tmp_path / "own", str(base)))
    ]
    # The base has its float32 weights again where the full export kept half of their digits.
    pixels = [torch.tensor(list(image.tobytes())).float() for image in results]
    assert (pixels[0] - pixels[1]).abs().mean() < 3
    with pytest.raises(XPSRError, match="base"):
        xpsr.load(str(tmp_path / "own"))
    with pytest.raises(XPSRError, match="export=full"):
        trained(smoke(pairs_folder, tmp_path / "small", "export=own"))
    with pytest.raises(XPSRError, match="holds only a part of a model"):
        networks_of(sd15(pairs_folder, tmp_path / "more", tmp_path / "own"))
    card = (tmp_path / "own" / "README.md").read_text()
    assert card.startswith("---\n") and "4 pairs of 4 photos" in card and "base=" in card


def test_a_base_that_predicts_velocity_is_trained_to(pairs_folder, base, tmp_path):
    other = tmp_path / "base"
    shutil.copytree(base, other)
    path = other / "scheduler" / "scheduler_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "prediction_type": "v_prediction"}))
    trained(sd15(pairs_folder, tmp_path / "run", other))
    index = json.loads((tmp_path / "run" / "scheduler" / "scheduler_config.json").read_text())
    assert index["prediction_type"] == "v_prediction"


@pytest.mark.parametrize(
    ("name", "value"),
    [("in_channels", 9), ("cross_attention_dim", 48), ("class_embed_type", "projection")],
)
def test_kin_of_stable_diffusion_that_asks_for_more_is_no_base(name, value, base, tmp_path):
    """Such as a folder for inpainting, XL, unCLIP: before anything is trained."""
    other = shutil.copytree(base, tmp_path / "base")
    plain = dict(UNet2DConditionModel.load_config(other / "unet"))
    plain |= {name: value, "projection_class_embeddings_input_dim": 8}
    UNet2DConditionModel.from_config(plain).save_pretrained(other / "unet")
    with pytest.raises(XPSRError, match=f"no base for XPSR: its unet has {name} {value!r}"):
        networks_of(sd15(tmp_path, tmp_path / "run", other))


def test_cached_latents_are_those_of_the_autoencoder(pairs_folder, base, tmp_path):
    config = sd15(pairs_folder, tmp_path, base, "crop=null", "cache_latents=true")
    networks = networks_of(config)
    pairs = Pairs(pairs_folder, networks.tokenizer, config)
    fresh = TrainingStep(networks, config)
    with torch.no_grad():
        batch = pairs.batch([0, 1, 2])
        wanted = fresh(batch)
        for filled in (False, True):
            cache = LatentCache(config, networks.vae)
            files = list(cache.folder.iterdir())
            assert len(files) == (3 if filled else 0)
            card = pairs_folder / "manifest.jsonl"
            assert all(f.stat().st_mode == card.stat().st_mode for f in files)  # runs share them
            found = TrainingStep(networks, config, cache)(batch)
            assert torch.allclose(found.total, wanted.total, atol=1e-6)
            assert torch.allclose(found.diffusion, wanted.diffusion, atol=1e-6)
    # A small model's autoencoder has no spread; nothing may be added where it is read back.
    small = smoke(pairs_folder, tmp_path, "crop=null", "cache_latents=true")
    networks = networks_of(small)
    with torch.no_grad():
        wanted = TrainingStep(networks, small)(batch_of := pairs.batch([0]))
        for _ in range(2):
            cache = LatentCache(small, networks.vae)
            found = TrainingStep(networks, small, cache)(batch_of)
            assert torch.allclose(found.total, wanted.total, atol=1e-6)
    # Of the same name, another picture; and half precision of the run around it.
    for picture in (batch_of.clean, -batch_of.clean):
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            found = LatentCache(small, networks.vae).encode(replace(batch_of, clean=picture))
        wanted = networks.vae.encode(picture).latent_dist.mean
        assert torch.equal(found.latent_dist.mean, wanted)
    for wrong in ("crop=64", "flips=true", "turns=true"):
        options = ("crop=null", "cache_latents=true", wrong)
        with pytest.raises(XPSRError, match="cache_latents"):
            check_options(sd15(pairs_folder, tmp_path, base, *options), "cpu", sharded=False)


@pytest.mark.parametrize("residual", [True, False])
def test_bare_samples_start_as_the_setting_does(pairs_folder, tmp_path, residual):
    config = smoke(pairs_folder, tmp_path, f"model.residual_latents={str(residual).lower()}")
    networks = networks_of(config)
    step, shown = TrainingStep(networks, config), []
    networks.unet.register_forward_pre_hook(lambda _, args: shown.append(args))
    batch = Pairs(pairs_folder, networks.tokenizer, config).batch(range(3))
    with torch.no_grad():
        for bare in ((False,) * 3, (False, True, False)):
            step(replace(batch, bare=bare))
        low = 0 if residual else encode(networks.vae, batch.conditioning[1:2])
    (noisy, times), (mixed, mixed_times) = shown
    solver = Solver(networks.scheduler.config, "ddim", 1)
    low = low + torch.zeros_like(noisy[1])[None]
    start = start_latents(solver, Settings(start="lr_bare"), low, Noise(0))
    assert torch.allclose(mixed[1], start[0], atol=1e-6) and mixed_times[1] == solver.timesteps[0]
    assert torch.equal(mixed[::2], noisy[::2]) and torch.equal(mixed_times[::2], times[::2])
    epsilon = ("bare_ratio=0.5", "model.scheduler.prediction_type=epsilon")
    config = smoke(pairs_folder, tmp_path, *epsilon)
    with pytest.raises(XPSRError, match="bare_ratio"):
        TrainingStep(networks_of(config), config)


def test_gradient_checkpointing_gives_the_same_gradients(pairs_folder, base, tmp_path):
    config = sd15(pairs_folder, tmp_path, base)
    found = []
    for checkpointing in (False, True):
        networks = networks_of(config)
        if checkpointing:
            networks.unet.enable_gradient_checkpointing()
            networks.controlnet.enable_gradient_checkpointing()
        model = TrainingStep(networks, config)
        model(Pairs(pairs_folder, networks.tokenizer, config).batch([0])).total.backward()
        found.append({n: p.grad for n, p in model.named_parameters() if p.requires_grad})
    assert all(torch.allclose(found[0][n], found[1][n], atol=1e-6) for n in found[0])


def test_a_run_of_photos_alone_with_validation(pairs_folder, tmp_path, capsys, caplog, monkeypatch):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr("train.terminal.SECONDS_BETWEEN_LINES", 0.0)
    photos = make_photos(tmp_path / "photos", 2)
    options = ["degradation.size=128", "validate_every=2", "validate_pictures=2", "steps=2"]
    options += [f"validate_data={pairs_folder}", "validate_setting=num_inference_steps=1"]
    config = smoke(photos, tmp_path / "run", *options)
    trained(config.model_copy(update={"trackers": ["tensorboard"]}))
    said = capsys.readouterr().err
    assert "validation pictures: 1 of 2" in said  # with a large model it takes minutes
    assert "validation of step 2  psnr" in said and "GiB" in said and "left" in said
    sheet = Image.open(tmp_path / "run" / "validation" / "step-00000002.png")
    assert sheet.size == (3 * 128, 2 * 128)
    assert list((tmp_path / "run" / "log").rglob("events*"))
    assert "degraded as they were drawn" in (tmp_path / "run" / "README.md").read_text()


def test_a_loss_that_is_no_number_stops_with_the_pairs_named(pairs_folder, tmp_path, monkeypatch):
    config = smoke(pairs_folder, tmp_path, "learning_rate=1e30", "steps=9")
    with pytest.raises(XPSRError, match="not a number"):
        trained(config)
    found = json.loads((tmp_path / "not_finite-0.json").read_text())
    ids = {line["id"] for line in map(json.loads, (pairs_folder / "manifest.jsonl").open())}
    assert set(found["ids"]) <= ids and found["losses"]["loss"] in ("nan", "inf")


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("trackers=[nobody]", "nobody is not installed"),
        ("lr_schedule=zigzag", "'zigzag': Input should be 'constant', 'linear', 'cosine'"),
        ("model.unet.colour=red", "colour"),
        ("model.start=nowhere", "nowhere"),
        ("validate_setting=steps=3", "default"),
        ("crop=1024", "crop is 1024"),
        ("lr_schedule=polynomial learning_rate=1e-8", "lr_schedule=polynomial .* initial lr"),
        ("model.text_encoder.hiden_size=5", "hiden_size"),
        ("model.scheduler.prediction_type=sampel", "sampel"),
        ("model.scheduler.num_train_timesteps=0", "needs a timestep"),
        ("model.scheduler.beta_start=2", "betas between 0 and 1"),
        ("model.text_encoder.hidden_size=7", "tables of model: .*hidden size"),
        ("data=", "data is empty"),
        ("validate_data=nowhere", "no folder nowhere: correct data=, or validate_data="),
        ("model.autoencoder.patch_size=7", "tables of model"),
        ("model.autoencoder.latent_channels=193", "patches have 192 numbers"),
        ("model.unet={}", "model.unet is missing"),
        ("model.train_text_encoder=false", "needs a start"),
        ("model.start=mini", r"cannot be \[16, 16\] with model.start=mini"),
    ],
)
def test_what_only_shows_at_the_start_is_a_sentence(override, says, pairs_folder, tmp_path):
    with pytest.raises(XPSRError, match=says):
        trained(smoke(pairs_folder, tmp_path / "run", *override.split(), "validate_every=1"))
    assert not (tmp_path / "run").exists()


def test_who_accumulates_otherwise_than_the_configuration_is_refused(
    pairs_folder, tmp_path, monkeypatch
):
    """DeepSpeed's own number wins, and steps would be counted by one and taken by the other."""
    monkeypatch.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "3")
    with pytest.raises(XPSRError, match="told to accumulate 3 batches.* says 1: give"):
        trained(smoke(pairs_folder, tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_what_a_start_has_already_cannot_be_asked_for_otherwise(pairs_folder, base, tmp_path):
    """An ablation that would silently train the same as before is refused."""
    plain = ["steps=1", "lr_warmup_steps=0", "batch_size=1", "trackers=[]", "mixed_precision=no"]
    more = [f"data={pairs_folder}", f"out={tmp_path / 'run'}", *plain]

    def refusal(name, *overrides):
        with pytest.raises(XPSRError) as refused:
            trained(read_config(CONFIGS / name, [*more, *overrides]))
        return str(refused.value)

    said = refusal("mini_more.yaml", "model.controlnet.fusion=serial")
    assert "model.controlnet.fusion cannot be 'serial' with model.start=mini" in said
    assert "has 'parallel'" in said
    assert "residual_latents" not in said
    on_base = (f"model.start={base}", "crop=64", "gradient_accumulation_steps=1")
    for name in ("train_text_encoder", "train_decoder", "residual_latents"):
        asked = (f"model.{name}=true", "loss.decoded_weight=1")
        assert f"model.{name}" in refusal("xpsr_sd15.yaml", *on_base, *asked)
    # What agrees with the start may stand there.
    networks_of(
        read_config(CONFIGS / "mini_more.yaml", [*more, "model.controlnet.fusion=parallel"])
    )


def test_a_folder_of_something_else_is_left_alone(pairs_folder, tmp_path):
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(XPSRError, match="not of a run"):
        trained(smoke(pairs_folder, tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]


def test_weights_that_the_last_step_has_broken_are_not_kept(pairs_folder, tmp_path):
    with pytest.raises(XPSRError, match="weights are not numbers"):
        trained(smoke(pairs_folder, tmp_path, "learning_rate=1e38"))
    assert not list((tmp_path / "checkpoints").glob("step-*"))
    assert not (tmp_path / "model_index.json").exists()


def test_a_run_goes_on_with_the_options_of_now_and_says_so(pairs_folder, tmp_path, capsys):
    trained(smoke(pairs_folder, tmp_path, "steps=2", "ema_decay=0"))
    before = weights(tmp_path)
    capsys.readouterr()
    now = ("steps=3", "ema_decay=0.999", "learning_rate=1e-5")
    after = trained(smoke(pairs_folder, tmp_path, *now))
    said = capsys.readouterr().err
    assert "learning_rate: 0.001, now 1e-05" in said and "ema_decay: 0.0, now 0.999" in said
    assert "step 3 of 3" in said and "lr 1.00e-05" in said
    # The average begins with the weights of the checkpoint, and not with fresh ones.
    assert max((after[k].float() - before[k].float()).abs().max() for k in after) < 1e-3
    # A finished run is exported as it is, and told as it was.
    exported = trained(smoke(pairs_folder, tmp_path, "steps=1", *now[1:]))
    assert all(torch.equal(exported[k], after[k]) for k in after)
    assert "for 3 steps" in (tmp_path / "README.md").read_text().replace("\n", " ")
    assert "steps: 3" in (tmp_path / "config.yaml").read_text()


def test_accumulating_otherwise_from_a_checkpoint_on_changes_nothing(pairs_folder, tmp_path):
    """Checkpoints lie between steps, whatever the steps before were made of."""
    one, other = tmp_path / "one", tmp_path / "other"
    plain = ("batch_size=2", "ema_decay=0")
    trained(smoke(pairs_folder, one, *plain, "steps=5"))
    trained(smoke(pairs_folder, other, *plain, "steps=3"))
    halves = ("batch_size=1", "gradient_accumulation_steps=2", "ema_decay=0")
    trained(smoke(pairs_folder, other, *halves, "steps=5"))
    a, b = weights(one), weights(other)
    assert max((a[k].float() - b[k].float()).abs().max() for k in a) < 1e-3
