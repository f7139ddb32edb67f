"""Files of weights: found in a folder, read without running their code, or named for what they are.

What people have on their disks is often not what they meant to fetch: half of it, a web page, a
pointer. Each of these is told apart by its first bytes and its size, before anything is read.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from xpsr.errors import NotEnoughMemoryError, XPSRError, is_out_of_memory

Model = TypeVar("Model", bound=nn.Module)

WEIGHT_FILES = ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin")
_ENDINGS = (".safetensors", ".bin", ".pth", ".pt", ".ckpt")
_UNFINISHED = (".crdownload", ".part", ".partial", ".download", ".incomplete", ".opdownload")
_DAMAGE = (SafetensorError, UnpicklingError, EOFError, RuntimeError, OSError, ValueError)
_NO_HEADER = (KeyError, TypeError, AttributeError, IndexError)
_ALIGNMENT = 64  # bytes
_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
}


def find_weights(folder: Path) -> Path:
    """The file of weights in a model folder: diffusers' own names first, then the only one.

    Raises:
        XPSRError: there is none, or more than one to choose from.
    """
    for name in WEIGHT_FILES:
        if (folder / name).is_file():
            return folder / name
    files = sorted(path for path in folder.iterdir() if path.is_file())
    if any(path.name.endswith(".index.json") for path in files):
        raise XPSRError(
            f"{folder} has its weights in several parts; save them anew in a single file, with "
            'save_pretrained(..., max_shard_size="20GB").'
        )
    found = [path for path in files if path.suffix.lower() in _ENDINGS]
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(path.name for path in found[:4])
        raise XPSRError(f"{folder} has several files of weights ({names}); leave only one there.")
    for path in files:
        if path.suffix.lower() in _UNFINISHED:
            raise XPSRError(
                f"{path} is a download that has not come to its end; wait for it or fetch it again."
            )
    raise XPSRError(f"{folder} has no weights: neither {' nor '.join(WEIGHT_FILES)} is there.")


def read_weights(
    path: Path,
    dtype: torch.dtype | None = None,
    wanted: Callable[[str], bool] = lambda name: True,
) -> dict[str, Tensor]:
    """The weights of a file; pickles are read as weights only.

    Args:
        path: safetensors, .bin, .pth or .pt.
        dtype: number format of the weights in memory; None leaves it as it is in the file. They are
            changed one by one, so that the file never stands in memory twice.
        wanted: tells by its name whether a weight is read at all.

    Raises:
        XPSRError: the file is damaged, or no file of weights; says what it is.
    """
    name_stranger(path)
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, "pt") as file:
                keys = [key for key in file.keys() if wanted(key)]  # noqa: SIM118
                return {key: _cast(file.get_tensor(key), dtype) for key in keys}
        # Copied out of the file, which may be moved or changed later.
        return {
            key: _cast(value, dtype, copy=True)
            for key, value in _unpickle(path).items()
            if wanted(key)
        }
    except (*_DAMAGE, *_NO_HEADER) as error:
        raise _damaged(path, error) from error


def align(model: Model) -> Model:
    """`model`, with copies of weights that lie in a mapped file where torch's memory never begins.

    Processors add up in another order there: equal weights would give other pixels, depending on
    how long the names in their file are.
    """
    for value in (*model.parameters(), *model.buffers()):
        if value.device.type == "cpu" and value.data_ptr() % _ALIGNMENT:
            value.data = value.data.clone()
    return model


def read_shapes(path: Path) -> dict[str, Tensor]:
    """Names, shapes and number formats of the weights in a file, without reading their values.

    Raises:
        XPSRError: as `read_weights`; a safetensors file is checked for its length, too.
    """
    name_stranger(path)
    try:
        if path.suffix == ".safetensors":
            return _header(path)
        return {key: value.to("meta") for key, value in _unpickle(path).items()}
    except (*_DAMAGE, *_NO_HEADER) as error:
        raise _damaged(path, error) from error


def name_stranger(path: Path) -> None:
    """Refuse what is saved under a model's file name and is something else altogether.

    Raises:
        XPSRError: says what it is and what to do.
    """
    try:
        with path.open("rb") as file:
            start = file.read(65536)
    except OSError as error:
        raise XPSRError(f"{path} cannot be read: {error.strerror or error}.") from None
    text = start[:1024].lstrip().lower()
    if not start.strip(b"\0"):
        raise XPSRError(f"{path} is empty; fetch it again.")
    if text.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        drive = b"google" in start.lower()
        raise XPSRError(
            f"{path} is no model file but a web page that was saved in its place"
            + (
                ", as Google Drive does when a file was fetched too often or is too large to be "
                "scanned: open the link in a browser and confirm there, or try again tomorrow."
                if drive
                else ": open the link in a browser, and fetch the file itself."
            )
        )
    if text.startswith(b"version https://git-lfs"):
        raise XPSRError(
            f"{path} is only the pointer that Git LFS keeps in place of a large file: run "
            '"git lfs pull" in its folder, or fetch the file itself.'
        )


def _unpickle(path: Path) -> dict[str, Tensor]:
    if zipped := zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if not any(name.endswith("data.pkl") for name in archive.namelist()):
                raise XPSRError(f"{path} is a packed folder, not a file of weights: unpack it.")
    # Mapped: only what is asked for is read from the disk.
    weights: Any = torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    if isinstance(weights, dict) and isinstance(weights.get("model"), dict):
        weights = weights["model"]  # beside what a training needs to go on, as RAM is saved
    if not isinstance(weights, dict) or not all(isinstance(v, Tensor) for v in weights.values()):
        raise XPSRError(f"{path} is not a plain list of weights.")
    return weights


def _header(path: Path) -> dict[str, Tensor]:
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= 100_000_000:
            raise XPSRError(f"{path} is no safetensors file; fetch it again.")
        header = json.loads(file.read(length))  # ends too early if the file does
    header.pop("__metadata__", None)
    whole = 8 + length + max((entry["data_offsets"][1] for entry in header.values()), default=0)
    if size != whole:
        raise XPSRError(
            f"{path} is damaged or cut short ({size:,} of {whole:,} bytes); fetch it again."
        )
    return {
        key: torch.empty(
            entry["shape"], dtype=_DTYPES.get(entry["dtype"], torch.uint8), device="meta"
        )
        for key, entry in header.items()
    }


def _cast(value: Tensor, dtype: torch.dtype | None, copy: bool = False) -> Tensor:
    return value.to(dtype if value.is_floating_point() else None, copy=copy)


def _damaged(path: Path, error: Exception) -> XPSRError:
    if is_out_of_memory(error):
        return NotEnoughMemoryError(
            f"There is not enough memory to read {path}: close other programs, or choose the "
            "number format float16."
        )
    if "weights_only" in str(error) or "Unsupported" in str(error):
        return XPSRError(f"{path} holds program code besides weights; it was not loaded.")
    return XPSRError(
        f"{path} is damaged or cut short ({path.stat().st_size:,} bytes); fetch it again."
    )
