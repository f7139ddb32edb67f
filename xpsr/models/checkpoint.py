"""A downloaded checkpoint of the authors: where it lies, and whether it is whole and the right one.

Checked by names, shapes and file lengths. No weight is read, so it takes a second.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from xpsr.errors import XPSRError
from xpsr.models.controlnet import XPSRControlNetModel
from xpsr.models.dape import DAPEModel
from xpsr.models.dape_official import needed_shapes
from xpsr.models.family import SEESR, XPSR, Family, family_of
from xpsr.models.official import check_family, lay_out, read_config, report
from xpsr.models.own_layers import has_own_layers
from xpsr.models.seesr import SeeSRControlNetModel, SeeSRUNet2DConditionModel
from xpsr.models.unet import XPSRUNet2DConditionModel
from xpsr.models.weights_file import find_weights, read_shapes
from xpsr.tagger_files import FOLDER as TAGGER
from xpsr.tagger_files import TaggerFiles, find_tagger

CLASSES: dict[str, dict[str, Any]] = {
    XPSR.name: {"unet": XPSRUNet2DConditionModel, "controlnet": XPSRControlNetModel},
    SEESR.name: {"unet": SeeSRUNet2DConditionModel, "controlnet": SeeSRControlNetModel},
}
PARTS = tuple(CLASSES[XPSR.name])
_PACKED = (".zip", ".rar", ".7z", ".tar", ".tgz", ".gz")
_TAGGER_SIZE = 212_117_045  # numbers of the published one that are needed
_DEPTH = 3  # folders around a checkpoint, such as runs/xpsr/checkpoint-300000


@dataclass(frozen=True)
class Part:
    """One network of a checkpoint, found whole.

    Attributes:
        name: "unet", "controlnet" or "tagger".
        path: its file of weights; of the tagger that of RAM.
        weights: how many numbers it holds.
        bytes: size of the file.
        dtype: their number format.
        is_published_size: whether it has as many weights as that of the authors.
    """

    name: str
    path: Path
    weights: int
    bytes: int
    dtype: torch.dtype
    is_published_size: bool


@dataclass(frozen=True)
class Checkpoint:
    """What was found in a folder.

    Attributes:
        folder: the one that holds "unet" and "controlnet".
        family: whose it is.
        parts: the networks that are whole.
        text_width: channels of the text embeddings that they read; tells which base they add to.
        problems: one sentence for each network that is not whole or does not fit.
    """

    folder: Path
    family: Family
    parts: tuple[Part, ...]
    text_width: int
    problems: tuple[str, ...]

    @property
    def base(self) -> str:
        """The kind of Stable Diffusion that the checkpoint adds to."""
        return base_of(self.text_width)


def base_of(text_width: int) -> str:
    """The base whose text encoder has this many channels, in words."""
    known = {768: "Stable Diffusion 1.5", 1024: "Stable Diffusion 2 (base)"}
    return known.get(text_width, f"a base whose text encoder has {text_width} channels")


def check(folder: str | Path) -> Checkpoint:
    """Look for an official checkpoint and check both of its networks.

    Raises:
        XPSRError: there is none in `folder`; says what is there instead.
    """
    try:
        place = locate(Path(folder).expanduser())
    except (OSError, RuntimeError) as error:  # too long, or "~" before a name nobody has here
        reason = getattr(error, "strerror", None) or str(error).rstrip(".")
        raise XPSRError(f"{str(folder)[:60]} cannot be looked for: {reason}.") from None
    family, parts, widths, problems = _family(place), [], {}, []
    for name in PARTS:
        try:
            part, widths[name] = _check_part(family, name, place / name)
            parts.append(part)
        except XPSRError as error:
            problems.append(str(error))
    if len({*widths.values()}) > 1:
        problems.append(
            f"The two networks in {place} were built on different bases: "
            + " and ".join(f"the {name} on {base_of(width)}" for name, width in widths.items())
            + ". Take both from the same checkpoint."
        )
    if family is SEESR:
        try:
            parts.append(_check_tagger(place))
        except XPSRError as error:
            problems.append(str(error))
    width = next(iter(widths.values()), 768 if family is XPSR else 1024)
    return Checkpoint(place, family, tuple(parts), width, tuple(problems))


def _family(place: Path) -> Family:
    """Whose checkpoint lies here, by what its configurations say."""
    for name in PARTS:
        try:
            return family_of(read_config(place / name))
        except XPSRError:
            continue  # told when the network is checked
    return XPSR


def locate(folder: Path) -> Path:
    """The folder that holds "unet" and "controlnet": `folder` itself, or one inside it.

    Raises:
        XPSRError: says what is there instead, and what to do.
    """
    if not folder.exists():
        raise XPSRError(f"There is no folder {folder}.")
    if folder.is_file():
        raise XPSRError(
            f"{folder} is still packed: unpack it, and name the folder that comes out."
            if folder.suffix.lower() in _PACKED
            else f'{folder} is a file: name the folder that holds "unet" and "controlnet".'
        )
    if (folder / "model_index.json").is_file():
        raise XPSRError(_already_a_pipeline(folder))
    found = list(_search(folder, _DEPTH))
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(str(place.relative_to(folder)) for place in found[:6])
        raise XPSRError(f"{folder} holds several checkpoints: {names}. Name one of them.")
    raise XPSRError(_nothing_there(folder))


def _search(folder: Path, depth: int) -> list[Path]:
    if (folder / "model_index.json").is_file():
        return []  # a complete model of some kind, such as the embedded one in the project's folder
    if all((folder / part).is_dir() for part in PARTS):
        return [folder]
    if not depth:
        return []
    try:
        inside = sorted(path for path in folder.iterdir() if path.is_dir())
    except OSError:
        return []
    return [place for path in inside if not path.is_symlink() for place in _search(path, depth - 1)]


def _already_a_pipeline(folder: Path) -> str:
    if all((folder / part).is_dir() for part in PARTS):
        return f"{folder} is a complete model already: use it as it is, as --model {folder}."
    return (
        f"{folder} is a whole Stable Diffusion without XPSR's layers: it is what --base asks for. "
        'Name the folder of the checkpoint, which holds "unet" and "controlnet".'
    )


def _nothing_there(folder: Path) -> str:
    names = [path.name for path in folder.iterdir()]
    packed = [name for name in names if Path(name).suffix.lower() in _PACKED]
    present = [part for part in PARTS if (folder / part).is_dir()]
    if packed:
        more = " Unpack all of them into the same folder." if len(packed) > 1 else ""
        return f"{folder / sorted(packed)[0]} is still packed: unpack it, then try again.{more}"
    if present:
        (missing,) = set(PARTS) - set(present)
        return f'{folder} has "{present[0]}" but no "{missing}": fetch that folder as well.'
    if folder.name in PARTS and "config.json" in names:
        return f"{folder} is one half of a checkpoint: name the folder around it, {folder.parent}."
    if "config.json" in names:
        return (
            f"{folder} holds a single network, and a checkpoint has two, in the folders "
            '"unet" and "controlnet".'
        )
    return (
        f"{folder} holds no model: there is neither a model_index.json nor an official "
        'checkpoint\'s folders "unet" and "controlnet".'
    )


def _check_part(family: Family, name: str, folder: Path) -> tuple[Part, int]:
    """The network and the width of the text that it reads."""
    config = read_config(folder)
    if has_own_layers(folder):
        raise XPSRError(
            f"{folder} was exported by this project's training without the base's layers: it needs "
            "no conversion, only the same base whenever it is loaded."
        )
    path = find_weights(folder)
    shapes = read_shapes(path)
    check_family(family, name, folder, shapes)
    expected = lay_out(CLASSES[family.name][name], config, folder).state_dict()
    if mismatches := report(expected, family.to_our_names(name, shapes)):
        raise XPSRError(f"The weights in {folder} do not fit its config.json: {mismatches}.")
    part = _part(name, path, shapes, family.networks[name].published)
    return part, config["cross_attention_dim"]


def _part(name: str, path: Path, shapes: Mapping[str, torch.Tensor], published: int) -> Part:
    weights = sum(value.numel() for value in shapes.values())
    dtype = next(iter(shapes.values())).dtype
    return Part(name, path, weights, path.stat().st_size, dtype, weights == published)


def tagger_of(place: Path) -> TaggerFiles:
    """The tagger of a SeeSR checkpoint: inside its folder, or beside it, as the authors have it."""
    return find_tagger(place, place.parent)


def _check_tagger(place: Path) -> Part:
    files = tagger_of(place)
    if files.folder is None:
        assert files.ram is not None
        path, shapes = files.ram, needed_shapes(DAPEModel, files.ram, files.dape)
    else:
        path = find_weights(files.folder)
        shapes = read_shapes(path)
        expected = lay_out(DAPEModel, read_config(files.folder), files.folder).state_dict()
        if mismatches := report(expected, shapes):
            raise XPSRError(f"{path} does not fit its config.json: {mismatches}.")
    return _part(TAGGER, path, shapes, _TAGGER_SIZE)
