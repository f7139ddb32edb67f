"""Training: the authors' loss, the networks' start, and options that are wrong."""

from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from safetensors.torch import load_file
from scipy import ndimage

from train.config import read_config
from train.loss import (
    diffusion_error,
    diffusion_target,
    gradient_error,
    training_loss,
    weave_error,
)
from train.networks import clip_tokenizer
from train.options import read_options
from train.pairing import PrepareConfig
from train.series import read_series
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
    from xpsr.models.family import XPSR

    stored = {k: v for k, v in golden.items() if k.startswith(("grad.controlnet.", "grad.unet."))}
    assert stored
    for key, value in stored.items():
        _, network, name = key.split(".", 2)
        name = XPSR.networks["controlnet"].to_ours(name) if network == "controlnet" else name
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
        ("loss.pixels=1", "options of 'loss' are: pixel_weight, latent_weight, log_floor"),
        ("degradation.recipe=foul", "degradation.recipe"),
        ("degradation.size=130", "no multiple of upscale"),
        ("model.alpha_bar_range=[0.005,0.1]", "must be the larger one"),
        ("seed=-1", "seed"),
        ("seed=9223372036854775808", "'seed' cannot be 9223372036854775808"),
        ("learning_rate=.inf", "'learning_rate' cannot be inf"),
        ("loss.pixel_weight=.nan", "'loss.pixel_weight' cannot be nan"),
        ("out=", "'out' cannot be ''"),
        ("loss=3", "give its parts, loss.pixel_weight"),
        ("steps=[", "cannot be read"),
        ("crop=20", "'crop' cannot be 20"),
    ],
)
def test_wrong_options_are_told_in_a_sentence(override, says):
    with pytest.raises(XPSRError, match=says):
        read_config(CONFIGS / "smoke.yaml", ["data=x", "out=y", override])


def test_every_shipped_config_is_valid():
    for path in CONFIGS.glob("*.yaml"):
        if path.stem.startswith("pairs"):
            read_options(PrepareConfig, path)
        elif not path.stem.startswith("accelerate"):
            assert read_series(path, ["data=x", "out=y"])


def test_words_that_yaml_takes_for_truth_values_stay_words(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("data: x\nout: y\nmixed_precision: no\n")
    assert read_config(path).mixed_precision == "no"
    config = read_config(path, ["mixed_precision=no", "flips=true", "out=7", "crop=null"])
    assert config.mixed_precision == "no" and config.flips is True
    assert config.out == "7" and config.crop is None


def test_the_log_floor_counts_every_picture_alike():
    target = torch.zeros(2, 1, 2, 2)
    prediction = torch.stack([torch.full((1, 2, 2), 3.0), torch.full((1, 2, 2), 0.1)])
    plain, floored = diffusion_error(prediction, target), diffusion_error(prediction, target, 0.1)
    assert torch.allclose(plain, torch.tensor((9 + 0.01) / 2))
    assert torch.allclose(floored, torch.tensor([9.1, 0.11]).log().mean())


def _edges(grey: np.ndarray) -> np.ndarray:
    """Gradients where GMSD takes them, by another library."""
    half = grey.reshape(grey.shape[0] // 2, 2, -1, 2).mean(axis=(1, 3))
    return np.stack([ndimage.prewitt(half, axis)[1:-1, 1:-1] / 3 for axis in (0, 1)])


def _as_batch(grey: np.ndarray) -> torch.Tensor:
    return torch.tensor(grey, dtype=torch.float32).expand(1, 3, -1, -1) * 2 - 1


def test_the_gradient_error_compares_gradients_with_their_directions():
    photo = skimage.data.camera()[::2, ::2] / 255
    errors = []
    for sigma in (1, 2, 4):
        picture = ndimage.gaussian_filter(photo, sigma)
        a, b = _edges(picture), _edges(photo)
        lacking = ((a - b) ** 2).sum(0) / ((a**2 + b**2).sum(0) + 170 / 255**2)
        errors.append(gradient_error(_as_batch(picture), _as_batch(photo)).item())
        assert errors[-1] == pytest.approx(np.sqrt(np.mean(lacking**2)), rel=2e-3)
    clean = _as_batch(photo)
    assert gradient_error(clean, clean) < 1e-3 < errors[0] < errors[1] < errors[2]
    # Detail in the wrong place is as strong, and worse than none: it must not pay to invent a grid.
    wrong = _as_batch(ndimage.gaussian_filter(photo, 2)) + (clean - clean.roll(8, 3)) * 0.5
    assert gradient_error(wrong, clean) > errors[1]


def test_following_the_gradient_error_sharpens_a_blurred_picture():
    clean = _as_batch(skimage.data.camera()[::4, ::4] / 255)
    blurred = torch.nn.functional.avg_pool2d(clean, 5, 1, 2, count_include_pad=False)
    picture = blurred.clone().requires_grad_()
    optimizer = torch.optim.Adam([picture], lr=0.01)
    for _ in range(20):
        optimizer.zero_grad()
        gradient_error(picture, clean).backward()
        optimizer.step()
    contrast = [x.diff(dim=-1).abs().mean() for x in (blurred, picture.detach())]
    assert contrast[0] < contrast[1]
    assert gradient_error(picture, clean) < 0.8 * gradient_error(blurred, clean)
    # A plain picture has no edges, and still a derivative.
    flat = torch.zeros(1, 3, 32, 32, requires_grad=True)
    gradient_error(flat, clean[..., :32, :32]).backward()
    assert torch.isfinite(flat.grad).all()


def _fine(picture: torch.Tensor) -> torch.Tensor:
    """What is finer than 3 pixels, in grey levels, by another library."""
    grey = picture.numpy() * 255 / 2
    return torch.from_numpy(grey - ndimage.uniform_filter(grey, (1, 1, 3, 3), mode="mirror"))


def test_the_weave_error_counts_what_repeats_and_nothing_else():
    photo = _as_batch(skimage.data.camera() / 255)
    plain = torch.zeros(photo.shape)
    draws = torch.Generator().manual_seed(0)
    tile = torch.randn(1, 3, 8, 8, generator=draws) * 0.01
    weave = tile.repeat(1, 1, 64, 64)
    grain = torch.randn(photo.shape, generator=draws) * 0.01
    one = _fine(weave)[..., 8:16, 8:16]
    power = (one - one.mean(dim=(2, 3), keepdim=True)).square().mean(dim=(2, 3))
    found = weave_error(plain + weave, plain)
    assert found == pytest.approx(power.mean().item(), rel=0.02)
    # Grain as strong is let pass, and so are stripes that belong there, and ramps of any kind.
    assert weave_error(plain + grain, plain) < 0.1 * found
    assert weave_error(photo + weave, photo + weave) == 0
    ramp = torch.linspace(-1, 1, 512).expand(1, 3, 512, 512)
    assert weave_error(ramp, plain) < 1e-3 * found
    # On a photo it shows in plain parts, and hardly where there is fine structure.
    on_photo = weave_error(photo + weave, photo)
    assert weave_error(photo + grain, photo) < 0.3 * on_photo < 0.3 * found
    # Small crops have smaller windows.
    corner = (slice(None), slice(None), slice(16), slice(24))
    assert weave_error(weave[corner], plain[corner]) > 0.5 * found


def test_following_the_weave_error_takes_the_weave_out_and_leaves_grain():
    draws = torch.Generator().manual_seed(0)
    clean = _as_batch(skimage.data.camera()[:128, :128] / 255)
    grain = torch.randn(clean.shape, generator=draws) * 0.02
    weave = (torch.randn(1, 3, 8, 8, generator=draws) * 0.02).repeat(1, 1, 16, 16)
    picture = (clean + grain + weave).requires_grad_()
    optimizer = torch.optim.Adam([picture], lr=0.002)
    for _ in range(40):
        optimizer.zero_grad()
        weave_error(picture, clean).backward()
        optimizer.step()
    left = picture.detach() - clean
    before, after = (_fine(x).unfold(2, 8, 8).unfold(3, 8, 8).mean((2, 3)) for x in (weave, left))
    assert after.std() < 0.35 * before.std()
    assert left.std() > 0.95 * grain.std()
