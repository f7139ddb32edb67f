"""What a model is and how much it takes, told before any of it is loaded or fetched."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

from xpsr.errors import XPSRError
from xpsr.loading import (
    BASE_PARTS,
    COMPONENTS,
    MINI,
    cannot_fetch,
    check_base,
    class_of,
    is_hub_id,
    read_index,
    wanted_files,
)
from xpsr.models.checkpoint import check, locate
from xpsr.models.own_layers import has_own_layers
from xpsr.models.weights_file import read_shapes

NETWORKS = ("vae", "text_encoder", "unet", "controlnet")
_HEADS = ("diffusion_pytorch_model*", "model*", "pytorch_model*", "own_layers*")


@dataclass(frozen=True)
class ModelFacts:
    """What is known of a model that is not loaded.

    Attributes:
        name: as it was named.
        kind: "embedded", "folder", "official" or "hub".
        weights: how many numbers its networks hold, the base's included; 0 where that is not
            known before it is fetched.
        fetched: bytes that have to come from the hub first.
    """

    name: str
    kind: str
    weights: int
    fetched: int = 0

    def bytes(self, dtype: torch.dtype) -> int:
        """Memory for the weights in a number format; of a model on the hub, what its files take."""
        return self.weights * dtype.itemsize or self.fetched


def inspect_model(name: str, base: str | None = None) -> ModelFacts:
    """Look at what `xpsr.load(name, base=base)` would load.

    Raises:
        XPSRError: it would fail, as far as that can be told from names, shapes and sizes.
    """
    folder = MINI if name == "mini" else Path(name).expanduser()
    if not folder.is_dir():
        if not is_hub_id(name):
            raise XPSRError(
                f'There is no model "{name}": give "mini", a folder that exists, or a hub id such '
                "as owner/name."
            )
        return _on_hub(name, tuple(COMPONENTS))
    if (folder / "model_index.json").is_file():
        if base:
            raise XPSRError(f"{name} is a complete model; leave base out.")
        index = read_index(folder)
        for part in COMPONENTS:
            if not (folder / part).is_dir():
                raise XPSRError(f'The model in {folder} is incomplete: it has no "{part}".')
            class_of(part, index)
        weights = sum(_weights(folder / part) for part in NETWORKS)
        return ModelFacts(name, "embedded" if name == "mini" else "folder", weights)
    return _official(name, locate(folder), base)


def _official(name: str, folder: Path, base: str | None) -> ModelFacts:
    if has_own_layers(folder / "unet"):
        weights, width, of_base = _weights(folder / "controlnet"), None, (*NETWORKS[:2], "unet")
        weights += _weights(folder / "unet")
    else:
        found = check(folder)
        if found.problems:
            raise XPSRError(" ".join(found.problems))
        weights, of_base = sum(part.weights for part in found.parts), NETWORKS[:2]
        width = found.parts[0].text_width
    if not base:
        raise XPSRError(
            f"{folder.name} is an official checkpoint, which holds only a part of the model; "
            "name a folder or hub id of Stable Diffusion 1.5 as base."
        )
    if not (place := Path(base).expanduser()).is_dir():
        there = _on_hub(base, tuple(BASE_PARTS))
        return ModelFacts(name, "official", weights + there.weights, there.fetched)
    if width:
        check_base(place, width)
    return ModelFacts(name, "official", weights + sum(_weights(place / p) for p in of_base))


def _on_hub(name: str, parts: tuple[str, ...]) -> ModelFacts:
    if not is_hub_id(name):
        raise XPSRError(f"{name} is neither a folder that exists nor a hub id such as owner/name.")
    patterns = wanted_files(parts)
    try:
        here = Path(snapshot_download(name, allow_patterns=patterns, local_files_only=True))
        if all((here / part).is_dir() for part in parts):
            weights = sum(_weights(here / part) for part in parts if part in NETWORKS)
            return ModelFacts(name, "hub", weights)
    except (LocalEntryNotFoundError, HFValidationError, OSError):
        pass
    try:
        files = HfApi().model_info(name, files_metadata=True, timeout=20).siblings or []
    except Exception as error:  # of the hub, of the network, of a proxy
        raise cannot_fetch(name) from error
    sizes = {file.rfilename: file.size or 0 for file in files}
    wanted = {k: v for k, v in sizes.items() if any(fnmatch(k, pattern) for pattern in patterns)}
    for part in parts:
        if not any(file.startswith(f"{part}/") for file in wanted):
            raise XPSRError(f'"{name}" on the hub is no such model: it has no "{part}".')
        weights = (f"{part}/*.safetensors", f"{part}/*.bin")
        if part in NETWORKS and not any(fnmatch(k, w) for k in wanted for w in weights):
            raise XPSRError(f'"{name}" on the hub is incomplete: its "{part}" has no weights.')
    return ModelFacts(name, "hub", 0, sum(wanted.values()))


def _weights(folder: Path) -> int:
    """How many numbers the weight files of a network hold; XPSRError if one is cut short."""
    found: list[Path] = []
    for head in _HEADS:
        for ending in (".safetensors", ".bin"):
            # Variants such as model.fp16.safetensors are the same once more.
            same = [path for path in folder.glob(head + ending) if path.name.count(".") == 1]
            found = found or same
    if not found:
        raise XPSRError(f"{folder} has no weights.")
    return sum(value.numel() for path in found for value in _shapes(path))


def _shapes(path: Path) -> list[Any]:
    return list(read_shapes(path).values())
