"""From the name of a model to its folder on this machine, fetched from the hub where need be."""

from __future__ import annotations

import re
from pathlib import Path

from huggingface_hub import constants, snapshot_download

from xpsr.errors import DiskFullError, XPSRError, is_disk_full
from xpsr.models.own_layers import FILE as OWN_LAYERS
from xpsr.names import expanded

MINI = Path(__file__).parent / "mini"
INDEX = "model_index.json"
# Not what a hub folder also holds: half-precision copies, safety checker, single-file checkpoints.
_WEIGHTS = ("diffusion_pytorch_model", "model")
_WANTED = (
    "*.json",
    "*.txt",
    OWN_LAYERS,
    *(f"{name}{shard}.safetensors" for name in _WEIGHTS for shard in ("", "-?????-of-?????")),
)
_PICKLED = ("diffusion_pytorch_model.bin", "pytorch_model.bin")


def find_model(name: str, parts: tuple[str, ...]) -> Path:
    """The local folder of a model; a hub id is fetched (only `parts` of it) or taken from cache."""
    if folder := local_folder(name):
        return folder
    try:
        found = Path(snapshot_download(name, allow_patterns=wanted_files(parts)))
        # Only where there is nothing safer: pickled weights, read later without running their code.
        if bare := [part for part in parts if _lacks_weights(found / part)]:
            patterns = [file for part in bare for file in pickled_files(part)]
            found = Path(snapshot_download(name, allow_patterns=patterns))
        return found
    except Exception as error:  # of the hub, of the network, of a proxy, of the disk
        raise cannot_fetch(name, error) from error


def local_folder(name: str) -> Path | None:
    """The folder of a model on this machine; None: the name is one of the hub.

    Raises:
        XPSRError: it is neither.
    """
    if name == "mini":
        if not (MINI / INDEX).is_file():
            raise XPSRError(
                "The embedded model is missing; install XPSR Studio again or name another model."
            )
        return MINI
    place = expanded(name)
    if name and place.is_dir():
        return place
    if place.is_file():
        raise XPSRError(
            f"{name} is a file, and here a model is a folder with one for each of its parts. From "
            "a Stable Diffusion in a single file diffusers makes one: "
            "StableDiffusionPipeline.from_single_file(FILE).save_pretrained(FOLDER)."
        )
    if is_hub_id(name):
        return None
    raise XPSRError(
        f'There is no model "{name}": give "mini", a folder that exists, or a hub id such as '
        "owner/name."
    )


def is_hub_id(name: str) -> bool:
    """Whether a name can be one of the Hugging Face hub: owner/name."""
    return re.fullmatch(r"[\w][\w.-]*/[\w][\w.-]*", name) is not None


def refuse_base(name: str, base: str | Path | None) -> None:
    """A complete model needs no base; XPSRError if there is one."""
    if base:
        raise XPSRError(f"{name} is a complete model; leave base out.")


def named_base(name: str, base: str | Path | None) -> str:
    """The base of an official checkpoint; XPSRError if there is none."""
    if base:
        return str(base)
    raise XPSRError(
        f"{name} is an official checkpoint, which holds only a part of the model; name a folder or "
        "hub id of Stable Diffusion 1.5 as base (for SeeSR, of Stable Diffusion 2 base)."
    )


def wanted_files(parts: tuple[str, ...]) -> list[str]:
    """Patterns for what is fetched of a model on the hub."""
    return [INDEX, *(f"{part}/{file}" for part in parts for file in _WANTED)]


def pickled_files(part: str) -> list[str]:
    """What is fetched of a part whose weights are nowhere in a safer format."""
    return [f"{part}/{file}" for file in _PICKLED]


def cannot_fetch(name: str, error: Exception) -> XPSRError:
    """What to say where a hub id cannot be fetched."""
    if is_disk_full(error):
        return DiskFullError(
            f'"{name}" cannot be fetched: the disk is full. What has come is kept; make room for '
            f"{constants.HF_HUB_CACHE} and try again."
        )
    return XPSRError(
        f'"{name}" is no folder here and cannot be fetched from the Hugging Face hub; check '
        "the name and the network."
    )


def _lacks_weights(part: Path) -> bool:
    """Whether a fetched part is a network (the tokenizer and scheduler are not) without weights."""
    return (part / "config.json").is_file() and not any(part.glob("*.safetensors"))
