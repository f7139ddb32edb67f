"""A downloaded checkpoint of the authors: where it lies, and whether it is whole and the right one.

Checked by names, shapes and file lengths. No weight is read, so it takes a second.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from xpsr.errors import XPSRError
from xpsr.models.controlnet import XPSRControlNetModel
from xpsr.models.official import check_family, lay_out, read_config, report, to_our_names
from xpsr.models.own_layers import has_own_layers
from xpsr.models.unet import XPSRUNet2DConditionModel
from xpsr.models.weights_file import find_weights, read_shapes

CLASSES: dict[str, Any] = {
    "unet": XPSRUNet2DConditionModel,
    "controlnet": XPSRControlNetModel,
}
PARTS = tuple(CLASSES)
PUBLISHED = {"unet": 1_107_755_524, "controlnet": 620_216_909}  # weights, on Stable Diffusion 1.5
_PACKED = (".zip", ".rar", ".7z", ".tar", ".tgz", ".gz")
_DEPTH = 3  # folders around a checkpoint, such as runs/xpsr/checkpoint-300000


@dataclass(frozen=True)
class Part:
    """One network of a checkpoint, found whole.

    Attributes:
        name: "unet" or "controlnet".
        path: its file of weights.
        weights: how many numbers it holds.
        bytes: size of the file.
        dtype: their number format.
        text_width: channels of the text embeddings it reads; tells which base it was built on.
    """

    name: str
    path: Path
    weights: int
    bytes: int
    dtype: torch.dtype
    text_width: int

    @property
    def is_published_size(self) -> bool:
        """Whether it has as many weights as that of the authors."""
        return self.weights == PUBLISHED[self.name]


@dataclass(frozen=True)
class Checkpoint:
    """What was found in a folder.

    Attributes:
        folder: the one that holds "unet" and "controlnet".
        parts: the networks that are whole.
        problems: one sentence for each that is not.
    """

    folder: Path
    parts: tuple[Part, ...]
    problems: tuple[str, ...]

    @property
    def base(self) -> str:
        """The kind of Stable Diffusion that the checkpoint adds to."""
        return base_of(self.parts[0].text_width) if self.parts else base_of(768)


def base_of(text_width: int) -> str:
    """The base whose text encoder has this many channels, in words."""
    known = {768: "Stable Diffusion 1.5", 1024: "Stable Diffusion 2.1"}
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
    parts, problems = [], []
    for name in PARTS:
        try:
            parts.append(_check_part(name, place / name))
        except XPSRError as error:
            problems.append(str(error))
    if len({part.text_width for part in parts}) > 1:
        problems.append(
            f"The two networks in {place} were built on different bases: "
            + " and ".join(f"the {part.name} on {base_of(part.text_width)}" for part in parts)
            + ". Take both from the same checkpoint."
        )
    return Checkpoint(place, tuple(parts), tuple(problems))


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


def _check_part(name: str, folder: Path) -> Part:
    config = read_config(folder)
    if has_own_layers(folder):
        raise XPSRError(
            f"{folder} was exported by this project's training without the base's layers: it needs "
            "no conversion, only the same base whenever it is loaded."
        )
    path = find_weights(folder)
    shapes = read_shapes(path)
    check_family(name, folder, shapes)
    expected = lay_out(CLASSES[name], config, folder).state_dict()
    if mismatches := report(expected, to_our_names(name, shapes)):
        raise XPSRError(f"The weights in {folder} do not fit its config.json: {mismatches}.")
    return Part(
        name,
        path,
        weights=sum(value.numel() for value in shapes.values()),
        bytes=path.stat().st_size,
        dtype=shapes[next(iter(shapes))].dtype,
        text_width=config["cross_attention_dim"],
    )
