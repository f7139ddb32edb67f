"""Which pictures a command works on, and where their results go."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from xpsr.cli.report import say
from xpsr.errors import XPSRError
from xpsr.names import distinct_names
from xpsr.whole import cannot_write, whole

# A file with such an ending is meant to be a picture: it is reported if it cannot be read.
ENDINGS = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")
ENDINGS += (".heic", ".heif", ".avif", ".jp2", ".ppm", ".tga")
_STARTS = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8", b"BM", b"II*\x00", b"MM\x00*")


def find_pictures(paths: Sequence[Path]) -> list[Path]:
    """Files as they are given, and for a folder the pictures right in it, sorted by name.

    Raises:
        XPSRError: a folder without a picture, or one that cannot be read.
    """
    found: list[Path] = []
    for path in paths:
        found += _in_folder(path) if path.is_dir() else [path]
    return found


def _in_folder(folder: Path) -> list[Path]:
    try:
        pictures = sorted(path for path in folder.iterdir() if is_picture(path))
    except OSError as error:
        raise XPSRError(f"The folder {folder} cannot be read: {error.strerror}.") from None
    if not pictures:
        raise XPSRError(f"There is no picture in the folder {folder}.")
    return pictures


def tell_of_subfolders(paths: Sequence[Path], *own: Path | None) -> None:
    """Say how many pictures lie deeper than `find_pictures` looks; not those in `own` folders."""
    passed = {folder.resolve() for folder in own if folder is not None}
    for folder in paths:
        deeper = 0
        for place, inner, names in os.walk(folder):
            inner[:] = [name for name in inner if not name.startswith(".")]
            inner[:] = [name for name in inner if Path(place, name).resolve() not in passed]
            if Path(place) != folder:
                found = [Path(name) for name in names if not name.startswith(".")]
                deeper += sum(path.suffix.lower() in ENDINGS for path in found)
        if deeper:
            say(
                f"Pictures in subfolders of {folder} are not read ({deeper}); name those folders "
                "to take them as well."
            )


def is_picture(path: Path) -> bool:
    """True if the ending of `path` or its first bytes say that it is meant as a picture."""
    if path.name.startswith(".") or path.is_dir():
        return False  # hidden ones are notes of other programs, such as macOS' ._photo.jpg
    if path.suffix.lower() in ENDINGS:
        return True
    try:
        if not path.is_file():  # a pipe would wait for somebody to write
            return False
        with path.open("rb") as file:
            start = file.read(16)
    except OSError:
        return False
    boxes = start[:4] == b"RIFF" and start[8:12] == b"WEBP", start[4:8] == b"ftyp"
    return start.startswith(_STARTS) or any(boxes)


def plan_results(
    pictures: Sequence[Path], out: Path, kept: Mapping[int, str] | None = None
) -> list[Path]:
    """The result file of every picture, `out/<name>.png`; equal names get a number.

    Args:
        pictures: the inputs.
        out: folder of the results.
        kept: from `kept.kept_names`.

    Raises:
        XPSRError: a result would replace a picture that is still needed.
    """
    names = distinct_names([path.stem for path in pictures], kept)
    plan = [out / f"{name}.png" for name in names]
    refuse_originals(plan, pictures)
    return plan


def refuse_originals(
    results: Sequence[Path], pictures: Sequence[Path], option: str = "--out"
) -> None:
    """No result may take the place of a picture that is worked on.

    Raises:
        XPSRError: one would.
    """
    # os.path's, for links in a circle, on which Path.resolve fails.
    sources = {os.path.realpath(path) for path in pictures}
    for result in results:
        if os.path.realpath(result) in sources:
            raise XPSRError(f"{result} is one of the pictures themselves; choose another {option}.")


def refuse_strangers(results: Sequence[Path]) -> None:
    """Results of earlier runs are written over, and nothing else is.

    Raises:
        XPSRError: a file is in the way that was not made here, such as somebody's original.
    """
    for result in results:
        if not result.exists():
            continue
        from xpsr.recipe import carries_recipe  # which takes a while

        if not carries_recipe(result):
            raise XPSRError(
                f"{result} is there already and carries no recipe, so it was not made by this "
                "program and is not written over; choose another --out."
            )


def make_folder(out: Path, option: str = "--out") -> None:
    """Make the folder of an option and try whether it can be written to; XPSRError if not."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise XPSRError(
            f"Results cannot be written to {out}: {error.strerror}; choose another {option}."
        ) from None


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """See `whole`.

    Raises:
        XPSRError: it cannot be written; `DiskFullError` if there is no room.
    """
    try:
        with whole(path) as part:
            yield part
    except OSError as error:
        raise cannot_write(path, error) from None
