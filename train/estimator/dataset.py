"""Photos → files of statistics and parameters, which the network is fitted to."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from train.estimator.samples import make_sample
from train.estimator.second_order import make_second_order
from train.files import file_hash, find_photos
from train.pairing import pair_seed
from train.sharing import in_order
from xpsr.errors import XPSRError
from xpsr.image import open_image
from xpsr.prompts.estimator import RANGES, level_of, tokens_of
from xpsr.whole import whole

TURN = 8  # samples of one photo in a file, in turn of either kind
VERSION = 2  # of the samples: files of others are left alone
HELD_OUT = 8  # one photo of so many is not fitted to: it chooses step and temperature


@dataclass(frozen=True)
class Dataset:
    """Samples of photos.

    Attributes:
        tokens: (n, groups, WIDTH) statistics.
        truths: (n, 3) parameters of blur, noise and JPEG, in units of `RANGES`.
    """

    tokens: Tensor
    truths: Tensor

    @cached_property
    def levels(self) -> Tensor:
        """(n, 3), 0 to 3."""
        return torch.tensor(
            [
                [level_of(*one) for one in zip(RANGES, row, strict=True)]
                for row in self.truths.tolist()
            ]
        )

    def __len__(self) -> int:
        return len(self.truths)


def collect(
    images: Path, folder: Path, turns: int, seed: int, workers: int = 1
) -> Iterator[tuple[int, int, str | None]]:
    """Write the statistics of every photo; yields (done, total, complaint about a photo).

    All photos have their turn before the next begins. What is there is not made again.
    """
    photos = find_photos(images)
    folder.mkdir(parents=True, exist_ok=True)
    items = [(turn, path) for turn in range(turns) for path in photos]
    work = partial(_write_turn, images=images, folder=folder, seed=seed)
    for number, complaint in enumerate(in_order(work, items, workers), 1):
        yield number, len(items), complaint


def _write_turn(item: tuple[int, Path], images: Path, folder: Path, seed: int) -> str | None:
    turn, path = item
    name = path.relative_to(images).as_posix()
    file = _file(folder, _key(path, images, seed), turn)
    if file.is_file():
        return None
    tokens, truths = [], []
    try:
        photo = open_image(path).image
        for number in range(turn * TURN, (turn + 1) * TURN):
            make = make_second_order if number % 2 else make_sample
            sample = make(photo, pair_seed(name, number, seed))
            tokens.append(tokens_of(sample.image).numpy())
            truths.append(list(sample.truth.values()))
    except XPSRError as error:
        return f"{name}: {error}"
    with whole(file) as part, part.open("wb") as stream:
        np.savez(stream, tokens=np.stack(tokens), truths=np.array(truths))
    return None


def _key(path: Path, images: Path, seed: int) -> str:
    """What the samples of a photo follow from: seed, name and content; another of these, others."""
    name = path.relative_to(images).as_posix()
    return f"{pair_seed(name, 0, seed):016x}_{file_hash(path)[:16]}"


def _file(folder: Path, key: str, turn: int) -> Path:
    return folder / f"{key}_{turn:03d}_v{VERSION}.npz"


def read(images: Path, folder: Path, turns: int, seed: int) -> tuple[Dataset, Dataset]:
    """The samples to fit to, and those of the photos that are held out.

    `folder` may hold more, of other photos, seeds and turns: those are left alone.

    Raises:
        XPSRError: there are too few photos to hold any out.
    """
    keys = sorted(_key(path, images, seed) for path in find_photos(images))
    photos = [
        key for key in keys if all(_file(folder, key, turn).is_file() for turn in range(turns))
    ]
    if len(photos) < 2:
        raise XPSRError("Give at least two photos: one of them is kept for choosing the weights.")
    held = set(photos[::HELD_OUT])
    return _gather(folder, [p for p in photos if p not in held], turns), _gather(
        folder, sorted(held), turns
    )


def _gather(folder: Path, photos: list[str], turns: int) -> Dataset:
    files = [_file(folder, photo, turn) for photo in photos for turn in range(turns)]
    parts = [np.load(file) for file in files]
    tokens, truths = (np.concatenate([part[key] for part in parts]) for key in ("tokens", "truths"))
    return Dataset(torch.from_numpy(tokens), torch.from_numpy(truths))
