"""The networks against the authors' numbers, keys and starting weights."""

import json
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from safetensors import safe_open
from safetensors.torch import load_file

from xpsr.models import XPSRControlNetModel, XPSRUNet2DConditionModel
from xpsr.models.attention import FUSION_KINDS, fusion_units
from xpsr.models.family import XPSR

to_ours = XPSR.networks["controlnet"].to_ours
GOLDEN = Path(__file__).parent / "golden" / "xpsr"
FORWARDS = ["forward_tiny_8x8", "forward_tiny_8x12", "forward_tiny_rrdb_8x12"]


def read_golden(name):
    path = GOLDEN / f"{name}.safetensors"
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    return load_file(path), metadata


def load_networks(folder):
    return (
        XPSRControlNetModel.from_official(GOLDEN / folder / "controlnet"),
        XPSRUNet2DConditionModel.from_official(GOLDEN / folder / "unet"),
    )


@torch.no_grad()
def run(controlnet, unet, golden, scale=1.0, lowlevel=True, **options):
    sample, timestep = golden["in.sample"], golden["in.timestep"]
    control = controlnet(
        sample,
        timestep,
        encoder_hidden_states=golden["in.high"],
        lowlevel_encoder_hidden_states=golden["in.low"] if lowlevel else None,
        controlnet_cond=golden["in.cond"],
        conditioning_scale=scale,
        **options,
    )
    noise = unet(
        sample,
        timestep,
        encoder_hidden_states=golden["in.high"],
        down_block_additional_residuals=control.down_block_res_samples,
        mid_block_additional_residual=control.mid_block_res_sample,
    ).sample
    return control, noise


def named(control, noise):
    """The outputs of one pass under the names of the golden files."""
    out = {f"controlnet.down.{i:02d}": t for i, t in enumerate(control.down_block_res_samples)}
    *down, mid = control.latent_predictions
    out |= {f"controlnet.latent.{i:02d}": t for i, t in enumerate(down)}
    out |= {f"controlnet.rgb.{i}": t for i, t in enumerate(control.pixel_predictions)}
    return out | {
        "controlnet.mid": control.mid_block_res_sample,
        "controlnet.latent_mid": mid,
        "unet.noise_pred": noise,
    }


@pytest.mark.parametrize("name", FORWARDS)
def test_forward_gives_the_authors_numbers(name):
    golden, metadata = read_golden(name)
    controlnet, unet = load_networks(metadata["models"])
    inside = record(controlnet, unet)
    out = named(*run(controlnet, unet, golden, float(metadata["conditioning_scale"])))
    expected = {k for k in golden if k.startswith(("controlnet.", "unet."))}
    assert expected == out.keys()
    for key in expected:
        assert torch.allclose(out[key], golden[key], atol=1e-4, rtol=0), key
    debug = {k.removeprefix("debug."): v for k, v in golden.items() if k.startswith("debug.")}
    assert debug.keys() == inside.keys()
    for key, value in debug.items():
        assert torch.allclose(inside[key], value, atol=1e-4, rtol=0), key


def record(controlnet, unet):
    """Note what passes between the layers, under the names of the golden files."""
    seen = {}
    unit = controlnet.down_blocks[0].attentions[0]
    places = {
        "cn.time_embedding": controlnet.time_embedding,
        "cn.conv_in": controlnet.conv_in,
        "cn.cond_embedding": controlnet.controlnet_cond_embedding,
        "cn.down0.resnet0": controlnet.down_blocks[0].resnets[0],
        "cn.down0.high0": unit.high,
        "cn.down0.low0": unit.low,
        "cn.down0.connect0": unit.fuse,
        "cn.mid": controlnet.mid_block,
        "unet.mid": unet.mid_block,
    }
    places |= {f"cn.down{i}": block for i, block in enumerate(controlnet.down_blocks)}
    places |= {f"unet.down{i}": block for i, block in enumerate(unet.down_blocks)}
    places |= {f"unet.up{i}": block for i, block in enumerate(unet.up_blocks)}
    places |= {f"unet.up{i}.pixel0": b.pixel_attentions[0] for i, b in enumerate(unet.up_blocks)}

    def keep(name):
        def hook(_module, _inputs, output):
            seen[name] = output[0] if isinstance(output, tuple) else output

        return hook

    for name, module in places.items():
        module.register_forward_hook(keep(name))
    return seen


def test_without_a_lowlevel_prompt_the_high_branch_works_alone():
    golden, _ = read_golden("forward_tiny_8x8")
    control, noise = run(*load_networks("tiny"), golden, lowlevel=False)
    pairs = {
        "nolow.controlnet.down.05": control.down_block_res_samples[5],
        "nolow.controlnet.mid": control.mid_block_res_sample,
        "nolow.unet.noise_pred": noise,
    }
    for key, value in pairs.items():
        assert torch.allclose(value, golden[key], atol=1e-4, rtol=0), key


@pytest.mark.parametrize("rrdb", [False, True])
def test_every_key_and_shape_at_full_size(rrdb):
    official = json.loads((GOLDEN / "keys_sd15.json").read_text())
    config = {**official["controlnet"]["config"], "use_rrdb": rrdb}
    expected = dict(official["controlnet"]["keys"])
    if rrdb:
        expected |= official["controlnet_rrdb_extra_keys"]
    with torch.device("meta"):
        controlnet = XPSRControlNetModel.from_config(config)
        unet = XPSRUNet2DConditionModel.from_config(official["unet"]["config"])
    shapes = {k: list(v.shape) for k, v in controlnet.state_dict().items()}
    assert shapes == {to_ours(k): v for k, v in expected.items()}
    assert {k: list(v.shape) for k, v in unet.state_dict().items()} == official["unet"]["keys"]
    assert controlnet.downscale == 8


def test_from_unet_starts_as_the_authors():
    """Every weight is a copy, zero or fresh, just as init_from_unet.json says."""
    tiny = json.loads((GOLDEN / "tiny" / "unet" / "config.json").read_text())
    torch.manual_seed(0)
    unet = UNet2DConditionModel.from_config(tiny)
    source = unet.state_dict()
    origins = json.loads((GOLDEN / "init_from_unet.json").read_text())["map"]
    controlnet = XPSRControlNetModel.from_unet(
        unet, conditioning_embedding_out_channels=(8, 12, 16, 24)
    )
    weights = controlnet.state_dict()
    assert {to_ours(k) for k in origins} == weights.keys()
    for key, origin in origins.items():
        weight = weights[to_ours(key)]
        if origin == "zeros":
            assert not weight.any(), key
        elif origin == "fresh":
            copied = any(torch.equal(weight, other) for other in source.values())
            # Norms start at one and zero, in the source as in a fresh layer.
            assert not copied or weight.dim() == 1, key
        else:
            assert torch.equal(weight, source[origin]), key


def test_unet_from_a_plain_one_copies_it_and_starts_conditional_attention_fresh():
    tiny = json.loads((GOLDEN / "tiny" / "unet" / "config.json").read_text())
    plain = UNet2DConditionModel.from_config(tiny)
    unet = XPSRUNet2DConditionModel.from_unet(plain)
    weights, source = unet.state_dict(), plain.state_dict()
    assert all(torch.equal(weights[k], v) for k, v in source.items())
    fresh = [v for k, v in weights.items() if k.endswith("proj_out.weight") and k not in source]
    assert len(fresh) == 12 and all(v.any() for v in fresh)


@pytest.mark.parametrize("folder", ["tiny", "tiny_rrdb"])
def test_save_and_load_are_exact(folder, tmp_path):
    for model in load_networks(folder):
        model.save_pretrained(tmp_path / type(model).__name__)
        again = type(model).from_pretrained(tmp_path / type(model).__name__)
        a, b = model.state_dict(), again.state_dict()
        assert a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)
        assert {k: v for k, v in again.config.items() if not k.startswith("_")} == {
            k: v for k, v in model.config.items() if not k.startswith("_")
        }


@pytest.mark.parametrize("fusion", FUSION_KINDS)
def test_fusion_kinds_use_the_prompts_they_name(fusion):
    """Paper, Table 3: `high` ignores the low-level text, `low` the high-level one."""
    golden, _ = read_golden("forward_tiny_8x8")
    _, unet = load_networks("tiny")
    torch.manual_seed(1)
    controlnet = XPSRControlNetModel.from_unet(
        unet, fusion=fusion, conditioning_embedding_out_channels=(8, 12, 16, 24)
    ).eval()
    randomise_zero_layers(controlnet)
    base = run(controlnet, unet, golden)[0].mid_block_res_sample
    for name, matters in (("in.high", fusion != "low"), ("in.low", fusion != "high")):
        changed = {**golden, name: golden[name].flip(0)}
        other = run(controlnet, unet, changed)[0].mid_block_res_sample
        assert torch.equal(base, other) is not matters, name


def randomise_zero_layers(controlnet):
    for module in (*controlnet.controlnet_down_blocks, controlnet.controlnet_mid_block):
        torch.nn.init.normal_(module.weight, std=0.1)


def test_config_says_which_levels_carry_attention():
    """mini keeps its top level free of both kinds."""
    levels = dict(
        down_block_types=["DownBlock2D", "CrossAttnDownBlock2D"],
        block_out_channels=[8, 16],
        layers_per_block=1,
        norm_num_groups=4,
        cross_attention_dim=10,
        attention_head_dim=2,
        in_channels=6,
    )
    unet = XPSRUNet2DConditionModel(
        **levels,
        out_channels=6,
        up_block_types=["CrossAttnUpBlock2D", "UpBlock2D"],
        conditional_attention=[True, False],
    )
    controlnet = XPSRControlNetModel.from_unet(unet, conditioning_embedding_out_channels=(4, 8, 8))
    assert controlnet.downscale == 4
    assert len(fusion_units(controlnet.down_blocks[0])) == 0
    assert len(fusion_units(controlnet)) == 2  # one layer of the lower level and the middle
    assert [len(block.pixel_attentions) for block in unet.up_blocks] == [2, 0]
    control = controlnet(
        torch.randn(1, 6, 5, 7),
        3,
        encoder_hidden_states=torch.randn(1, 9, 10),
        lowlevel_encoder_hidden_states=torch.randn(1, 9, 10),
        controlnet_cond=torch.rand(1, 3, 20, 28),
    )
    assert [tuple(p.shape[2:]) for p in control.pixel_predictions] == [(10, 14), (5, 7)]
    out = unet(
        torch.randn(1, 6, 5, 7),
        3,
        encoder_hidden_states=torch.randn(1, 9, 10),
        down_block_additional_residuals=control.down_block_res_samples,
        mid_block_additional_residual=control.mid_block_res_sample,
    )
    assert out.sample.shape == (1, 6, 5, 7)


def test_hint_and_skipped_heads_change_nothing():
    golden, _ = read_golden("forward_tiny_8x12")
    controlnet, unet = load_networks("tiny")
    full, _ = run(controlnet, unet, golden)
    with torch.no_grad():
        lean = controlnet(
            golden["in.sample"],
            golden["in.timestep"],
            encoder_hidden_states=golden["in.high"],
            lowlevel_encoder_hidden_states=golden["in.low"],
            hint=controlnet.hint(golden["in.cond"]),
            with_predictions=False,
        )
    assert lean.latent_predictions == () and lean.pixel_predictions == ()
    assert torch.equal(lean.mid_block_res_sample, full.mid_block_res_sample)


def gradients(controlnet, unet, golden):
    control = controlnet(
        golden["in.sample"],
        golden["in.timestep"],
        encoder_hidden_states=golden["in.high"],
        lowlevel_encoder_hidden_states=golden["in.low"],
        controlnet_cond=golden["in.cond"],
    )
    out = unet(
        golden["in.sample"],
        golden["in.timestep"],
        encoder_hidden_states=golden["in.high"],
        down_block_additional_residuals=control.down_block_res_samples,
        mid_block_additional_residual=control.mid_block_res_sample,
    ).sample
    out.square().mean().backward()
    grads = {}
    for prefix, model in (("controlnet.", controlnet), ("unet.", unet)):
        for name, parameter in model.named_parameters():
            if parameter.grad is not None:
                grads[prefix + name] = parameter.grad.clone()
        model.zero_grad()
    return grads


def test_gradient_checkpointing_gives_the_same_gradients():
    golden, _ = read_golden("forward_tiny_8x12")
    controlnet, unet = (model.train() for model in load_networks("tiny"))
    plain = gradients(controlnet, unet, golden)
    calls = []
    for model in (controlnet, unet):
        model.enable_gradient_checkpointing()
        block = model.up_blocks[1] if hasattr(model, "up_blocks") else model.down_blocks[1]
        original = block._gradient_checkpointing_func
        block._gradient_checkpointing_func = lambda *a, _o=original: calls.append(1) or _o(*a)
    checkpointed = gradients(controlnet, unet, golden)
    assert calls, "checkpointing was never used"
    assert plain.keys() == checkpointed.keys()
    for key, value in plain.items():
        assert torch.allclose(value, checkpointed[key], atol=1e-6), key


def shallow(model):
    """Every kind of block once, with one layer: compiling takes its time for each anew."""
    sided = {
        "block_out_channels": [8, 16],
        "layers_per_block": 1,
        "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"],
        "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"],
    }
    torch.manual_seed(0)
    known = {name: value for name, value in sided.items() if name in model.config}
    return type(model).from_config({**model.config, **known}).eval()


def test_compile_without_graph_breaks_gives_the_same_numbers():
    golden, _ = read_golden("forward_tiny_8x12")
    controlnet, unet = map(shallow, load_networks("tiny"))
    _, eager = run(controlnet, unet, golden)
    torch._dynamo.reset()
    compiled = [torch.compile(m, fullgraph=True, backend="eager") for m in (controlnet, unet)]
    _, noise = run(*compiled, golden)
    assert torch.allclose(noise, eager, atol=1e-5)


def test_channels_last_gives_the_same_numbers():
    golden, _ = read_golden("forward_tiny_8x12")
    controlnet, unet = load_networks("tiny")
    _, eager = run(controlnet, unet, golden)
    _, noise = run(
        controlnet.to(memory_format=torch.channels_last),
        unet.to(memory_format=torch.channels_last),
        golden,
    )
    assert torch.allclose(noise, eager, atol=1e-4)


def test_a_stock_lora_loads_without_touching_the_new_layers(tmp_path):
    """A LoRA trained on a plain UNet of the same shape lands in the layers it was trained for."""
    from peft import LoraConfig

    tiny = json.loads((GOLDEN / "tiny" / "unet" / "config.json").read_text())
    plain = UNet2DConditionModel.from_config(tiny)
    plain.add_adapter(
        LoraConfig(
            r=2,
            lora_alpha=2,  # not every file tells it, and then it is r
            target_modules=["to_q", "to_k", "to_v", "to_out.0"],
            init_lora_weights=False,
        )
    )
    plain.save_lora_adapter(tmp_path)
    count = len(load_file(tmp_path / "pytorch_lora_weights.safetensors"))

    golden, _ = read_golden("forward_tiny_8x8")
    controlnet, unet = load_networks("tiny")
    _, before = run(controlnet, unet, golden)
    unet.load_lora_adapter(tmp_path, prefix=None, use_safetensors=True)
    own = [name for name, _ in unet.named_parameters() if "lora_" in name]
    assert len(own) == count > 0
    assert not any("pixel_attentions" in name for name in own)
    _, after = run(controlnet, unet, golden)
    assert (after - before).abs().max() > 1e-3
    unet.unload_lora()
    _, restored = run(controlnet, unet, golden)
    assert torch.allclose(restored, before, atol=1e-5)

    # As training scripts for Stable Diffusion write it, and as our documentation loads it.
    weights = load_file(tmp_path / "pytorch_lora_weights.safetensors")
    StableDiffusionPipeline.save_lora_weights(tmp_path / "whole", unet_lora_layers=weights)
    path = tmp_path / "whole" / "pytorch_lora_weights.safetensors"
    assert all(name.startswith("unet.") for name in load_file(path))
    unet.load_lora_adapter(str(path), prefix="unet")
    _, again = run(controlnet, unet, golden)
    assert torch.allclose(again, after, atol=1e-5)
