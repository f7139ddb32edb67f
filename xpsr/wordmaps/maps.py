"""What a recorder hands over: the words of both texts, and where they were attended to."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xpsr.errors import XPSRError
from xpsr.wordmaps.grid import sample
from xpsr.wordmaps.pieces import Piece

if TYPE_CHECKING:
    from xpsr.frame import Frame
    from xpsr.tiling import Tile

MAP_SIDE = 128  # the longer side of the maps that are handed out


@dataclass(frozen=True)
class Geometry:
    """How the maps lie on the picture.

    Attributes:
        latent: (height, width) of the whole latent, padding included.
        covered: (height, width) of the part of it that the picture takes up; need not be whole.
        size: (width, height) of the maps that are handed out, in the shape of the picture.
        downscale: picture pixels per latent pixel.
    """

    latent: tuple[int, int]
    covered: tuple[float, float]
    size: tuple[int, int]
    downscale: int

    @classmethod
    def of(cls, frame: Frame, tiles: list[Tile], downscale: int) -> Geometry:
        width, height = frame.working
        scale = MAP_SIDE / max(width, height)
        return cls(
            latent=(
                max(tile.top + tile.height for tile in tiles),
                max(tile.left + tile.width for tile in tiles),
            ),
            covered=(height / downscale, width / downscale),
            size=(max(1, round(width * scale)), max(1, round(height * scale))),
            downscale=downscale,
        )


@dataclass(frozen=True, eq=False)
class Layer:
    """The layers of one level of the network during one part of the run, averaged.

    Attributes:
        part: number of that part.
        factor: latent pixels along a side of what this level sees as one place.
        cell: the same for the cells of `mean`, which may be coarser.
        weight: how many maps went into the mean: layers x steps.
        mean: (pieces + 2, rows, columns) float32; sums to one over the first axis.
    """

    part: int
    factor: int
    cell: int
    weight: float
    mean: np.ndarray


@dataclass(frozen=True, eq=False)
class TextMaps:
    """One text, exactly as it was sent to the encoder, and what was recorded of it."""

    sent: str
    pieces: tuple[Piece, ...]
    layers: tuple[Layer, ...]


@dataclass(frozen=True, eq=False)
class WordMaps:
    """Attention maps for every word of the content text ("high") and the quality text ("low").

    Attention says where a branch looked while it read a word. It does not say what the word
    changed: for that, drop it and compare (`xpsr.ablation`).

    Attributes:
        texts: "high" and "low"; only one of them if the model reads only one.
        parts: the steps, from 0, of each part of the run that was recorded.
        geometry: how the maps lie on the picture.
    """

    texts: dict[str, TextMaps]
    parts: tuple[tuple[int, ...], ...]
    geometry: Geometry

    @property
    def levels(self) -> tuple[int, ...]:
        """Picture pixels along a side of one place, for each level of the network, finest first."""
        factors = {layer.factor for text in self.texts.values() for layer in text.layers}
        return tuple(factor * self.geometry.downscale for factor in sorted(factors))

    def pieces(self, branch: str) -> tuple[Piece, ...]:
        """The words and signs of a text that were read, in their order."""
        return self._text(branch).pieces

    def tokens(
        self,
        branch: str,
        parts: Collection[int] | None = None,
        levels: Collection[int] | None = None,
    ) -> np.ndarray:
        """A map for every piece, and two more: (pieces + 2, height, width) float32.

        The last two are the mark every text begins with and those that end it and fill it up; they
        often get most of the attention. At every pixel the maps sum to one.

        Args:
            branch: "high" or "low".
            parts: numbers of parts of the run to average over; None = all.
            levels: some of `levels` to average over; None = all.

        Raises:
            XPSRError: no such text, part or level.
        """
        geometry = self.geometry
        layers = [
            layer
            for layer in self._text(branch).layers
            if (parts is None or layer.part in parts)
            and (levels is None or layer.factor * geometry.downscale in levels)
        ]
        if not layers:
            raise XPSRError(
                f"Nothing was recorded there: parts are 0 to {len(self.parts) - 1}, levels "
                f"{', '.join(map(str, self.levels))}."
            )
        total = sum(layer.weight for layer in layers)
        found = (
            sample(layer.mean, _cells(geometry.covered, layer.cell), geometry.size)
            * np.float32(layer.weight / total)
            for layer in layers
        )
        return reduce(np.add, found)

    def words(
        self,
        branch: str,
        parts: Collection[int] | None = None,
        levels: Collection[int] | None = None,
    ) -> np.ndarray:
        """The maps of `pieces(branch)` alone: (pieces, height, width) float32; see `tokens`."""
        return self.tokens(branch, parts, levels)[:-2]

    def save(self, path: str | Path, recipe: str | None = None) -> None:
        """Write a NumPy archive (.npz).

        "high" and "low" are `tokens` of each text; "about" is JSON with the texts, the pieces and
        their places in them, the recorded steps and the levels. Read it with `numpy.load`.

        Args:
            path: of the file.
            recipe: of the result, as JSON; kept as "recipe".
        """
        about = {
            "texts": {
                branch: {
                    "sent": text.sent,
                    "pieces": [[piece.text, piece.start, piece.end] for piece in text.pieces],
                }
                for branch, text in self.texts.items()
            },
            "parts": self.parts,
            "levels": self.levels,
        }
        arrays: dict[str, Any] = {branch: self.tokens(branch) for branch in self.texts}
        if recipe is not None:
            arrays["recipe"] = np.array(recipe)
        with Path(path).open("wb") as file:  # given a name, NumPy would add an ending to it
            np.savez_compressed(file, about=np.array(json.dumps(about)), **arrays)

    def _text(self, branch: str) -> TextMaps:
        if branch not in self.texts:
            known = " and ".join(f'"{name}"' for name in self.texts)
            raise XPSRError(f'There are no word maps of "{branch}"; there are those of {known}.')
        return self.texts[branch]


def _cells(covered: tuple[float, float], cell: int) -> tuple[float, float]:
    return covered[0] / cell, covered[1] / cell
