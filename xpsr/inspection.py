"""What a model is and how much it takes, told before any of it is loaded or fetched."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

from xpsr.errors import XPSRError
from xpsr.finding import (
    INDEX,
    cannot_fetch,
    local_folder,
    named_base,
    pickled_files,
    refuse_base,
    wanted_files,
)
from xpsr.models.checkpoint import PARTS, TAGGER, check, locate, tagger_of
from xpsr.models.family import SEESR, Family, family_of
from xpsr.models.official import read_config
from xpsr.models.own_layers import FILE as OWN_LAYERS
from xpsr.models.own_layers import has_own_layers
from xpsr.models.weights_file import read_shapes
from xpsr.parts import (
    ALL_PARTS,
    BASE_PARTS,
    check_base,
    class_of,
    parts_of,
    read_index,
    weight_files,
)
from xpsr.settings import PRESETS
from xpsr.turbo import PRESET as TURBO_PRESET
from xpsr.turbo import is_turbo

NETWORKS = ("vae", "text_encoder", "unet", "controlnet", TAGGER)
_OF_BASE = NETWORKS[:2]  # what an official checkpoint takes from its base
_ENDINGS = (".safetensors", ".bin")


@dataclass(frozen=True)
class ModelFacts:
    """What is known of a model that is not loaded.

    Attributes:
        name: as it was named.
        kind: "embedded", "folder", "official" or "hub".
        weights: how many numbers its networks hold, the base's included, but for those that have
            to be fetched first.
        fetched: bytes that have to come from the hub first.
    """

    name: str
    kind: str
    weights: int
    fetched: int = 0

    def bytes(self, dtype: torch.dtype) -> int:
        """Memory for the weights in a number format; of what is on the hub, what its files take."""
        return self.weights * dtype.itemsize + self.fetched


def inspect_model(name: str, base: str | None = None) -> ModelFacts:
    """Look at what `xpsr.load(name, base=base)` would load.

    Raises:
        XPSRError: it would fail, as far as that can be told from names, shapes and sizes.
    """
    folder = local_folder(name)
    found = _local(folder, base) if folder else _on_hub(name, base)
    return replace(found, name=name, kind="embedded" if name == "mini" else found.kind)


def default_preset(name: str, base: str | None = None) -> str:
    """The preset made for a model, told without its weights; "official" where nothing tells it."""
    folder = fetched(name)
    if folder is None:
        return "official"
    if (folder / INDEX).is_file():
        preset = read_index(folder).get("default_preset")
        return preset if preset in PRESETS else "official"
    if not _is_seesr(folder):
        return "official"
    below = (local_folder(base) or _cached(base, tuple(BASE_PARTS))) if base else None
    return TURBO_PRESET if below is not None and is_turbo(below) else "seesr"


def own_describer(folder: Path) -> str | None:
    """The describer that a model brings along, as `make_describer` takes it: with SeeSR's tagger.

    Args:
        folder: of the model.
    """
    if not _is_seesr(folder):
        return None
    found = tagger_of(folder if (folder / INDEX).is_file() else locate(folder))
    return f"tags:{found.folder or found.weights[0].parent}"


def fetched(name: str) -> Path | None:
    """The folder of a model; None: it is on the hub, and was not fetched yet."""
    return local_folder(name) or _cached(name, ALL_PARTS)


def _is_seesr(folder: Path) -> bool:
    if (folder / INDEX).is_file():
        return TAGGER in parts_of(read_index(folder))
    return family_of(read_config(locate(folder) / "unet")) is SEESR


def _local(folder: Path, base: str | None) -> ModelFacts:
    if not (folder / INDEX).is_file():
        return _official(locate(folder), base)
    refuse_base(str(folder), base)
    index = read_index(folder)
    for part in parts_of(index):
        if not (folder / part).is_dir():
            raise XPSRError(f'The model in {folder} is incomplete: it has no "{part}".')
        class_of(part, index)
    networks = [part for part in NETWORKS if part in parts_of(index)]
    return ModelFacts(str(folder), "folder", sum(_weights(folder / part) for part in networks))


def _official(folder: Path, base: str | None) -> ModelFacts:
    if has_own_layers(folder / "unet"):
        weights = sum(_weights(folder / part) for part in PARTS)
        more = _base(folder.name, base, (*_OF_BASE, "unet"))
    else:
        found = check(folder)
        if found.problems:
            raise XPSRError(" ".join(found.problems))
        weights = sum(part.weights for part in found.parts)
        more = _base(folder.name, base, _OF_BASE, (found.text_width, found.family))
    return ModelFacts(str(folder), "official", weights + more.weights, more.fetched)


def _on_hub(name: str, base: str | None) -> ModelFacts:
    """A model by its hub id: of what lies in the cache the weights, of all else the bytes."""
    if here := _cached(name, ALL_PARTS):
        return replace(_local(here, base), kind="hub")
    sizes = _listed(name, ALL_PARTS)
    if INDEX in sizes:
        refuse_base(name, base)
        # Which kind of model it is its index says, which is not fetched yet.
        tagged = any(file.startswith(f"{TAGGER}/") for file in sizes)
        _refuse_incomplete(name, sizes, ALL_PARTS if tagged else parts_of({}))
        return ModelFacts(name, "hub", 0, sum(sizes.values()))
    _refuse_incomplete(name, sizes, PARTS)
    own = f"unet/{OWN_LAYERS}" in sizes
    more = _base(name, base, (*_OF_BASE, "unet") if own else _OF_BASE)
    return ModelFacts(name, "hub", more.weights, sum(sizes.values()) + more.fetched)


def _base(
    name: str, base: str | None, networks: tuple[str, ...], fits: tuple[int, Family] | None = None
) -> ModelFacts:
    """What the base of an official checkpoint adds; `fits` are the arguments of `check_base` behind
    the folder, if known."""
    base = named_base(name, base)
    if place := local_folder(base):
        if fits:
            check_base(place, *fits)
        return ModelFacts(base, "folder", sum(_weights(place / part) for part in networks))
    parts = tuple(dict.fromkeys((*BASE_PARTS, *networks)))
    if here := _cached(base, parts):
        return ModelFacts(base, "hub", sum(_weights(here / part) for part in networks))
    sizes = _listed(base, parts)
    _refuse_incomplete(base, sizes, parts)
    return ModelFacts(base, "hub", 0, sum(sizes.values()))


def _cached(name: str, parts: tuple[str, ...]) -> Path | None:
    """Where an earlier download of a hub id lies; None if it is not whole."""
    patterns = wanted_files(parts)
    try:
        here = Path(snapshot_download(name, allow_patterns=patterns, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError, OSError):
        return None
    if set(PARTS) <= set(parts):
        parts = parts_of(read_index(here)) if (here / INDEX).is_file() else PARTS
    whole = all(
        (here / part).is_dir() and (part not in NETWORKS or _weight_files(here / part))
        for part in parts
    )
    return here if whole else None


def _listed(name: str, parts: tuple[str, ...]) -> dict[str, int]:
    """{file on the hub: bytes} of what would be fetched."""
    try:
        files = HfApi().model_info(name, files_metadata=True, timeout=20).siblings or []
    except Exception as error:  # of the hub, of the network, of a proxy
        raise cannot_fetch(name, error) from error
    sizes = {file.rfilename: file.size or 0 for file in files}
    wanted = [name for pattern in wanted_files(parts) for name in fnmatch.filter(sizes, pattern)]
    for part in parts:  # pickled weights only where there is nothing safer, as `find_model` does
        if not fnmatch.filter(wanted, f"{part}/*.safetensors"):
            wanted += (name for name in pickled_files(part) if name in sizes)
    return {name: sizes[name] for name in wanted}


def _refuse_incomplete(name: str, sizes: dict[str, int], parts: tuple[str, ...]) -> None:
    for part in parts:
        if not any(file.startswith(f"{part}/") for file in sizes):
            raise XPSRError(f'"{name}" on the hub is no such model: it has no "{part}".')
        if part in NETWORKS and not any(
            fnmatch.filter(sizes, f"{part}/*{ending}") for ending in _ENDINGS
        ):
            raise XPSRError(f'"{name}" on the hub is incomplete: its "{part}" has no weights.')


def _weights(folder: Path) -> int:
    """How many numbers the weight files of a network hold; XPSRError if one is cut short."""
    found = _weight_files(folder)
    if not found:
        raise XPSRError(f"{folder} has no weights.")
    return sum(value.numel() for path in found for value in read_shapes(path).values())


def _weight_files(folder: Path) -> list[Path]:
    found = [weight_files(folder, ending) for ending in _ENDINGS]
    return next(filter(None, found), [])
