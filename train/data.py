"""Samples by number: each is a function of the seed and its number alone.

A step takes the next N numbers, N being the pairs a step in all. So a resumed run sees what the
uninterrupted one would have seen, and two processes of one pair, one process of two, and two
accumulated parts of one all see the same pairs with the same noise.
"""

import hashlib
import logging
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from train.claims import Claim
from train.config import DataConfig
from train.manifest import read_manifest
from train.stopping import leave_stop_to_parent
from train.texts import ask, check_texts
from train.wording import DETAIL, degree, sharpened
from xpsr.errors import XPSRError

logger = logging.getLogger(__name__)

Window = tuple[slice, slice]  # rows and columns

NO_DETAIL = len(DETAIL)
MAX_SHARPNESS = 2.5
MEMORY = 2 * 2**30  # bytes of decoded pictures that a process keeps, or its data workers together


@dataclass(frozen=True)
class Batch:
    """Some pairs.

    Attributes:
        ids: which pairs.
        clean: (B, 3, H, W) in [-1, 1].
        conditioning: the low-resolution side enlarged to H × W, in [0, 1].
        input_ids, lowlevel_input_ids: (B, L) tokens of the two texts, some left empty.
        seeds: of each pair's noise and timestep.
        bare: which start from the low-resolution side alone, without noise.
        vivid: which are to look like photos: not those that are bare, or whose texts ask for less.
        like_input_ids: (B, L) tokens of `Claim.like`, the quality texts as they would have been.
        asked: (B, 3) what the texts ask for beside what was measured: `noise` and `blur` of a
            `Claim`, and degrees of detail, -3 to 3 (see `UNTOLD`).
        said: (B, 4) levels that the texts name: `said` of a `Claim`, and the degree of detail, 0
            to 3 or `NO_DETAIL`.
    """

    ids: tuple[str, ...]
    clean: Tensor
    conditioning: Tensor
    input_ids: Tensor
    lowlevel_input_ids: Tensor
    seeds: tuple[int, ...]
    bare: tuple[bool, ...]
    vivid: tuple[bool, ...]
    like_input_ids: Tensor
    asked: Tensor
    said: Tensor

    def some(self, numbers: Sequence[int]) -> "Batch":
        """These pairs alone."""

        def part(column: Tensor | tuple) -> Tensor | tuple:
            of_tensor = isinstance(column, Tensor)
            return column[[*numbers]] if of_tensor else tuple(column[n] for n in numbers)

        return Batch(*(part(getattr(self, field.name)) for field in fields(self)))

    def to(self, device: torch.device) -> "Batch":
        return replace(
            self,
            clean=self.clean.to(device),
            conditioning=self.conditioning.to(device),
            input_ids=self.input_ids.to(device),
            lowlevel_input_ids=self.lowlevel_input_ids.to(device),
            like_input_ids=self.like_input_ids.to(device),
            asked=self.asked.to(device),
            said=self.said.to(device),
        )


@dataclass(frozen=True)
class Pair:
    """One pair before cropping.

    Attributes:
        id: its name.
        clean: (H, W, 3) 8-bit.
        low: the low-resolution side at its own size, (h, w, 3) 8-bit.
        prompt, lowlevel_prompt: the texts of the side that is shown.
        hr_lowlevel_prompt: the quality text of the clean side.
    """

    id: str
    clean: np.ndarray
    low: np.ndarray
    prompt: str
    lowlevel_prompt: str
    hr_lowlevel_prompt: str

    def enlarged(self, window: Window | None = None) -> np.ndarray:
        """The low-resolution side at the clean one's size, (H, W, 3); or this part of it.

        A part is the same to the bit as when it is cut out of the whole, and takes less time.
        """
        height, width = self.clean.shape[:2]
        rows, columns = window or (slice(0, height), slice(0, width))
        down, across = self.low.shape[0] / height, self.low.shape[1] / width
        box = (columns.start * across, rows.start * down, columns.stop * across, rows.stop * down)
        size = (columns.stop - columns.start, rows.stop - rows.start)
        return np.array(Image.fromarray(self.low).resize(size, Image.Resampling.BICUBIC, box))


@dataclass(frozen=True)
class Sample:
    """One pair as it is shown."""

    id: str
    clean: np.ndarray
    conditioning: np.ndarray
    high: str
    low: str
    seed: int
    bare: bool
    vivid: bool
    claim: Claim
    degrees: float


class Samples(Dataset, ABC):
    """What stored pairs and photos that are degraded on the way have in common.

    Attributes:
        pixels: a digest of the photos themselves, where that is known without reading them; else
            empty.
    """

    pixels = ""

    def __init__(self, tokenizer, config: DataConfig, seed: int):
        self.tokenizer, self.config, self.seed = tokenizer, config, seed

    @abstractmethod
    def __len__(self) -> int:
        """How many pairs or photos there are."""

    @abstractmethod
    def pair(self, index: int, random: np.random.Generator) -> Pair:
        """A pair, whole; `random` may decide what is made of it."""

    @abstractmethod
    def names(self) -> Iterator[str]:
        """Of all pairs or photos, in order, with the texts that are stored."""

    def pictures(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Clean and enlarged low-resolution picture, (H, W, 3) 8-bit each."""
        pair = self.pair(index, np.random.default_rng((self.seed, index)))
        return pair.clean, pair.enlarged()

    def __getitem__(self, number: int) -> Sample:
        """Sample `number` of the endless sequence: every pair once, then in another order again."""
        epoch, place = divmod(number, len(self))
        random = np.random.default_rng((self.seed, number))
        pair = self.pair(int(_order(self.seed, epoch, len(self))[place]), random)
        window = _window(pair.clean.shape, self.config.crop, random)
        clean, shown, high, low = self._shown(pair, window, random)
        bare = bool(self.config.bare_ratio and random.random() < self.config.bare_ratio)
        asked = ask(high, low, pair.prompt, bare, self.config, random)
        if asked.trusts:
            clean = shown
        clean = sharpened(clean, min(max(asked.sharpness, -1.0), MAX_SHARPNESS))
        clean, shown = self._turned(clean, shown, random)
        seed = int(random.integers(2**63))
        texts = asked.high, asked.low
        return Sample(
            pair.id, clean, shown, *texts, seed, bare, asked.vivid, asked.claim, asked.degrees
        )

    def _shown(
        self, pair: Pair, window: Window, random: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, str, str]:
        """Clean side and the one that is shown, (H, W, 3) each, and the latter's two texts."""
        clean, config = pair.clean[window], self.config
        high, low = (
            "" if random.random() < config.caption_dropout else text
            for text in (pair.prompt, pair.lowlevel_prompt)
        )
        if random.random() < config.original_image_ratio:
            return clean, clean, high, low and pair.hr_lowlevel_prompt
        return clean, pair.enlarged(window), high, low

    def _turned(
        self, clean: np.ndarray, shown: np.ndarray, random: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Both sides mirrored and turned, if they are to be."""
        if self.config.flips and random.random() < 0.5:
            clean, shown = clean[:, ::-1], shown[:, ::-1]
        if self.config.turns:
            turns = int(random.integers(4))
            clean, shown = np.rot90(clean, turns), np.rot90(shown, turns)
        return clean, shown

    def batch(self, numbers: Sequence[int]) -> Batch:
        """The samples of these numbers as one batch."""
        return self.collate([self[number] for number in numbers])

    def collate(self, samples: list[Sample]) -> Batch:
        if len({sample.clean.shape for sample in samples}) > 1:
            raise XPSRError("The pairs differ in size; give crop=SIDE to train on equal squares.")
        return Batch(
            tuple(sample.id for sample in samples),
            _tensor([sample.clean for sample in samples]) * 2 - 1,
            _tensor([sample.conditioning for sample in samples]),
            self._tokens([sample.high for sample in samples]),
            self._tokens([sample.low for sample in samples]),
            tuple(sample.seed for sample in samples),
            tuple(sample.bare for sample in samples),
            tuple(sample.vivid for sample in samples),
            self._tokens([sample.claim.like for sample in samples]),
            torch.tensor([[s.claim.noise, s.claim.blur, s.degrees] for s in samples]),
            torch.tensor([[*s.claim.said, _detail_said(s.high)] for s in samples]),
        )

    def loader(self, numbers: "Numbers") -> Iterator[Batch]:
        """Batches in the order of `numbers`, made ahead by `config.data_workers` processes."""
        workers = self.config.data_workers
        batches = iter(
            DataLoader(
                _Numbered(),
                batch_sampler=numbers,  # type: ignore[arg-type]  any iterable of lists will do
                collate_fn=partial(_batch_or_error, self),
                num_workers=workers,
                multiprocessing_context="spawn" if workers else None,
                worker_init_fn=leave_stop_to_parent,
            )
        )
        return map(_raised, batches)

    def _tokens(self, texts: list[str]) -> Tensor:
        return self.tokenizer(
            texts, padding="max_length", truncation=True, return_tensors="pt"
        ).input_ids


class _Numbered(Dataset):
    """Each number itself: what is made of it is the business of `_batch_or_error`."""

    def __getitem__(self, number: int) -> int:
        return number


def _batch_or_error(samples: Samples, numbers: list[int]) -> Batch | XPSRError:
    """An error raised in a worker would arrive wrapped in its traceback: it is handed over."""
    try:
        return samples.batch(numbers)
    except XPSRError as error:
        return error


def _raised(found: Batch | XPSRError) -> Batch:
    if isinstance(found, XPSRError):
        raise found
    return found


@dataclass(frozen=True)
class Numbers:
    """The samples of one process, a list for each of its batches.

    Attributes:
        batch_size: pairs a batch.
        parts: batches a step that are accumulated.
        world, rank: processes, and which of them.
        first: number of the first sample of all processes.
        steps: how many steps to take.
    """

    batch_size: int
    parts: int
    world: int
    rank: int
    first: int
    steps: int

    @property
    def a_step(self) -> int:
        """How many samples a step takes, of all processes."""
        return self.batch_size * self.parts * self.world

    def __iter__(self) -> Iterator[list[int]]:
        for step in range(self.steps):
            for part in range(self.parts):
                first = self.first + step * self.a_step
                first += (part * self.world + self.rank) * self.batch_size
                yield list(range(first, first + self.batch_size))


class Pairs(Samples):
    """The pairs of a folder made by `train.prepare`; 8-bit pictures are kept while memory allows.

    Raises:
        XPSRError: there are no pairs with texts, or those that `config` asks for are missing.
    """

    def __init__(
        self,
        folder: str | Path,
        tokenizer,
        config: DataConfig | None = None,
        seed: int = 0,
    ):
        super().__init__(tokenizer, config or DataConfig(), seed)
        self.folder = Path(folder)
        lines = read_manifest(self.folder)
        needed = _needed(self.config)
        described = [line for line in lines if _has_texts(line, needed)]
        self.lines = [{k: line.get(k, "") for k in ("id", *TEXTS)} for line in described]
        hashes = [(line.get("file") or {}).get("hash", "") for line in described]
        self.pixels = digest(hashes) if all(hashes) else ""
        advice = f"python -m train.describe --data {folder}"
        if not self.lines:
            clean = [name for name in needed if name.startswith("hr_")]
            side = ", some of them of the clean side" if clean else ""
            raise XPSRError(f"No pair in {folder} has the texts that are read{side}: {advice}")
        if bare := len(lines) - len(self.lines):
            logger.warning("%d of %d pairs have no texts and are left out", bare, len(lines))
        contents, qualities, _ = zip(*map(self._texts, self.lines), strict=True)
        check_texts(contents, qualities, self.config)
        self._decoded: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self.lines)

    def names(self) -> Iterator[str]:
        return map(repr, self.lines)

    def pair(self, index: int, random: np.random.Generator) -> Pair:
        line = self.lines[index]
        return Pair(line["id"], *self._read(index), *self._texts(line))

    def _texts(self, line: dict[str, str]) -> tuple[str, str, str]:
        """The three texts of a `Pair`."""
        source = _content(self.config)
        return line[source], line["lowlevel_prompt"], line["hr_lowlevel_prompt"]

    def _read(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        if index in self._decoded:
            return self._decoded[index]
        name = f"{self.lines[index]['id']}.png"
        try:
            clean = Image.open(self.folder / "HR" / name).convert("RGB")
            low = Image.open(self.folder / "LR" / name).convert("RGB")
        except (OSError, SyntaxError) as error:  # Pillow's word for a broken PNG is the latter
            raise XPSRError(
                f"The pair {name} in {self.folder} cannot be read: delete it in HR and LR and run"
                f" train.prepare again. ({error})"
            ) from error
        found = np.array(clean), np.array(low)
        self._bytes += sum(picture.nbytes for picture in found)
        if self._bytes * max(1, self.config.data_workers) < MEMORY:
            self._decoded[index] = found
        return found


def _content(config: DataConfig) -> str:
    """What the text of the content is called in the manifest."""
    return "hr_prompt" if config.caption_source == "hr" else "prompt"


def _needed(config: DataConfig) -> set[str]:
    """The texts of a pair that its samples are made of."""
    needed = {_content(config)} if config.prompts in ("both", "high") else set()
    if config.prompts in ("both", "low"):
        needed |= {"lowlevel_prompt"}
        needed |= {"hr_lowlevel_prompt"} if config.original_image_ratio else set()
    return needed


def _has_texts(line: dict, needed: Iterable[str]) -> bool:
    """Whether none of these is missing or empty; lines may come from elsewhere."""
    texts = (line.get(name) for name in needed)
    return all(isinstance(text, str) and text.strip() for text in texts)


def digest(texts: Iterable[str]) -> str:
    """Of all of them in their order."""
    found = hashlib.sha256()
    for text in texts:
        found.update(text.encode("utf-8", "surrogateescape"))
    return found.hexdigest()


def _detail_said(text: str) -> int:
    found = degree(text)
    return NO_DETAIL if found is None else found


TEXTS = ("prompt", "lowlevel_prompt", "hr_prompt", "hr_lowlevel_prompt")


@lru_cache(maxsize=2)
def _order(seed: int, epoch: int, count: int) -> np.ndarray:
    return np.random.default_rng((seed, epoch, count)).permutation(count)


def _window(shape: tuple[int, ...], crop: int | None, random: np.random.Generator) -> Window:
    """Crops start on the grid of whole low-resolution pixels (upscaling 4), and of patches."""
    height, width = shape[:2]
    if crop is None:
        if height % 8 or width % 8:
            raise XPSRError(
                f"There are pairs of {width} x {height} pixels, and the networks need multiples of"
                " 8: give crop=SIDE."
            )
        return np.s_[0:height, 0:width]
    if crop > min(height, width):
        raise XPSRError(f"crop is {crop}, but there are pairs of {width} x {height} pixels.")
    top, left = (int(random.integers(0, (s - crop) // 8 + 1)) * 8 for s in (height, width))
    return np.s_[top : top + crop, left : left + crop]


def _tensor(pictures: list[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 255
