"""Which weights exactly: what tells two models of one name apart."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

_WEIGHTS = (".safetensors", ".bin", ".pth", ".pt", ".ckpt")
_BLOCK = 1 << 20
_WHOLE = 64 * _BLOCK  # files up to this size are read from end to end
_STRIDE = 32  # of larger ones, every so many blocks, the first and the last


@dataclass(frozen=True)
class ModelSource:
    """Which weights a pipeline has.

    Attributes:
        revision: see `revision_of`; None: unknown.
        base, base_revision: name and revision of the Stable Diffusion an official checkpoint
            builds on.
    """

    revision: str | None = None
    base: str | None = None
    base_revision: str | None = None


def revision_of(folder: Path, *beside: Path) -> str | None:
    """The commit of a folder in the hub's cache, else a fingerprint of the weights of its parts.

    Args:
        folder: holds a folder for each part.
        beside: files of weights that belong to the model and lie somewhere else.

    The fingerprint ("weights-" and 40 hexadecimal digits) covers names, sizes and contents. Of
    files above 64 MB it reads a thirty-second: training changes all weights, and gigabytes need
    not be read twice at every start.
    """
    if folder.parent.name == "snapshots" and re.fullmatch(r"[0-9a-f]{40}", folder.name):
        return folder.name
    inside = sorted(path for path in folder.glob("*/*") if path.suffix in _WEIGHTS)
    named = [(path.relative_to(folder).as_posix(), path) for path in inside]
    named += ((path.name, path) for path in beside)
    digest = hashlib.sha256()
    for name, path in named:
        size = path.stat().st_size
        digest.update(f"{name} {size}\n".encode())
        with path.open("rb") as file:
            for start in _starts(size):
                file.seek(start)
                digest.update(file.read(_BLOCK))
    return f"weights-{digest.hexdigest()[:40]}" if named else None


def _starts(size: int) -> list[int]:
    """Where the blocks begin that are read of a file."""
    stride = _BLOCK if size <= _WHOLE else _STRIDE * _BLOCK
    return [*range(0, size, stride), max(0, size - _BLOCK)]
