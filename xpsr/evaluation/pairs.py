"""Which pictures belong together, in any two folders and in those of the field's test sets."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field, replace
from pathlib import Path

from PIL import Image

from xpsr.errors import XPSRError
from xpsr.names import distinct_names

# Names of the folders of low- and high-quality pictures in StableSR's, SeeSR's and XPSR's sets.
LOW_FOLDERS = ("test_LR", "LR", "lq", "lr")
HIGH_FOLDERS = ("test_HR", "HR", "gt", "hr")
# How a path names a set, most particular first: "DRealSR" also holds "RealSR".
_SETS = (
    ("DRealSR", re.compile(r"d-?real-?sr", re.IGNORECASE)),
    ("RealSR", re.compile(r"real-?sr", re.IGNORECASE)),
    ("DIV2K-Val", re.compile(r"div2k", re.IGNORECASE)),
)
# "_LR4", "-hr", and right behind a number DIV2K's "x4"; not the end of "box2".
_ENDING = re.compile(r"(?:[-_.](?:lr|hr|lq|gt|x)[-_]?x?\d?|(?<=\d)x\d)$", re.IGNORECASE)


@dataclass(frozen=True)
class Pair:
    """An input and its original, which is None where there are no originals."""

    name: str
    low: Path
    high: Path | None


@dataclass(frozen=True)
class Pairs:
    """A set of pictures to evaluate on.

    Attributes:
        pairs: sorted by name.
        dataset: its name, see `set_name`.
        problems: {name of an input: why it cannot be used}.
        spare: names of originals without an input.
    """

    pairs: list[Pair]
    dataset: str
    problems: dict[str, str] = field(default_factory=dict)
    spare: tuple[str, ...] = ()

    def first(self, limit: int | None) -> Pairs:
        """The first pairs, and the problems of what stands before the last of them."""
        if limit is None or len(self.pairs) < limit:
            return self
        pairs = self.pairs[:limit]
        last = _place(pairs[-1].low)
        problems = {name: why for name, why in self.problems.items() if _place(Path(name)) < last}
        return replace(self, pairs=pairs, problems=problems)


def open_folders(low: Path, high: Path | None) -> tuple[Path, Path | None]:
    """The two folders meant: of a test set's own folder, the ones for LR and HR in it.

    Raises:
        XPSRError: no such folder.
    """
    for folder in (low, high):
        if folder is not None and not folder.is_dir():
            raise XPSRError(f"There is no folder {folder}.")
    inner = _first(low, LOW_FOLDERS)
    if inner is None:
        return low, high
    return inner, high or _first(low, HIGH_FOLDERS)


def set_name(low: Path) -> str:
    """What to call a set by its folder of inputs: not "LR".

    "RealSR", "DRealSR" or "DIV2K-Val" where one of the path's last three parts says so.
    """
    folder = low.resolve()
    for name, pattern in _SETS:
        if any(pattern.search(part) for part in folder.parts[-3:]):
            return name
    return folder.parent.name if folder.name in LOW_FOLDERS else folder.name


def find_pairs(
    lows: list[Path], highs: list[Path] | None, upscale: int, dataset: str = ""
) -> Pairs:
    """Match inputs and originals by name, and compare their sizes by the headers.

    "Canon_003_LR4.png" and "Canon_003_HR.png" match: endings that say which is which do not count.

    Args:
        lows, highs: pictures; None for `highs` if there are no originals.
        upscale: an original has that many times the input's width and height.
        dataset: handed on.
    """
    if highs is None:
        pairs = [Pair(path.stem, path, None) for path in lows]
        return Pairs(_distinct(pairs), dataset)
    partners = _by_name(highs)
    problems: dict[str, str] = {}
    pairs, used = [], {}
    # Whole names first: "a" has an older right to the original "a" than "a_LR4" has.
    for low in sorted(lows, key=lambda path: path.stem not in partners):
        high = partners.get(low.stem) or partners.get(_core(low.stem))
        if high is None:
            problems[low.name] = "has no original of its name in the folder of --hr"
        elif high in used:
            problems[low.name] = f"would have the original of {used[high]}, {high.name}"
        else:
            used[high] = low.name
            if reason := _unequal(low, high, upscale):
                problems[low.name] = reason
            else:
                pairs.append(Pair(low.stem, low, high))
    spare = tuple(high.name for high in highs if high not in used)
    return Pairs(_distinct(pairs), dataset, problems, spare)


def _first(folder: Path, names: tuple[str, ...]) -> Path | None:
    return next((folder / name for name in names if (folder / name).is_dir()), None)


def _by_name(paths: list[Path]) -> dict[str, Path]:
    """Full names, and shortened ones where only one picture has it."""
    shortened: dict[str, list[Path]] = defaultdict(list)
    for path in paths:
        shortened[_core(path.stem)].append(path)
    single = {name: found[0] for name, found in shortened.items() if len(found) == 1}
    return {**single, **{path.stem: path for path in paths}}


def _core(stem: str) -> str:
    return _ENDING.sub("", stem)


def _distinct(pairs: list[Pair]) -> list[Pair]:
    """Sorted, with a number for a second picture with the same stem (a.png and a.jpg)."""
    ordered = sorted(pairs, key=lambda one: _place(one.low))
    names = distinct_names([pair.name for pair in ordered])
    return [replace(pair, name=name) for pair, name in zip(ordered, names, strict=True)]


def _place(low: Path) -> tuple[str, str]:
    """What inputs are sorted by."""
    return low.stem, low.name


def _unequal(low: Path, high: Path, upscale: int) -> str | None:
    if not (low.is_file() and high.is_file()):  # a pipe would wait for somebody to write
        return None
    try:
        sizes = []
        for path in (low, high):
            with Image.open(path) as header:
                sizes.append(header.size)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None  # told when its turn comes, in better words
    wanted = (sizes[0][0] * upscale, sizes[0][1] * upscale)
    if sizes[1] in (wanted, wanted[::-1]):  # a photo may be turned by its own note
        return None
    ours, theirs = ("{} x {}".format(*size) for size in (wanted, sizes[1]))
    said = f"gives {ours} pixels at --upscale {upscale}, but its original {high.name} has {theirs}"
    enlarged = upscale > 1 and sizes[0] == sizes[1]  # as XPSR and StableSR also store them
    return f"{said}; it seems to be enlarged already" if enlarged else said
