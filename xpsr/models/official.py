"""Checkpoints of the authors → our classes: names, reading, a readable report when it fails."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import torch
from diffusers import ModelMixin
from torch import Tensor

from xpsr.errors import XPSRError
from xpsr.models.config import without_unused_official_keys
from xpsr.models.weights_file import align, find_weights, name_stranger, read_weights

Model = TypeVar("Model", bound=ModelMixin)

# Official ControlNet name → ours, first match wins; ours match none. The UNet needs no rule at all.
RULES = (
    (re.compile(r"\battentions\.(\d+)\.(?!high|low|fuse)"), r"attentions.\1.high."),
    (re.compile(r"\battentions_lowlevel\.(\d+)\."), r"attentions.\1.low."),
    (re.compile(r"\battentions_connect\.(\d+)\."), r"attentions.\1.fuse."),
    (re.compile(r"\bconv_degradation\.(\d+)\.0\."), r"conv_degradation.\1."),
    (re.compile(r"\bconv_degradation_mid\.0\."), r"conv_degradation_mid."),
)

# What only the two networks of XPSR have: a part of our names, and what to call it.
_MARKS = {
    "unet": (".pixel_attentions.", "UNet", "conditional attention"),
    "controlnet": (".low.", "ControlNet", "low-level prompt"),
}


def to_ours(official_key: str) -> str:
    """The name that a ControlNet weight of the authors has in `XPSRControlNetModel`."""
    for pattern, replacement in RULES:
        renamed, count = pattern.subn(replacement, official_key)
        if count:
            return renamed
    return official_key


def to_our_names(part: str, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of "unet" or "controlnet" by our names, whichever of the two they come with."""
    return {to_ours(k) if part == "controlnet" else k: v for k, v in weights.items()}


def load_official(
    cls: type[Model], part: str, folder: Path, dtype: torch.dtype = torch.float32
) -> Model:
    """See `XPSRControlNetModel.from_official`; `part` is "unet" or "controlnet"."""
    config = read_config(folder)
    weights = read_weights(find_weights(folder), dtype)
    check_family(part, folder, weights)
    return _build(cls, config, to_our_names(part, weights), folder)


def check_family(part: str, folder: Path, weights: Mapping[str, Tensor]) -> None:
    """Refuse weights of another kind of network than `part` ("unet" or "controlnet").

    Raises:
        XPSRError: says what they look like.
    """
    own, name, layers = _MARKS[part]
    if not any(own in to_ours(key) for key in weights):
        raise XPSRError(
            f"{folder} is not an XPSR {name}: it has no {layers} layers (it looks like"
            f" {_family(weights)}). Choose the '{part}' folder of an XPSR checkpoint."
        )


def read_config(folder: Path) -> dict:
    """config.json of a model folder."""
    if not folder.is_dir():
        raise XPSRError(f"There is no folder {folder}.")
    path = folder / "config.json"
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise XPSRError(f"{folder} is no model folder: it has no config.json.") from None
    except (ValueError, OSError):
        text = ""
    try:
        config = json.loads(text)
    except ValueError:
        name_stranger(path)
        config = None
    if not isinstance(config, dict):
        raise XPSRError(f"{path} cannot be read as a model's config; fetch it again.")
    return config


def _build(cls: type[Model], config: dict, weights: Mapping[str, Tensor], folder: Path) -> Model:
    model = lay_out(cls, config, folder)
    if mismatches := report(model.state_dict(), weights):
        raise XPSRError(f"The weights in {folder} do not fit its config.json: {mismatches}.")
    # Taken over and not copied: the weights stand in memory once.
    model.load_state_dict(weights, assign=True)
    return align(model).eval()


def lay_out(cls: type[Model], config: dict, folder: Path) -> Model:
    """The network that an official config describes, without memory for its weights.

    Raises:
        XPSRError: it describes none.
    """
    config = {key: value for key, value in config.items() if key != "_class_name"}
    try:
        with torch.device("meta"):
            return cls.from_config(without_unused_official_keys(config))
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise XPSRError(f"{folder}/config.json describes no XPSR model: {error}.") from error


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
    keys = {to_ours(key) for key in weights}
    if any(".pixel_attentions." in k for k in keys):
        return "an XPSR UNet"
    if any(".low." in k for k in keys):
        return "an XPSR ControlNet"
    if any("image_attentions" in k for k in keys):
        return "a SeeSR model"
    if any(k.startswith("controlnet_cond_embedding.") for k in keys):
        return "a plain ControlNet"
    if any(k.startswith("up_blocks.") for k in keys):
        return "a plain Stable Diffusion UNet"
    return "another kind of model"
