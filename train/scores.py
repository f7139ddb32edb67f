"""The figures a restored photo is judged by where the original is known."""

import numpy as np
from PIL import Image

from xpsr.metrics import METRICS, score

FROM_LIBRARY = ("psnr", "ssim", "gmsd", "piqe", "backprojection")
NAMES = (*FROM_LIBRARY, "detail")


def scores_of(image: Image.Image, clean: Image.Image, low: Image.Image) -> dict[str, float | None]:
    """Every figure of `NAMES` for a restored picture; None where a score has no value.

    Args:
        image: the restored picture, of the size of `clean`.
        clean: the original.
        low: what `image` was restored from.
    """
    found = score(image, reference=clean, input=low, metrics=FROM_LIBRARY)
    values = {name: one.value for name, one in found.items()}
    return {**values, "detail": high_frequency(image) / high_frequency(clean)}


def better(name: str, value: float, than: float) -> bool:
    """Whether `value` is better than `than`. The original's detail is 1: nearer to it is better."""
    if name == "detail":
        return bool(abs(np.log(value)) < abs(np.log(than)))
    return value < than if METRICS[name].lower_better else value > than


def high_frequency(image: Image.Image) -> float:
    """Energy above half of the low-resolution picture's Nyquist frequency, of the luma."""
    luma = np.asarray(image.convert("L"), dtype=np.float64)
    spectrum = np.abs(np.fft.fft2(luma - luma.mean())) ** 2
    y, x = (np.abs(np.fft.fftfreq(side))[:, None] for side in luma.shape)
    # Never 0, so that a flat picture has a ratio as well.
    return float(spectrum[np.hypot(y, x.T) > 1 / 8].mean()) + 1e-9
