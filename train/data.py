"""Pairs in memory order-free: the batch of a step is a function of the seed and the step alone."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from train.prepare import read_manifest
from xpsr.image import resize
from xpsr.prompts import OFFICIAL_LOWLEVEL_NEGATIVE

# Ways to say that nothing is wrong, none of them a sentence of the measured describer.
FLAWLESS = (
    OFFICIAL_LOWLEVEL_NEGATIVE,
    "The image is clean and sharp.",
    "The image is in perfect quality.",
)


@dataclass(frozen=True)
class Batch:
    """One step's pairs.

    Attributes:
        ids: which pairs.
        clean: (B, 3, H, W) in [-1, 1].
        conditioning: the low-resolution side enlarged to H × W, in [0, 1].
        input_ids, lowlevel_input_ids: (B, L) tokens of the two texts, some left empty.
    """

    ids: tuple[str, ...]
    clean: Tensor
    conditioning: Tensor
    input_ids: Tensor
    lowlevel_input_ids: Tensor

    def to(self, device: torch.device) -> "Batch":
        return Batch(
            self.ids,
            self.clean.to(device),
            self.conditioning.to(device),
            self.input_ids.to(device),
            self.lowlevel_input_ids.to(device),
        )


class Pairs:
    """The pairs of a folder made by `train.prepare`, decoded once and kept as 8-bit pictures.

    Args:
        folder: holds HR/, LR/ and manifest.jsonl.
        tokenizer: CLIP's.
        crop: side of the crops in output pixels, a multiple of the upscaling; None = whole pairs.
        caption_dropout: chance that a text is left empty.
        original_image_ratio: chance that the clean picture is shown as the low-resolution one.
        trust_ratio: chance that the low-level text calls the picture flawless, and that it is then
            to be kept as it is. What the texts measure can be seen in the picture as well, so
            without such pairs nothing teaches a network to listen.
    """

    def __init__(
        self,
        folder: str | Path,
        tokenizer,
        crop: int | None = None,
        caption_dropout: float = 0.0,
        original_image_ratio: float = 0.0,
        trust_ratio: float = 0.0,
    ):
        self.folder = Path(folder)
        self.lines = read_manifest(self.folder)
        self.tokenizer = tokenizer
        self.crop = crop
        self.caption_dropout = caption_dropout
        self.original_image_ratio = original_image_ratio
        self.trust_ratio = trust_ratio
        self._decoded: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def __len__(self) -> int:
        return len(self.lines)

    def pictures(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Clean and enlarged low-resolution picture, (H, W, 3) 8-bit each."""
        if index not in self._decoded:
            name = f"{self.lines[index]['id']}.png"
            clean = Image.open(self.folder / "HR" / name).convert("RGB")
            low = Image.open(self.folder / "LR" / name).convert("RGB")
            self._decoded[index] = np.array(clean), np.array(resize(low, clean.size))
        return self._decoded[index]

    def batch(self, size: int, seed: int, step: int) -> Batch:
        """The pairs of a step, the same whatever was drawn before: resumed runs see the same."""
        random = np.random.default_rng((seed, step))
        items = [self._item(int(i), random) for i in random.integers(0, len(self), size)]
        ids, clean, conditioning, high, low = zip(*items, strict=True)
        return Batch(
            ids,
            _tensor(clean) * 2 - 1,
            _tensor(conditioning),
            self._tokens(high),
            self._tokens(low),
        )

    def _item(self, index: int, random: np.random.Generator) -> tuple:
        clean, conditioning = self.pictures(index)
        line = self.lines[index]
        side = self.crop or min(clean.shape[:2])
        # Crops start on the grid of whole low-resolution pixels (upscaling 4), and of patches.
        top, left = (int(random.integers(0, (s - side) // 8 + 1)) * 8 for s in clean.shape[:2])
        window = np.s_[top : top + side, left : left + side]
        high, low = (
            "" if random.random() < self.caption_dropout else line[key]
            for key in ("prompt", "lowlevel_prompt")
        )
        if random.random() < self.original_image_ratio:
            conditioning = clean
        if random.random() < self.trust_ratio:
            clean, low = conditioning, str(random.choice(FLAWLESS))
        return line["id"], clean[window], conditioning[window], high, low

    def _tokens(self, texts: tuple[str, ...]) -> Tensor:
        return self.tokenizer(
            list(texts), padding="max_length", truncation=True, return_tensors="pt"
        ).input_ids


def _tensor(pictures: tuple[np.ndarray, ...]) -> Tensor:
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 255
