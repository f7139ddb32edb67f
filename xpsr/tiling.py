"""Large latents in overlapping tiles: where they lie, how they are blended."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

Item = TypeVar("Item")

_VARIANCE = 0.01  # of the blending bell, for a tile of side 1


class Tile(NamedTuple):
    """A rectangle of a latent, in latent pixels."""

    top: int
    left: int
    height: int
    width: int

    def cut(self, x: Tensor, factor: int = 1) -> Tensor:
        """This part of `x` (B, C, H, W), which is `factor` times as large as the latent."""
        return x[..., self._rows(factor), self._columns(factor)]

    def add_to(self, x: Tensor, part: Tensor) -> None:
        """Add `part` to this part of `x`, in place."""
        x[..., self._rows(1), self._columns(1)] += part

    def _rows(self, factor: int) -> slice:
        return slice(self.top * factor, (self.top + self.height) * factor)

    def _columns(self, factor: int) -> slice:
        return slice(self.left * factor, (self.left + self.width) * factor)


def cover(height: int, width: int, size: int, overlap: int) -> list[Tile]:
    """Tiles that together cover a latent of `height` x `width`.

    A latent with no more pixels than one tile is one tile. Of several, each starts `size - overlap`
    behind its neighbour, and the last of a row or column is moved back to end at the border.

    Args:
        height, width: of the latent.
        size: side of a tile, where the latent is not shorter; 0 = one tile for everything.
        overlap: pixels shared by neighbours, less than `size`.
    """
    if not size or height * width <= size * size:
        return [Tile(0, 0, height, width)]
    tall, wide = min(size, height), min(size, width)
    return [
        Tile(top, left, tall, wide)
        for left in _offsets(width, wide, overlap)
        for top in _offsets(height, tall, overlap)
    ]


def _offsets(length: int, tile: int, overlap: int) -> list[int]:
    stride = max(tile - overlap, 1)
    return [*range(0, length - tile, stride), length - tile]


def bell(height: int, width: int) -> Tensor:
    """Blending weights (height, width), float64: a Gaussian around the middle of a tile.

    In the authors' code the middle lies half a pixel too low.
    """
    return _gaussian(height)[:, None] * _gaussian(width)[None, :]


def _gaussian(length: int) -> Tensor:
    at = (torch.arange(length, dtype=torch.float64) - (length - 1) / 2) / length
    return torch.exp(-(at**2) / (2 * _VARIANCE)) / (2 * torch.pi * _VARIANCE) ** 0.5


class Blend:
    """Joins the tiles' results into one: sum(weight · tile) / sum(weight) at every pixel.

    Args:
        tiles: from `cover`.
    """

    def __init__(self, tiles: list[Tile]) -> None:
        self.tiles = tiles
        weights = bell(tiles[0].height, tiles[0].width)
        height = max(tile.top + tile.height for tile in tiles)
        width = max(tile.left + tile.width for tile in tiles)
        total = torch.zeros(height, width, dtype=torch.float64)
        for tile in tiles:
            tile.add_to(total, weights)
        # Divided here and in float64: at a tile's corner the bell is as low as 1e-11.
        self._shares = [(weights / tile.cut(total)).float() for tile in tiles]
        self._size = (height, width)

    def join(
        self, predict: Callable[[int, Tile], Tensor], between: Callable[[int], Item]
    ) -> Generator[Item, None, Tensor]:
        """Work on one tile after another; closing the generator stops behind the present one.

        Args:
            predict: number and tile → its result (B, C, height, width).
            between: what is yielded between two tiles, of how many are done.

        Returns:
            what they are joined to, (B, C, H, W).
        """
        if len(self.tiles) == 1:
            return predict(0, self.tiles[0])
        joined: Tensor | None = None
        for number, tile in enumerate(self.tiles):
            if joined is not None:
                yield between(number)
            part = predict(number, tile)
            if joined is None:
                joined = part.new_zeros(*part.shape[:2], *self._size)
            tile.add_to(joined, part * self._shares[number].to(part))
        assert joined is not None
        return joined
