"""Checkpoints of the authors → our classes: reading, a readable report when it fails."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import torch
from diffusers import ModelMixin
from torch import Tensor

from xpsr.errors import XPSRError
from xpsr.models.config import without_unused_official_keys
from xpsr.models.family import Family, kind_of
from xpsr.models.weights_file import align, find_weights, name_stranger, read_weights

Model = TypeVar("Model", bound=ModelMixin)


def load_official(
    cls: type[Model], family: Family, part: str, folder: Path, dtype: torch.dtype = torch.float32
) -> Model:
    """See `XPSRControlNetModel.from_official`; `part` is "unet" or "controlnet"."""
    config = read_config(folder)
    weights = read_weights(find_weights(folder), dtype)
    check_family(family, part, folder, weights)
    return _build(cls, config, family.to_our_names(part, weights), folder)


def check_family(family: Family, part: str, folder: Path, weights: Mapping[str, Tensor]) -> None:
    """Refuse weights of another kind of network than `part` ("unet" or "controlnet").

    Raises:
        XPSRError: says what they look like.
    """
    network = family.networks[part]
    if not network.has_mark(weights):
        raise XPSRError(
            f"{folder} is not {family.called} {network.name}: it has no {network.layers} layers "
            f"(it looks like {kind_of(weights)}). Choose the '{part}' folder of {family.called} "
            "checkpoint."
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
        raise XPSRError(f"{folder}/config.json describes no such network: {error}.") from error


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
