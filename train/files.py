"""Which photos a folder holds, and what tells two of one name apart."""

import os
from collections.abc import Sequence
from pathlib import Path

from xpsr.cli.files import ENDINGS
from xpsr.errors import XPSRError
from xpsr.fingerprint import fingerprint


def find_photos(images: Path, own: Sequence[Path] = ()) -> list[Path]:
    """All pictures below a folder, by name; links to folders are followed, each folder once.

    Hidden files and folders are passed over: notes and thumbnails of other programs.

    Args:
        own: folders of our own pictures, which are no photos wherever they lie.

    Raises:
        XPSRError: there is no such folder, or no picture in it.
    """
    if not images.is_dir():
        raise XPSRError(f"There is no folder {images}.")
    photos: list[Path] = []
    seen = {folder.resolve() for folder in own}
    # Links last: what lies in the folder itself keeps its name whatever else leads to it.
    waiting = [images]
    for top in waiting:
        for name, below, files in os.walk(top):
            folder = Path(name)
            if folder.resolve() in seen:
                below.clear()
                continue
            seen.add(folder.resolve())
            below[:] = sorted(name for name in below if not name.startswith("."))
            waiting += [folder / link for link in below if (folder / link).is_symlink()]
            photos += [folder / file for file in files if _is_photo(file)]
    if not photos:
        made = " beside those made here" if any(folder.is_dir() for folder in own) else ""
        raise XPSRError(f"There are no pictures in {images}{made}.")
    return sorted(photos)


def _is_photo(name: str) -> bool:
    return not name.startswith(".") and Path(name).suffix.lower() in ENDINGS


def named_photos(images: Path, out: Path, limit: int | None = None) -> dict[str, Path]:
    """The first `limit` photos below a folder by their place in it, without what is made in `out`.

    Raises:
        XPSRError: as `find_photos`.
    """
    return {name_below(images, path): path for path in find_photos(images, [out])[:limit]}


def name_below(images: Path, path: Path) -> str:
    """The place of a photo in a folder as text; bytes that are none become such as \\xff."""
    return os.fsencode(path.relative_to(images).as_posix()).decode("utf-8", "backslashreplace")


def file_hash(path: Path) -> str:
    """Of what a file holds; empty where it cannot be read, which opening it as a photo tells."""
    found = fingerprint(path)
    return found["hash"] if found else ""
