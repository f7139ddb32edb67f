"""Training: the authors' loss, order-free data, and a run that is stopped and goes on."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from train.config import read_config
from train.data import FLAWLESS, Pairs
from train.degrade import RECIPES, degrade
from train.loss import diffusion_target, training_loss
from train.networks import clip_tokenizer
from train.prepare import PrepareConfig, make_pair, pair_seed, prepare, read_manifest
from xpsr.errors import XPSRError
from xpsr.models import PatchAutoencoder, XPSRControlNetModel, XPSRUNet2DConditionModel

ROOT = Path(__file__).parents[1]
GOLDEN = ROOT / "tests" / "golden" / "xpsr"
CONFIGS = ROOT / "train" / "configs"


def test_the_loss_and_its_gradients_are_the_authors():
    golden = load_file(GOLDEN / "train_loss_8x12.safetensors")
    controlnet = XPSRControlNetModel.from_official(GOLDEN / "tiny" / "controlnet").train()
    unet = XPSRUNet2DConditionModel.from_official(GOLDEN / "tiny" / "unet").train()
    unet.requires_grad_(False)
    for name, parameter in unet.named_parameters():
        parameter.requires_grad_(".pixel_attentions." in name)
    from diffusers import DDPMScheduler

    scheduler = DDPMScheduler.from_pretrained(GOLDEN / "tiny" / "scheduler")
    clean, noise, t = golden["in.z_hr"], golden["in.noise"], golden["in.timesteps"]
    noisy = scheduler.add_noise(clean, noise, t)
    assert torch.allclose(noisy, golden["noisy_latents"], atol=1e-6)
    control = controlnet(
        noisy,
        t,
        encoder_hidden_states=golden["in.high"],
        lowlevel_encoder_hidden_states=golden["in.low"],
        controlnet_cond=golden["in.x_lr"],
    )
    prediction = unet(
        noisy,
        t,
        encoder_hidden_states=golden["in.high"],
        down_block_additional_residuals=control.down_block_res_samples,
        mid_block_additional_residual=control.mid_block_res_sample,
    ).sample
    losses = training_loss(
        prediction,
        diffusion_target(scheduler, clean, noise, t),
        control.pixel_predictions,
        golden["in.x_hr"],
        control.latent_predictions,
        clean,
    )
    assert torch.allclose(prediction, golden["noise_pred"], atol=1e-4)
    for value, key in (
        (losses.diffusion, "loss.diffusion"),
        (losses.pixel, "loss.pixel_terms_unweighted"),
        (losses.latent, "loss.latent_terms_unweighted"),
        (losses.total - losses.diffusion, "loss.dfc_weighted"),
        (losses.total, "loss.total"),
    ):
        assert torch.allclose(value, golden[key], atol=1e-5), key

    losses.total.backward()
    gradients = {f"controlnet.{n}": p.grad for n, p in controlnet.named_parameters()}
    gradients |= {f"unet.{n}": p.grad for n, p in unet.named_parameters() if p.requires_grad}
    assert len(gradients) == 1048 and all(g is not None for g in gradients.values())
    total = torch.stack([g.norm() for g in gradients.values()]).norm()
    assert abs(total - golden["grad.total_norm"]) < 1e-4
    from xpsr.models.convert import to_ours

    stored = {k: v for k, v in golden.items() if k.startswith(("grad.controlnet.", "grad.unet."))}
    assert stored
    for key, value in stored.items():
        _, network, name = key.split(".", 2)
        name = to_ours(name) if network == "controlnet" else name
        assert torch.allclose(gradients[f"{network}.{name}"], value, atol=1e-5), key


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
def test_targets_lead_back_to_the_clean_latent(kind):
    from diffusers import DDPMScheduler

    scheduler = DDPMScheduler(prediction_type=kind)
    clean, noise = torch.randn(2, 4, 3, 3), torch.randn(2, 4, 3, 3)
    t = torch.tensor([100, 100])
    noisy = scheduler.add_noise(clean, noise, t)
    target = diffusion_target(scheduler, clean, noise, t)
    alpha = scheduler.alphas_cumprod[100]
    back = {
        "epsilon": (noisy - (1 - alpha).sqrt() * target) / alpha.sqrt(),
        "v_prediction": alpha.sqrt() * noisy - (1 - alpha).sqrt() * target,
        "sample": target,
    }[kind]
    assert torch.allclose(back, clean, atol=1e-5)


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
    """Four photo-like pictures: smooth shapes with texture, from numbers alone."""
    folder = tmp_path_factory.mktemp("photos")
    y, x = np.mgrid[0:160, 0:200] / 40
    for i in range(4):
        random = np.random.default_rng(i)
        channels = [np.sin(x * random.uniform(1, 3) + y * random.uniform(1, 3)) for _ in range(3)]
        picture = np.stack(channels, -1) * 90 + 128 + random.normal(0, 6, (160, 200, 1))
        Image.fromarray(picture.clip(0, 255).astype("uint8")).save(folder / f"photo{i}.png")
    (folder / "broken.jpg").write_bytes(b"not a picture")
    Image.new("RGB", (40, 300)).save(folder / "narrow.png")
    return folder


@pytest.fixture(scope="session")
def pairs_folder(photos, tmp_path_factory):
    out = tmp_path_factory.mktemp("pairs")
    complaints = [c for _, _, c in prepare(photos, out, PAIRS) if c]
    assert len(complaints) == 2 and any("narrow.png" in c for c in complaints)
    return out


PAIRS = PrepareConfig(variants=2, size=128)


def test_a_pair_can_be_made_again_from_its_line(photos, pairs_folder):
    lines = read_manifest(pairs_folder)
    assert len(lines) == 8 and len({line["seed"] for line in lines}) == 8
    for line in lines:
        hr, lr, drawn = make_pair(Image.open(photos / line["photo"]), PAIRS, line["seed"])
        assert hr.size == (128, 128) and lr.size == (32, 32)
        assert drawn.pop("recipe") == line["recipe"]
        assert json.loads(json.dumps(drawn)) == line["degradation"]
        stored = Image.open(pairs_folder / "LR" / f"{line['id']}.png")
        assert np.array_equal(np.array(stored), np.array(lr))
        assert line["prompt"] and line["lowlevel_prompt"] and line["describer"] == "measured"


def test_preparing_goes_on_after_a_stop(photos, pairs_folder, tmp_path):
    work = prepare(photos, tmp_path, PAIRS)
    for _ in range(4):  # stopped in the middle: two of these are the unusable files
        next(work)
    work.close()
    with (tmp_path / "manifest.jsonl").open("a") as file:
        file.write('{"id": "cut sh')  # as a power cut leaves it
    assert 0 < len(read_manifest(tmp_path)) < 8
    list(prepare(photos, tmp_path, PAIRS))
    assert sorted(line["id"] for line in read_manifest(tmp_path)) == sorted(
        line["id"] for line in read_manifest(pairs_folder)
    )


def test_seeds_depend_on_the_pair_alone():
    assert pair_seed("a.png", 0, 0) == pair_seed("a.png", 0, 0)
    seeds = {pair_seed(n, v, s) for n in ("a.png", "b.png") for v in (0, 1) for s in (0, 1)}
    assert len(seeds) == 8


@pytest.mark.parametrize("name", RECIPES)
def test_degradations_stay_pictures_and_get_worse_by_name(name):
    photo = torch.rand(3, 96, 128, generator=torch.Generator().manual_seed(0)) * 0.2 + 0.4
    for seed in range(12):
        low, drawn = degrade(photo, RECIPES[name], np.random.default_rng(seed))
        assert low.shape == (3, 24, 32) and low.min() >= 0 and low.max() <= 1
        assert {"resize1", "noise1", "jpeg1", "resize2", "noise2", "jpeg2"} <= drawn.keys()
        again, _ = degrade(photo, RECIPES[name], np.random.default_rng(seed))
        assert torch.equal(low, again)


def test_mild_paper_and_heavy_are_in_that_order():
    y, x = torch.meshgrid(torch.arange(128) / 9, torch.arange(128) / 7, indexing="ij")
    photo = torch.stack([torch.sin(x), torch.cos(y), torch.sin(x + y)]) * 0.4 + 0.5
    small = torch.nn.functional.interpolate(photo[None], scale_factor=0.25, mode="area")[0]
    errors = {
        name: np.mean(
            [
                (degrade(photo, recipe, np.random.default_rng(s))[0] - small).square().mean()
                for s in range(30)
            ]
        )
        for name, recipe in RECIPES.items()
    }
    assert errors["mild"] < errors["paper"] < errors["heavy"]


def test_a_batch_depends_on_seed_and_step_alone(pairs_folder):
    tokenizer = clip_tokenizer()
    a = Pairs(pairs_folder, tokenizer, crop=64, caption_dropout=0.5)
    b = Pairs(pairs_folder, tokenizer, crop=64, caption_dropout=0.5)
    b.batch(3, 0, 99)
    first, second = a.batch(4, 7, 3), b.batch(4, 7, 3)
    assert first.ids == second.ids
    assert torch.equal(first.clean, second.clean)
    assert torch.equal(first.input_ids, second.input_ids)
    assert not torch.equal(first.clean, a.batch(4, 7, 4).clean)
    assert first.clean.shape == (4, 3, 64, 64) and first.clean.min() < 0
    assert first.conditioning.min() >= 0 and first.conditioning.max() <= 1


def test_crops_of_the_two_sides_show_the_same_place(pairs_folder):
    batch = Pairs(pairs_folder, clip_tokenizer(), crop=64, original_image_ratio=1).batch(4, 0, 0)
    assert torch.allclose(batch.clean / 2 + 0.5, batch.conditioning, atol=1e-6)


def test_a_picture_called_flawless_is_its_own_target(pairs_folder):
    tokenizer = clip_tokenizer()
    batch = Pairs(pairs_folder, tokenizer, crop=64, trust_ratio=1).batch(4, 0, 0)
    assert torch.allclose(batch.clean / 2 + 0.5, batch.conditioning, atol=1e-6)
    texts = {tokenizer.decode(ids, skip_special_tokens=True) for ids in batch.lowlevel_input_ids}
    assert texts <= {text.lower().replace(".", " .").replace(",", " ,") for text in FLAWLESS}


def test_the_tokenizer_is_clips():
    """Ids of OpenAI's own tokenizer for this text."""
    ids = clip_tokenizer()("A photo of a cat, 猫 é! isn't").input_ids
    expected = [49406, 320, 1125, 539, 320, 2368, 267, 163, 234, 360, 4166, 256, 2923, 713, 49407]
    assert ids == expected


def test_the_patch_autoencoder_starts_as_its_basis():
    torch.manual_seed(0)
    vae = PatchAutoencoder(latent_channels=192, patch_size=8, decoder_width=8, decoder_blocks=1)
    basis = torch.linalg.qr(torch.randn(192, 192))[0]
    vae.set_basis(basis, torch.randn(192))
    picture = torch.rand(2, 3, 24, 40) * 2 - 1
    latent = vae.encode(picture).latent_dist.sample()
    assert latent.shape == (2, 192, 3, 5)
    assert torch.allclose(vae.decode(latent).sample, picture, atol=1e-4)


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("stepz=3", "no option 'stepz'"),
        ("steps=many", "'steps' cannot be 'many'"),
        ("loss.pixel_weight=-1", "'loss.pixel_weight' cannot be -1"),
        ("steps", "key=value"),
        ("steps.more=1", "has no parts"),
    ],
)
def test_wrong_options_are_told_in_a_sentence(override, says):
    with pytest.raises(XPSRError, match=says):
        read_config(CONFIGS / "smoke.yaml", ["data=x", "out=y", override])


def test_every_shipped_config_is_valid():
    for path in CONFIGS.glob("*.yaml"):
        if path.stem.startswith("pairs"):
            continue
        read_config(path, ["data=x", "out=y"])


def launch(pairs_folder, out, *overrides):
    command = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes=1"]
    command += ["-m", "train", "--config", str(CONFIGS / "smoke.yaml")]
    command += [f"data={pairs_folder}", f"out={out}", "steps=6", "save_every=2", *overrides]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def weights(out):
    found = {}
    for part in ("unet", "controlnet", "text_encoder", "vae"):
        for path in sorted((out / part).glob("*.safetensors")):
            found |= {f"{part}.{k}": v for k, v in load_file(path).items()}
    return found


@pytest.mark.timeout(600)
def test_smoke_from_photos_to_a_pipeline_also_when_killed_on_the_way(pairs_folder, tmp_path):
    """A run stopped by SIGKILL goes on to bit-identical weights, and the studio can load them."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    process = launch(pairs_folder, whole)
    _, log = process.communicate()
    assert process.returncode == 0, log

    process = launch(pairs_folder, killed)
    while not list((killed / "checkpoints").glob("step-*2")):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert not (killed / "model_index.json").exists()
    # What a stop in the middle of writing leaves, and a newest checkpoint that was damaged.
    (killed / "checkpoints" / "part-9").mkdir()
    (killed / "checkpoints" / "step-00000005").mkdir()
    process = launch(pairs_folder, killed)
    _, log = process.communicate()
    assert process.returncode == 0, log
    assert "damaged" in log and "going on from" in log

    a, b = weights(whole), weights(killed)
    assert a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)

    import xpsr

    pipe = xpsr.load(str(whole))
    picture = Image.open(pairs_folder / "LR" / f"{read_manifest(pairs_folder)[0]['id']}.png")
    out = pipe(picture, prompt="Waves.", num_inference_steps=2, seed=1)
    assert out.images[0].size == (128, 128)
