"""The authors' checkpoint and its base → one folder in diffusers' layout, all in safetensors."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from xpsr.errors import XPSRError
from xpsr.finding import find_model
from xpsr.models import DAPEModel
from xpsr.models.checkpoint import CLASSES, TAGGER, Checkpoint, Part, check, tagger_of
from xpsr.models.family import SEESR
from xpsr.models.weights_file import read_shapes
from xpsr.names import expanded
from xpsr.parts import BASE_PARTS, check_base, no_progress_bars, read_parts, read_tagger
from xpsr.pipeline import XPSRPipeline
from xpsr.placement import choose_dtype, free_bytes
from xpsr.seesr import SeeSRPipeline
from xpsr.turbo import PRESET as TURBO_PRESET
from xpsr.turbo import is_turbo, put_turbo_in
from xpsr.whole import unlocked

DEFAULT_BASE = "stable-diffusion-v1-5/stable-diffusion-v1-5"
_SPARE = 64_000_000  # bytes on the disk for tokenizer, configurations and the file system itself
_PLAN = "conversion.json"


@dataclass(frozen=True)
class Progress:
    """How far a conversion is.

    Attributes:
        part: what is worked on now: a network, "base" or "whole" when it is all done.
        done, total: bytes that are written, and that there will be.
    """

    part: str
    done: int
    total: int


def convert(
    folder: str | Path,
    out: str | Path,
    *,
    base: str | Path | None = None,
    dtype: str | None = None,
) -> Iterator[Progress]:
    """Convert an official checkpoint into a folder that `xpsr.load(out)` opens by itself.

    The folder appears when it is complete. What is done before an interruption is kept beside it
    and is not done again.

    Args:
        folder: the checkpoint, as for `xpsr.models.checkpoint.check`.
        out: the new folder.
        base: folder or hub id of the Stable Diffusion it builds on; None: version 1.5 of the hub.
        dtype: "float32", "float16", "bfloat16"; None: as the checkpoint has it.

    Raises:
        XPSRError: a checkpoint or base that is not whole or not the right one, an `out` that
            exists, too little room on the disk or in memory.
    """
    out = expanded(out).absolute()
    checkpoint = check(folder)
    if checkpoint.problems:
        raise XPSRError(" ".join(checkpoint.problems))
    _refuse_existing(out)
    number_format = choose_dtype(torch.device("cpu"), dtype) if dtype else checkpoint.parts[0].dtype
    _check_memory(checkpoint, number_format)
    name = str(base or _default_base(checkpoint))
    base_folder = find_model(name, tuple(BASE_PARTS))
    turbo = name if checkpoint.family is SEESR and is_turbo(base_folder) else None
    check_base(base_folder, checkpoint.text_width, checkpoint.family)
    parts = read_parts(base_folder, tuple(BASE_PARTS), number_format)
    unfinished = out.with_name(f".{out.name}.part")
    _continue_or_begin(unfinished, _plan(checkpoint, name, number_format))
    sizes = _sizes(checkpoint, parts, number_format)
    _check_disk(unfinished, sum(sizes.values()))
    try:
        yield from _write(checkpoint, parts, unfinished, number_format, sizes, turbo)
        (unfinished / _PLAN).unlink()
        unfinished.rename(out)
    except OSError as error:
        raise XPSRError(
            f"{out} cannot be written: {error.strerror or error}. What is done is kept; give the "
            "same command again when there is room."
        ) from error
    total = sum(sizes.values())
    yield Progress("whole", total, total)


def _write(
    checkpoint: Checkpoint,
    base: dict[str, Any],
    out: Path,
    dtype: torch.dtype,
    sizes: dict[str, int],
    turbo: str | None,
) -> Iterator[Progress]:
    done, total = 0, sum(sizes.values())
    yield Progress("base", done, total)
    for name, part in base.items():
        _save(part, out / name)
    done += sizes["base"]
    networks: dict[str, Any] = {}
    for part in checkpoint.parts:
        yield Progress(part.name, done, total)
        networks[part.name] = _convert_part(checkpoint, part, out / part.name, dtype, turbo)
        done += sizes[part.name]
    # Only the index is missing; it needs the parts' classes and none of their weights.
    empty = {k: v.to("meta") if isinstance(v, torch.nn.Module) else v for k, v in base.items()}
    kind = SeeSRPipeline if checkpoint.family is SEESR else XPSRPipeline
    told: dict[str, Any] = {"default_preset": TURBO_PRESET} if turbo else {}
    kind(**empty, **networks, **told).save_config(out)
    for path in out.rglob("*.safetensors"):
        read_shapes(path)  # raises if the disk holds less than was written


def _convert_part(
    checkpoint: Checkpoint, part: Part, target: Path, dtype: torch.dtype, turbo: str | None
) -> Any:
    """Write one network, unless it is there; returns it without its weights. `turbo`: the base, if
    it gives its UNet as well."""
    cls: Any = DAPEModel if part.name == TAGGER else CLASSES[checkpoint.family.name][part.name]
    if not target.is_dir():
        if part.name == TAGGER:
            model: Any = read_tagger(tagger_of(checkpoint.folder), dtype)
        else:
            model = cls.from_official(part.path.parent, dtype)
        if turbo and part.name == "unet":
            put_turbo_in(model, turbo)
        # The authors' machine is no business of ours.
        model.register_to_config(_name_or_path="")
        _save(model, target)
        return model.to("meta")
    with torch.device("meta"):
        return cls.from_config(cls.load_config(target))


def _save(part: Any, target: Path) -> None:
    """Save a component so that its folder is there only when all of it is."""
    if target.is_dir():
        return
    unfinished = target.with_name(f"{target.name}.part")
    shutil.rmtree(unfinished, ignore_errors=True)
    with no_progress_bars():
        part.save_pretrained(unfinished)
    unlocked(unfinished.rglob("*.safetensors"))
    unfinished.rename(target)


def _refuse_existing(out: Path) -> None:
    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        ready = (out / "model_index.json").is_file()
        what = "holds a model already" if ready else "exists already and is not empty"
        raise XPSRError(f"{out} {what}: name another folder, or delete it first.")


def _default_base(checkpoint: Checkpoint) -> str:
    if checkpoint.text_width == 768:
        return DEFAULT_BASE
    raise XPSRError(
        f"This checkpoint was built on {checkpoint.base}: name its folder or hub id as base."
    )


def _plan(checkpoint: Checkpoint, base: str, dtype: torch.dtype) -> dict[str, Any]:
    """What a conversion is made of: only one of the same may be gone on with."""
    paths = {part.name: part.path for part in checkpoint.parts}
    if checkpoint.family is SEESR:  # the part names but one of its files
        paths |= {path.name: path for path in tagger_of(checkpoint.folder).weights}
    found = {name: path.stat() for name, path in paths.items()}
    files = {name: [of.st_size, of.st_mtime_ns] for name, of in found.items()}
    return {"files": files, "base": base, "dtype": str(dtype)}


def _continue_or_begin(unfinished: Path, plan: dict[str, Any]) -> None:
    try:
        before = json.loads((unfinished / _PLAN).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        before = None
    try:
        if before != plan:
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir(parents=True)
            (unfinished / _PLAN).write_text(json.dumps(plan), encoding="utf-8")
    except OSError as error:
        raise XPSRError(
            f"{unfinished.parent} cannot be written to ({error.strerror or error}); choose another."
        ) from error


def _sizes(checkpoint: Checkpoint, base: dict[str, Any], dtype: torch.dtype) -> dict[str, int]:
    networks = [part for part in base.values() if isinstance(part, torch.nn.Module)]
    weights = sum(value.numel() for part in networks for value in part.state_dict().values())
    sizes = {part.name: part.weights * dtype.itemsize for part in checkpoint.parts}
    return {"base": weights * dtype.itemsize, **sizes}


def _check_disk(unfinished: Path, needed: int) -> None:
    there = sum(path.stat().st_size for path in unfinished.rglob("*") if path.is_file())
    free = shutil.disk_usage(unfinished).free
    if needed + _SPARE > free + there:
        raise XPSRError(
            f"The converted model takes {gigabytes(needed)}, and {gigabytes(free)} are free on the "
            f"disk of {unfinished.parent}: make room, or choose another folder"
            " or the number format float16."
        )


def _check_memory(checkpoint: Checkpoint, dtype: torch.dtype) -> None:
    needed = max(part.weights for part in checkpoint.parts) * dtype.itemsize
    free = free_bytes(torch.device("cpu"))
    if needed * 1.1 > free:
        raise XPSRError(
            f"The conversion needs {gigabytes(needed)} of memory, and {gigabytes(free)} are free: "
            "close other programs, or choose the number format float16."
        )


def gigabytes(count: int) -> str:
    """A number of bytes for people, in GB of the kind that disks are sold in."""
    return f"{count / 1e9:.1f} GB" if count >= 5e7 else f"{count / 1e6:.1f} MB"
