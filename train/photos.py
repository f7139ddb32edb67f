"""Photos that are degraded and described as they are drawn: nothing is stored, nothing repeats."""

import logging
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from train.config import DataConfig, TrainConfig
from train.data import Pair, Pairs, Samples
from train.files import find_photos
from train.manifest import has_pairs
from train.pairing import PairConfig, make_pair
from xpsr.errors import XPSRError
from xpsr.image import open_image
from xpsr.prompts.describer import make_describer

logger = logging.getLogger(__name__)


class Photos(Samples):
    """A folder of photos; every sample is a fresh crop, degradation and measured description.

    Args:
        folder: searched with its subfolders. In place of a photo that is too small or cannot be
            read the next one is taken, and a warning says so.
        degradation: what is made of them.
        own: folders of our own pictures, as in `find_photos`.
    """

    def __init__(
        self,
        folder: str | Path,
        tokenizer,
        config: DataConfig | None = None,
        seed: int = 0,
        degradation: PairConfig | None = None,
        own: Sequence[Path] = (),
    ):
        super().__init__(tokenizer, config or DataConfig(), seed)
        self.folder = Path(folder)
        self.files = find_photos(self.folder, own)
        self.degradation = degradation or PairConfig()
        # Anything slower would hold up the training; others describe stored pairs.
        self.describer = make_describer("measured")

    def __len__(self) -> int:
        return len(self.files)

    def names(self) -> Iterator[str]:
        return (path.relative_to(self.folder).as_posix() for path in self.files)

    def pictures(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        # Nobody reads its texts, which take longer than all else.
        name, hr, lr = self._degraded(index, np.random.default_rng((self.seed, index)))
        pair = Pair(name, np.array(hr), np.array(lr), "", "", "")
        return pair.clean, pair.enlarged()

    def pair(self, index: int, random: np.random.Generator) -> Pair:
        name, hr, lr = self._degraded(index, random)
        low = self.describer.describe(lr)
        config = self.config
        of_clean = config.caption_source == "hr" or config.original_image_ratio > 0
        high = self.describer.describe(hr) if of_clean else low
        caption = high.high if config.caption_source == "hr" else low.high
        return Pair(name, np.array(hr), np.array(lr), caption, low.low, high.low)

    def _degraded(
        self, index: int, random: np.random.Generator
    ) -> tuple[str, Image.Image, Image.Image]:
        """The name of a pair and its two pictures."""
        path, photo = self._photo(index)
        seed = int(random.integers(2**63))
        hr, lr, _ = make_pair(photo, self.degradation, seed)
        return f"{path.relative_to(self.folder).as_posix()} seed {seed}", hr, lr

    def _photo(self, index: int) -> tuple[Path, Image.Image]:
        """The photo, or the first usable one after it: the same one whenever it is asked for."""
        size = self.degradation.size
        for path in (*self.files[index:], *self.files[:index]):
            try:
                photo = open_image(path).image
            except XPSRError as error:
                reason = str(error)
            else:
                if self.degradation.possible_scales(photo):
                    return path, photo
                reason = f"a side is shorter than degradation.size={size}"
            say_left_out(path, reason)
        raise XPSRError(f"No photo in {self.folder} can be used: each side needs {size} pixels.")


@cache
def say_left_out(path: Path, reason: str) -> None:
    """Once, however often a photo is drawn, for the training or for its validation."""
    logger.warning("%s is left out: %s", path, reason)


def open_data(
    folder: str | Path,
    tokenizer,
    config: DataConfig,
    seed: int,
    degradation: PairConfig,
    own: Sequence[Path] = (),
) -> Samples:
    """Stored pairs where `train.prepare` has been, photos elsewhere."""
    if not str(folder):  # which Path would take for the present folder
        raise XPSRError("data is empty; give it as data=FOLDER.")
    if has_pairs(Path(folder)):
        return Pairs(folder, tokenizer, config, seed)
    if not Path(folder).is_dir():
        raise XPSRError(f"There is no folder {folder}: correct data=, or validate_data= if given.")
    if {"HR", "LR"} <= {path.name for path in Path(folder).iterdir()}:
        raise XPSRError(
            f"{folder} holds HR and LR, but no manifest of train.prepare, so it cannot be trained"
            f" on as pairs. data={Path(folder) / 'HR'} degrades the clean side anew."
        )
    return Photos(folder, tokenizer, config, seed, degradation, own)


def training_data(config: TrainConfig, tokenizer) -> Samples:
    """What a run learns from; a part that reads no texts misses none."""
    drawn: DataConfig = config
    if config.model.only in ("degradation_free", "tagger"):
        drawn = config.model_copy(update={"prompts": "none"})
    sheets = [config.sheets]
    return open_data(config.data, tokenizer, drawn, config.seed, config.degradation, sheets)
