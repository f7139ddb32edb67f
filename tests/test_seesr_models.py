"""SeeSR's networks against the authors' numbers and keys."""

import json
from functools import partial
from pathlib import Path

import pytest
import torch
from diffusers import ControlNetModel, UNet2DConditionModel
from safetensors.torch import load_file

from xpsr.errors import XPSRError
from xpsr.models import SeeSRControlNetModel, SeeSRUNet2DConditionModel, XPSRUNet2DConditionModel
from xpsr.models.family import SEESR

GOLDEN = Path(__file__).parent / "golden" / "seesr"
XPSR_GOLDEN = GOLDEN.parent / "xpsr"


@pytest.fixture(scope="module")
def networks():
    return (
        SeeSRControlNetModel.from_official(GOLDEN / "tiny" / "controlnet"),
        SeeSRUNet2DConditionModel.from_official(str(GOLDEN / "tiny" / "unet")),
    )


@pytest.fixture(scope="module")
def stored():
    return load_file(GOLDEN / "forward.safetensors")


def near(found, expected):
    assert found.shape == expected.shape
    assert (found - expected).abs().max() <= 2e-4


@torch.no_grad()
def run(networks, stored, timestep, scale=1.0):
    controlnet, unet = networks
    told = {
        "encoder_hidden_states": stored["in.text_embeds"],
        "image_encoder_hidden_states": stored["in.image_embeds"],
    }
    control = controlnet(
        stored["in.sample"],
        timestep,
        controlnet_cond=stored["in.cond_image"],
        conditioning_scale=scale,
        **told,
    )
    return control, unet(
        stored["in.sample"],
        timestep,
        down_block_additional_residuals=control.down_block_res_samples,
        mid_block_additional_residual=control.mid_block_res_sample,
        **told,
    ).sample


def watch(networks):
    """What comes out of the layers that the authors' run wrote down, under the names there."""
    controlnet, unet = networks
    seen, hooks = {}, []

    def keep(name, module, inputs, output):
        first = output[0] if isinstance(output, tuple) else output
        seen[f"a.tap.{name}"] = first

    def place(name, module):
        hooks.append(module.register_forward_hook(partial(keep, name)))

    for name, network in (("controlnet", controlnet), ("unet", unet)):
        first = network.down_blocks[0]
        place(f"{name}.down0.resnet0", first.resnets[0])
        places = {f"{name}.down0": (first, 0), f"{name}.mid": (network.mid_block, 0)}
        if network is unet:
            places["unet.up3"] = (unet.up_blocks[3], 2)
        for where, (block, number) in places.items():
            both = block.attentions[number]
            place(f"{where}.image_attn{number}", both)

            # What the second transformer gets is what the first one gives.
            def keep_text(module, inputs, name=f"a.tap.{where}.attn{number}"):
                seen[name] = inputs[0]

            hooks.append(both.image.register_forward_pre_hook(keep_text))
    place("controlnet.cond_embedding", controlnet.controlnet_cond_embedding)
    return seen, hooks


def test_forward_gives_the_authors_numbers(networks, stored):
    seen, hooks = watch(networks)
    control, noise = run(networks, stored, stored["in.timestep_scalar"])
    for hook in hooks:
        hook.remove()
    found = {f"a.controlnet.down.{i:02d}": t for i, t in enumerate(control.down_block_res_samples)}
    found |= {"a.controlnet.mid": control.mid_block_res_sample, "a.unet.out": noise, **seen}
    assert found.keys() == {key for key in stored if key.startswith("a.")}
    for key, value in found.items():
        near(value, stored[key])


def test_every_sample_has_its_own_timestep_and_residuals_are_scaled(networks, stored):
    control, noise = run(networks, stored, stored["in.timestep_batch"], scale=0.7)
    near(control.down_block_res_samples[0], stored["b.controlnet.down.00"])
    near(control.mid_block_res_sample, stored["b.controlnet.mid"])
    near(noise, stored["b.unet.out"])


@torch.no_grad()
def test_the_tokens_of_the_picture_are_read(networks, stored):
    """The bare UNet, then with the first token alone, then with tokens of nothing."""
    _, unet = networks
    sample, time, text = (
        stored[f"in.{name}"] for name in ("sample", "timestep_scalar", "text_embeds")
    )
    tokens = stored["in.image_embeds"]
    near(unet(sample, time, text, tokens).sample, stored["c.unet.out_no_residuals"])
    for key, fewer in (
        ("d.unet.out_first_image_token_only", tokens[:, :1]),
        ("e.unet.out_zero_image_embeds", torch.zeros_like(tokens)),
    ):
        _, noise = run(networks, {**stored, "in.image_embeds": fewer}, time)
        near(noise, stored[key])


@torch.no_grad()
def test_an_embedded_picture_stands_for_the_picture(networks, stored):
    controlnet, _ = networks
    told = stored["in.text_embeds"], stored["in.image_embeds"]
    whole = controlnet(stored["in.sample"], 981, *told, stored["in.cond_image"], return_dict=False)
    hint = controlnet.hint(stored["in.cond_image"])
    assert controlnet.downscale * hint.shape[-1] == stored["in.cond_image"].shape[-1]
    again = controlnet(stored["in.sample"], 981, *told, hint=hint, return_dict=False)
    assert all(torch.equal(a, b) for a, b in zip(whole[0], again[0], strict=True))
    with pytest.raises(ValueError, match="controlnet_cond"):
        controlnet(stored["in.sample"], 981, *told)


def test_official_size_has_the_authors_keys():
    official = json.loads((GOLDEN / "keys_sd2base.json").read_text())
    for part, kind in (("unet", SeeSRUNet2DConditionModel), ("controlnet", SeeSRControlNetModel)):
        known, network = official[part], SEESR.networks[part]
        with torch.device("meta"):
            model = kind.from_config(
                {k: v for k, v in known["config"].items() if k != "use_image_cross_attention"}
            )
        shapes = {key: list(value.shape) for key, value in model.state_dict().items()}
        assert shapes == SEESR.to_our_names(part, known["keys"])
        assert sum(value.numel() for value in model.parameters()) == network.published
        assert known["n_params"] == network.published


def test_weights_of_the_base_keep_their_names(networks):
    """So that a LoRA made for Stable Diffusion finds its places."""
    controlnet, unet = networks
    for network, stock in ((unet, UNet2DConditionModel), (controlnet, ControlNetModel)):
        with torch.device("meta"):
            plain = stock.from_config(
                {k: v for k, v in network.config.items() if k != "image_attention_dim"}
            )
        added = network.state_dict().keys() - plain.state_dict().keys()
        assert plain.state_dict().keys() < network.state_dict().keys()
        assert all(".image." in key for key in added)


def test_saved_networks_are_the_same(networks, tmp_path):
    for network in networks:
        network.save_pretrained(tmp_path / type(network).__name__)
        again = type(network).from_pretrained(tmp_path / type(network).__name__)
        weights = again.state_dict()
        assert all(torch.equal(value, weights[k]) for k, value in network.state_dict().items())
        assert again.config["image_attention_dim"] == 512


def test_networks_of_another_family_are_refused():
    with pytest.raises(XPSRError, match=r"not a SeeSR UNet: .*looks like an XPSR UNet"):
        SeeSRUNet2DConditionModel.from_official(XPSR_GOLDEN / "tiny" / "unet")
    with pytest.raises(XPSRError, match=r"not an XPSR UNet: .*looks like a SeeSR model"):
        XPSRUNet2DConditionModel.from_official(GOLDEN / "tiny" / "unet")
