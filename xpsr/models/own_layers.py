"""Checkpoints of only what XPSR adds to Stable Diffusion's UNet: a quarter of its size."""

from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from xpsr.errors import XPSRError
from xpsr.models.official import read_config, report
from xpsr.models.unet import XPSRUNet2DConditionModel

FILE = "own_layers.safetensors"
_OWN = ".pixel_attentions."


def has_own_layers(folder: Path) -> bool:
    """Whether `folder` is a UNet saved by `save_own_layers`."""
    return (folder / FILE).is_file()


def save_own_layers(unet: XPSRUNet2DConditionModel, folder: Path) -> None:
    """Write config.json and the conditional attention; the rest is the base's."""
    unet.save_config(folder)
    weights = {k: v.contiguous() for k, v in unet.state_dict().items() if _OWN in k}
    save_file(weights, folder / FILE, metadata={"format": "pt"})


def load_own_layers(folder: Path, base: UNet2DConditionModel) -> XPSRUNet2DConditionModel:
    """The base's UNet with the layers of `folder` put in.

    Raises:
        XPSRError: the file is damaged or was made for another base.
    """
    config = read_config(folder)
    unet = XPSRUNet2DConditionModel.from_unet(
        base, conditional_attention=config.get("conditional_attention")
    )
    try:
        weights = load_file(folder / FILE)
    except (SafetensorError, OSError) as error:
        raise XPSRError(f"{folder / FILE} is damaged; fetch it again.") from error
    expected = {key: value for key, value in unet.state_dict().items() if _OWN in key}
    if mismatches := report(expected, weights):
        raise XPSRError(f"The layers in {folder} do not fit this base: {mismatches}.")
    unet.load_state_dict(weights, strict=False)
    # As the base; diffusers' own `to` would warn of layers to be left in float32, and names none.
    torch.nn.Module.to(unet, base.dtype)
    return unet.eval()
