"""Samples whose content text decides something, so that a model learns to listen to it.

Whatever a describer reads off a picture the network sees as well, and texts that tell it nothing
new are ignored. In some samples the text therefore calls the picture smoother or richer in detail
than it is, and the target is made just that.
"""

import numpy as np
from scipy.ndimage import gaussian_filter

# In the words of the measured describer, and one degree above them.
DETAIL = ("smooth", "moderately detailed", "detailed", "very detailed")


def reworded(text: str, random: np.random.Generator) -> tuple[str, int]:
    """The text with another word for the detail, and by how many degrees it rises (-3 to 3).

    A text without such a word comes back as it is, with 0.
    """
    found = degree(text)
    if found is None:
        return text, 0
    wanted = int(random.choice([i for i in range(len(DETAIL)) if i != found]))
    return text.replace(f"It is {DETAIL[found]}", f"It is {DETAIL[wanted]}"), wanted - found


def degree(text: str) -> int | None:
    """Which of `DETAIL` the text calls the picture; None = nothing is said."""
    return next((i for i, word in enumerate(DETAIL) if f"It is {word}" in text), None)


def sharpened(picture: np.ndarray, strength: float) -> np.ndarray:
    """The difference from a blur of 1.5 pixels, added `strength` times; below 0 it softens.

    Args:
        picture: (H, W, 3) 8-bit.
        strength: -1 is the blur itself.
    """
    if not strength:
        return picture
    exact = picture.astype(np.float32)
    sharp = exact + strength * (exact - gaussian_filter(exact, (1.5, 1.5, 0)))
    return sharp.clip(0, 255).round().astype(np.uint8)
