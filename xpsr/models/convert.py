"""The authors' checkpoints → our classes: names, reading, and a readable report when it fails."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import TypeVar

import torch
from diffusers import ModelMixin
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from xpsr.errors import XPSRError
from xpsr.models.config import without_unused_official_keys

Model = TypeVar("Model", bound=ModelMixin)

WEIGHT_FILES = ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin")

# Official ControlNet name → ours, first match wins. The UNet needs no rule at all.
RULES = (
    (re.compile(r"\battentions\.(\d+)\."), r"attentions.\1.high."),
    (re.compile(r"\battentions_lowlevel\.(\d+)\."), r"attentions.\1.low."),
    (re.compile(r"\battentions_connect\.(\d+)\."), r"attentions.\1.fuse."),
    (re.compile(r"\bconv_degradation\.(\d+)\.0\."), r"conv_degradation.\1."),
    (re.compile(r"\bconv_degradation_mid\.0\."), r"conv_degradation_mid."),
)


def to_ours(official_key: str) -> str:
    """The name that a ControlNet weight of the authors has in `XPSRControlNetModel`."""
    for pattern, replacement in RULES:
        renamed, count = pattern.subn(replacement, official_key)
        if count:
            return renamed
    return official_key


def load_official_controlnet(cls: type[Model], folder: Path) -> Model:
    """See `XPSRControlNetModel.from_official`."""
    config, weights = read_config(folder), read_weights(folder)
    if not any(".attentions_lowlevel." in key for key in weights):
        what = _family(weights)
        raise XPSRError(
            f"{folder} is not an XPSR ControlNet: it has no low-level prompt layers"
            f" (it looks like {what}). Choose the 'controlnet' folder of an XPSR checkpoint."
        )
    return _build(cls, config, {to_ours(k): v for k, v in weights.items()}, folder)


def load_official_unet(cls: type[Model], folder: Path) -> Model:
    """See `XPSRUNet2DConditionModel.from_official`."""
    config, weights = read_config(folder), read_weights(folder)
    if not any(".pixel_attentions." in key for key in weights):
        what = _family(weights)
        raise XPSRError(
            f"{folder} is not an XPSR UNet: it has no conditional attention layers"
            f" (it looks like {what}). Choose the 'unet' folder of an XPSR checkpoint."
        )
    return _build(cls, config, weights, folder)


def read_config(folder: Path) -> dict:
    """config.json of a model folder."""
    if not folder.is_dir():
        raise XPSRError(f"There is no folder {folder}.")
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise XPSRError(f"{folder} is no model folder: it has no config.json.") from None
    except (ValueError, OSError):
        raise XPSRError(f"{path} cannot be read as a model's config; fetch it again.") from None
    if not isinstance(config, dict):
        raise XPSRError(f"{path} cannot be read as a model's config; fetch it again.")
    return config


def read_weights(folder: Path) -> dict[str, Tensor]:
    """The weights of a model folder, safetensors before .bin; pickles are read as weights only."""
    for name in WEIGHT_FILES:
        path = folder / name
        if path.is_file():
            return _read_file(path)
    raise XPSRError(f"{folder} has no weights: neither {' nor '.join(WEIGHT_FILES)} is there.")


def _read_file(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        weights = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, UnpicklingError, EOFError, RuntimeError, OSError, ValueError) as error:
        if "weights_only" in str(error) or "Unsupported" in str(error):
            raise XPSRError(
                f"{path} holds program code besides weights; it was not loaded."
            ) from error
        raise XPSRError(
            f"{path} is damaged or cut short ({path.stat().st_size:,} bytes); fetch it again."
        ) from error
    if not isinstance(weights, dict) or not all(isinstance(v, Tensor) for v in weights.values()):
        raise XPSRError(f"{path} is not a plain list of weights.")
    return weights


def _build(cls: type[Model], config: dict, weights: Mapping[str, Tensor], folder: Path) -> Model:
    try:
        config = without_unused_official_keys(config)
        config.pop("_class_name", None)
        with torch.device("meta"):
            model = cls.from_config(config)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise XPSRError(f"{folder}/config.json describes no XPSR model: {error}.") from error
    mismatches = report(model.state_dict(), weights)
    if mismatches:
        raise XPSRError(f"The weights in {folder} do not fit its config.json: {mismatches}.")
    model.to_empty(device="cpu")
    model.load_state_dict(weights)
    return model.eval()


def report(expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> str:
    """What keeps `found` from being loaded as `expected`, in words; empty when nothing does."""
    missing = sorted(expected.keys() - found.keys())
    unexpected = sorted(found.keys() - expected.keys())
    shapes = sorted(
        k for k in expected.keys() & found.keys() if expected[k].shape != found[k].shape
    )
    parts = []
    if missing:
        parts.append(f"{len(missing)} missing (first: {missing[0]})")
    if unexpected:
        parts.append(f"{len(unexpected)} not expected (first: {unexpected[0]})")
    if shapes:
        key = shapes[0]
        sizes = f"{tuple(found[key].shape)} instead of {tuple(expected[key].shape)}"
        parts.append(f"{len(shapes)} of the wrong shape (first: {key}, {sizes})")
    return "; ".join(parts)


def _family(weights: Mapping[str, Tensor]) -> str:
    """Name what a set of weights is, by its keys."""
    keys = weights.keys()
    if any(".pixel_attentions." in k for k in keys):
        return "an XPSR UNet"
    if any(".attentions_lowlevel." in k for k in keys):
        return "an XPSR ControlNet"
    if any("image_attentions" in k for k in keys):
        return "a SeeSR model"
    if any(k.startswith("controlnet_cond_embedding.") for k in keys):
        return "a plain ControlNet"
    if any(k.startswith("up_blocks.") for k in keys):
        return "a plain Stable Diffusion UNet"
    return "another kind of model"
