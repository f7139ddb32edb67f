"""Where SeeSR's tagger lies: the authors' two files, or a folder that `convert` made of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from xpsr.errors import XPSRError

FOLDER = "tagger"
RAM_FILE, DAPE_FILE = "ram_swin_large_14m.pth", "DAPE.pth"
SOURCE = "https://github.com/cswry/SeeSR"


@dataclass(frozen=True)
class TaggerFiles:
    """What was found; either `folder` alone, or the other two.

    Attributes:
        folder: a `DAPEModel` as `save_pretrained` writes it.
        ram, dape: the authors' files.
    """

    folder: Path | None = None
    ram: Path | None = None
    dape: Path | None = None


def find_tagger(*places: Path) -> TaggerFiles:
    """The tagger in the first of these folders that has one.

    Args:
        places: each a tagger itself, or a folder that holds "tagger" or the authors' two files.

    Raises:
        XPSRError: none has one; says what is missing.
    """
    for place in places:
        for folder in (place / FOLDER, place):
            if folder.name == FOLDER and (folder / "config.json").is_file():
                return TaggerFiles(folder=folder)
        ram, dape = (_named(place, name) for name in (RAM_FILE, DAPE_FILE))
        if ram and dape:
            return TaggerFiles(ram=ram, dape=dape)
        if ram or dape:
            there, missing = (RAM_FILE, DAPE_FILE) if ram else (DAPE_FILE, RAM_FILE)
            raise XPSRError(
                f"{place} has {there} but no {missing}, and SeeSR's tagger needs both; {SOURCE} "
                "says where to fetch them."
            )
    raise XPSRError(
        f"{places[0]} has no tagger: put {RAM_FILE} and {DAPE_FILE} there; {SOURCE} says where to "
        "fetch them."
    )


def _named(folder: Path, name: str) -> Path | None:
    """A file by its name in capitals or not; people rename what they fetch."""
    if not folder.is_dir():
        return None
    return next((p for p in sorted(folder.iterdir()) if p.name.lower() == name.lower()), None)
