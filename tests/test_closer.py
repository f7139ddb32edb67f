"""The closer look: single pixels, the place that is shown, and the map of the differences."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from studio.restore import closer


def test_the_map_is_the_difference_times_the_gain():
    before = np.zeros((2, 2, 3), np.uint8)
    after = before.copy()
    before[0, 0], after[0, 0] = (10, 200, 30), (13, 190, 30)  # +3, -10, 0
    after[1, 1] = (255, 0, 90)
    found = closer.difference(Image.fromarray(before), Image.fromarray(after), 4)
    assert np.asarray(found).tolist() == [
        [[12, 40, 0], [0, 0, 0]],
        [[0, 0, 0], [255, 0, 255]],  # 1020 and 360, cut off
    ]


@pytest.mark.parametrize("zoom", [1, 2, 4])
def test_a_detail_shows_every_pixel_as_a_square(zoom):
    pixels = np.random.default_rng(0).integers(0, 256, (700, 900, 3), dtype=np.uint8)
    found = np.asarray(closer.detail(Image.fromarray(pixels), 0.5, 0.5, zoom))
    side = 480 // zoom
    top, left = (700 - side) // 2, (900 - side) // 2
    part = pixels[top : top + side, left : left + side]
    assert (found == part.repeat(zoom, axis=0).repeat(zoom, axis=1)).all()


def test_a_detail_stays_inside_and_a_small_picture_is_shown_whole():
    pixels = np.random.default_rng(1).integers(0, 256, (500, 600, 3), dtype=np.uint8)
    corner = np.asarray(closer.detail(Image.fromarray(pixels), 1.0, 0.0, 1))
    assert (corner == pixels[:480, 120:]).all()
    small = Image.fromarray(pixels[:40, :30])
    assert np.asarray(closer.detail(small, 0.2, 0.9, 1)).shape == (40, 30, 3)


def test_the_overview_is_bright_where_the_detail_is():
    white = Image.new("RGB", (960, 960), "white")
    found = np.asarray(closer.marked(white, 0.25, 0.75, 1, 480))[..., 0]
    rows, columns = np.nonzero(found == 255)
    # 480 of 960 pixels across, on a picture of half the size
    assert (columns.min(), columns.max(), rows.min(), rows.max()) == (0, 239, 240, 479)
    assert found[0, 479] == 102  # 0.4 of white
