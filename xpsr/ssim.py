"""SSIM of the luma, as pyiqa gives it and twenty-five times faster.

pyiqa filters in two dimensions and in double precision: 4 s for 512 x 512 pixels on one core. The
window is a Gaussian, so rows and columns can be taken one after the other, in 0.15 s.
"""

from __future__ import annotations

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

WINDOW = 11  # pixels; a smaller picture has no figure
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


def ssim(image: Image.Image, reference: Image.Image) -> float:
    """Structural similarity of two pictures of one size, of the Y of BT.601 video (16..235)."""
    x, y = _luma(image), _luma(reference)
    mean_x, mean_y = _window(x), _window(y)
    spread = _window(x * x) - mean_x**2 + _window(y * y) - mean_y**2
    shared = _window(x * y) - mean_x * mean_y
    structure = np.maximum((2 * shared + _C2) / (spread + _C2), 0)
    brightness = (2 * mean_x * mean_y + _C1) / (mean_x**2 + mean_y**2 + _C1)
    return float((brightness * structure).mean())


def _luma(image: Image.Image) -> np.ndarray:
    """Rounded, as pictures are; from whole numbers, so that no half is rounded by chance."""
    rgb = np.asarray(image.convert("RGB"), dtype=np.float64)
    return np.rint(rgb @ (65481, 128553, 24966) / 255000 + 16)


def _window(values: np.ndarray) -> np.ndarray:
    """Means under a Gaussian of sigma 1.5, only where it fits in."""
    radius = WINDOW // 2
    return gaussian_filter(values, 1.5, radius=radius)[radius:-radius, radius:-radius]
