"""Blur kernels of the Real-ESRGAN degradation (Wang et al. 2021, sec. 3)."""

import numpy as np
from scipy import special

KINDS = ("iso", "aniso", "generalized_iso", "generalized_aniso", "plateau_iso", "plateau_aniso")
KIND_PROBABILITIES = (0.45, 0.25, 0.12, 0.03, 0.12, 0.03)


def gaussian_family(
    size: int, kind: str, sigma: tuple[float, float], angle: float, beta: float
) -> np.ndarray:
    """A normalised (size, size) kernel. `beta` shapes the generalized and plateau kinds."""
    half = size // 2
    y, x = np.mgrid[-half : half + 1, -half : half + 1].astype(np.float64)
    if kind.endswith("aniso"):
        c, s = np.cos(angle), np.sin(angle)
        u, v = c * x + s * y, -s * x + c * y
        distance = (u / sigma[0]) ** 2 + (v / sigma[1]) ** 2
    else:
        distance = (x**2 + y**2) / sigma[0] ** 2
    if kind.startswith("plateau"):
        kernel = 1 / (1 + distance**beta)
    elif kind.startswith("generalized"):
        kernel = np.exp(-0.5 * distance**beta)
    else:
        kernel = np.exp(-0.5 * distance)
    return kernel / kernel.sum()


def sinc(size: int, cutoff: float) -> np.ndarray:
    """The circular low-pass kernel whose ringing mimics sharpened and recompressed pictures.

    Args:
        cutoff: angular frequency in (0, π].
    """
    half = size // 2
    y, x = np.mgrid[-half : half + 1, -half : half + 1].astype(np.float64)
    radius = np.hypot(x, y)
    with np.errstate(divide="ignore", invalid="ignore"):
        kernel = cutoff * special.j1(cutoff * radius) / (2 * np.pi * radius)
    kernel[half, half] = cutoff**2 / (4 * np.pi)
    return kernel / kernel.sum()
