"""Maps of every size brought onto one small grid that covers the whole picture."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from xpsr.tiling import Tile, bell

MAX_CELLS = 64  # along the longer side


class Grid:
    """The mean of many maps, of which each shows one tile at the size its layer works at.

    What a cell of the grid holds is the mean over the area that it shares with the maps. Where
    maps sum to one over their first axis, so does the grid.

    Args:
        maps: how many maps are kept beside each other.
        height, width: of the whole latent.
        factor: latent pixels along a side of one element of the maps.
    """

    def __init__(self, maps: int, height: int, width: int, factor: int) -> None:
        self.factor = factor
        self.cell = factor * -(-max(height, width) // (factor * MAX_CELLS))
        rows, columns = -(-height // self.cell), -(-width // self.cell)
        self._sum = torch.zeros(maps, rows, columns)
        self._weight = torch.zeros(rows, columns)
        self.looks = 0.0

    def add(self, found: Tensor, tile: Tile, alone: bool) -> None:
        """Take in the maps (maps, h, w) of one tile; `alone` if there is no other tile.

        Where tiles overlap they count as much as their results do in the picture.
        """
        height, width = found.shape[-2:]
        down = _shared(self._sum.shape[1], self.cell, tile.top, tile.height, height, self.factor)
        across = _shared(self._sum.shape[2], self.cell, tile.left, tile.width, width, self.factor)
        share = torch.ones(height, width) if alone else bell(height, width).float()
        down, across, share = (one.to(found) for one in (down, across, share))
        self._sum += (down @ (found * share) @ across.T).cpu()
        self._weight += (down @ share @ across.T).cpu()
        self.looks += tile.height * tile.width

    def mean(self) -> np.ndarray:
        """(maps, rows, columns) float32."""
        return (self._sum / self._weight).numpy()


def _shared(cells: int, cell: int, start: int, length: int, elements: int, factor: int) -> Tensor:
    """(cells, elements): how many latent pixels each cell and each element share, along one side.

    The elements cover `length` pixels from `start` on; the last of them may be narrower.
    """
    left = start + torch.arange(elements) * factor
    right = (left + factor).clamp(max=start + length)
    here = torch.arange(cells)[:, None] * cell
    shared = torch.minimum(right, here + cell) - torch.maximum(left, here)
    return shared.clamp(min=0).float()


def sample(mean: np.ndarray, covered: tuple[float, float], size: tuple[int, int]) -> np.ndarray:
    """Read a grid (maps, rows, columns) at the pixels of a picture, linearly.

    Args:
        mean: from `Grid.mean`.
        covered: (rows, columns) of the grid that the picture takes up; the rest is padding.
        size: (width, height) of what is wanted.
    """
    down = _linear(mean.shape[1], covered[0], size[1])
    across = _linear(mean.shape[2], covered[1], size[0])
    return (down @ mean @ across.T).astype(np.float32)


def _linear(cells: int, covered: float, pixels: int) -> np.ndarray:
    """(pixels, cells): the share of each cell in each pixel; every row sums to one."""
    place = (np.arange(pixels) + 0.5) / pixels * covered - 0.5
    distance = np.abs(np.clip(place, 0, cells - 1)[:, None] - np.arange(cells))
    return np.clip(1 - distance, 0, None).astype(np.float32)
