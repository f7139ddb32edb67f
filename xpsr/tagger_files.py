"""Where SeeSR's tagger lies: the authors' two files, or a folder that `convert` made of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from xpsr.errors import XPSRError

FOLDER = "tagger"
RAM_FILE, DAPE_FILE = "ram_swin_large_14m.pth", "DAPE.pth"
SOURCE = "https://github.com/cswry/SeeSR"
_WHERE = (
    f"It consists of {RAM_FILE} and {DAPE_FILE}, both linked from {SOURCE}, in one folder, or is "
    f'the folder "{FOLDER}" of a SeeSR model that was converted here.'
)


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

    @property
    def weights(self) -> tuple[Path, ...]:
        """The files that hold them."""
        if self.folder is None:
            return tuple(path for path in (self.ram, self.dape) if path)
        return tuple(sorted(self.folder.glob("*.safetensors")))


def find_tagger(*places: Path, plain: bool = False) -> TaggerFiles:
    """The tagger in the first of these folders that has one.

    Args:
        places: each a tagger itself, or a folder that holds "tagger" or the authors' two files, in
            capitals or not, as pickles or as safetensors.
        plain: RAM alone is wanted, without DAPE's LoRA, whether or not that is there.

    Raises:
        XPSRError: none has one; says what is missing.
    """
    for place in places:
        try:
            there = {path.name.lower(): path for path in place.iterdir()}
        except OSError:
            raise XPSRError(f"There is no folder {place} with a tagger. {_WHERE}") from None
        for folder in (place / FOLDER, place):
            if _is_converted(folder):
                if plain:
                    raise XPSRError(
                        f"The tagger in {folder} has the LoRA of DAPE in it, and RAM alone is"
                        f" wanted: name a folder with {RAM_FILE}."
                    )
                return TaggerFiles(folder=folder)
        ram, dape = (_named(name, there) for name in (RAM_FILE, DAPE_FILE))
        if ram and plain:
            return TaggerFiles(ram=ram)
        if ram and dape:
            return TaggerFiles(ram=ram, dape=dape)
        if ram or dape:
            missing = DAPE_FILE if ram else RAM_FILE
            raise XPSRError(f"The tagger in {place} has no {missing}. {_WHERE}")
    raise XPSRError(f"{places[0]} has no tagger. {_WHERE}")


def _named(name: str, there: dict[str, Path]) -> Path | None:
    """One of the authors' files among those of a folder, which are named in small letters."""
    stem = Path(name.lower()).stem
    return there.get(f"{stem}.pth") or there.get(f"{stem}.safetensors")


def _is_converted(folder: Path) -> bool:
    """Whether this is a converted tagger, by its configuration."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        return config["_class_name"] == "DAPEModel"
    except (OSError, ValueError, KeyError, TypeError):
        return False
