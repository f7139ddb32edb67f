"""Tiles cover a latent exactly and blend without a trace."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
import torch

from xpsr.schedule import Noise
from xpsr.tiling import Blend, Tile, bell, cover


def joined_at_once(blend: Blend, predict: Callable[[int, Tile], torch.Tensor]) -> torch.Tensor:
    """What `Blend.join` returns; it says between all tiles how many are done."""
    said: list[int] = []
    walk = blend.join(predict, lambda done: done)
    while True:
        try:
            said.append(next(walk))
        except StopIteration as end:
            assert said == list(range(1, len(blend.tiles)))
            return end.value


@pytest.mark.parametrize(
    ("height", "width", "size", "overlap"),
    [
        (12, 18, 8, 2),
        (64, 64, 64, 8),
        (9, 100, 16, 4),
        (33, 17, 8, 0),
        (3, 50, 8, 7),
        (40, 41, 8, 4),
    ],
)
def test_tiles_cover_everything_and_stay_inside(height, width, size, overlap):
    tiles = cover(height, width, size, overlap)
    count = torch.zeros(height, width)
    for tile in tiles:
        assert tile.top >= 0 and tile.top + tile.height <= height
        assert tile.left >= 0 and tile.left + tile.width <= width
        tile.add_to(count, torch.ones(tile.height, tile.width))
    assert count.min() >= 1
    assert len(set(tiles)) == len(tiles)
    assert len({(tile.height, tile.width) for tile in tiles}) == 1


def test_neighbours_share_at_least_the_overlap():
    tiles = cover(8, 100, 16, 5)
    for one, other in pairwise(tiles):
        assert one.left + one.width - other.left >= 5


def test_one_tile_where_it_has_enough_pixels():
    assert cover(30, 20, 0, 0) == [Tile(0, 0, 30, 20)]
    assert cover(30, 20, 25, 4) == [Tile(0, 0, 30, 20)]
    assert len(cover(30, 20, 24, 4)) > 1


def test_long_latents_are_not_cut_into_tiny_squares():
    assert len(cover(2, 300, 16, 4)) < 30


def test_blending_what_was_cut_gives_it_back():
    whole = Noise(0).like(torch.zeros(2, 4, 21, 34))
    tiles = cover(21, 34, 8, 3)
    joined = joined_at_once(Blend(tiles), lambda number, tile: tiles[number].cut(whole))
    assert len(tiles) > 4
    assert (joined - whole).abs().max() < 1e-5


def test_one_tile_is_passed_through():
    whole = Noise(0).like(torch.zeros(2, 4, 9, 7))
    assert joined_at_once(Blend(cover(9, 7, 0, 0)), lambda number, tile: whole) is whole


def test_bell_is_symmetric_and_highest_in_the_middle():
    weights = bell(8, 13)
    assert torch.allclose(weights, weights.flip(0)) and torch.allclose(weights, weights.flip(1))
    assert weights.argmax() % 13 == 6


def test_the_nearer_tile_counts_more():
    tiles = [Tile(0, 0, 8, 8), Tile(0, 4, 8, 8)]
    joined = joined_at_once(
        Blend(tiles), lambda number, tile: torch.full((1, 1, 8, 8), float(number))
    )
    row = joined[0, 0, 4]
    assert row[:4].max() == 0 and row[8:].min() == 1
    assert torch.all(row.diff() >= 0) and row[5] < 0.5 < row[6]


def test_cut_follows_the_factor():
    x = torch.arange(64 * 64).reshape(1, 1, 64, 64)
    assert torch.equal(Tile(1, 2, 3, 4).cut(x, 8), x[..., 8:32, 16:48])
