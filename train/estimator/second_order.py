"""Photo → a crop after the second-order degradation, and how blurred and noisy that left it.

Twice blurred, resized, noisy and compressed, a picture has no single parameter of either. What
counts is what can be seen at the end, so blur is the Gaussian that fits best between the shrunk
original and the picture, and noise what that blur does not explain in the plain parts. JPEG is the
quality of the last compression.
"""

import numpy as np
import torch
from PIL import Image
from scipy import ndimage
from torchvision.transforms.functional import to_tensor

from train.blurring import blurred_like
from train.estimator.samples import SIDES, Sample
from train.pairing import PairConfig, make_pair
from xpsr.errors import XPSRError

UPSCALE = 4
RECIPE = {"paper": 0.6, "mild": 0.3, "heavy": 0.1}
SCALES = (1.0, 0.75, 0.5)
WIDTHS = (0.0, 0.3, 0.5, 0.7, 0.9, 1.1, 1.3, 1.5, 1.75, 2.0, 2.3, 2.6, 3.0, 3.5, 4.0, 5.0)
PLAIN = 1 / 3  # of the picture, where it is least busy
SLOW = 3.0  # pixels; slower changes are light and colour


def make_second_order(photo: Image.Image, seed: int, *, side: int | None = None) -> Sample:
    """Degrade a random crop of a photo as a training pair; every decision is drawn from `seed`.

    Args:
        photo: each side at least 192 pixels, or four times `side`.
        seed: same seed, same sample.
        side: of the result in pixels; drawn from `SIDES`, as far as the photo allows, if None.

    Raises:
        XPSRError: the photo is too small.
    """
    least = UPSCALE * (side or SIDES[0])
    if min(photo.size) < least:
        raise XPSRError(f"A photo needs {least} pixels on each side to be degraded twice.")
    if side is None:
        largest = min(SIDES[1], min(photo.size) // UPSCALE)
        side = int(np.random.default_rng([seed, 1]).integers(SIDES[0], largest + 1))
    config = PairConfig(size=UPSCALE * side, upscale=UPSCALE, recipe=RECIPE, scales=SCALES)
    clean, low, drawn = make_pair(photo, config, seed)
    blur, noise = what_is_seen(clean, low)
    return Sample(low, {"blur": blur, "noise": noise, "jpeg": float(drawn["jpeg2"])}, drawn)


def what_is_seen(clean: Image.Image, low: Image.Image) -> tuple[float, float]:
    """Sigma of the blur in pixels of `low`, and standard deviation of the noise of 255."""
    original, seen = (to_tensor(image)[None] * 255 for image in (clean, low))
    shrunk = torch.nn.functional.avg_pool2d(original, clean.width // low.width)
    blurred, best = blurred_like(shrunk, seen, WIDTHS)
    noise = (seen - blurred)[0].numpy()
    noise = noise - ndimage.gaussian_filter(noise, (0, SLOW, SLOW))
    slope = ndimage.gaussian_gradient_magnitude(blurred[0].mean(dim=0).numpy(), 1.0)
    busy = ndimage.uniform_filter(slope, 5)
    plain = busy <= np.quantile(busy, PLAIN)
    return WIDTHS[int(best)], float(np.sqrt(np.square(noise[:, plain]).mean()))
