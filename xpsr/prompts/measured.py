"""Describes a picture from its own statistics: no download, a fraction of a second.

The figures measured here are estimates of what was done to the picture, and more blur, noise or
compression never reads as less. They miss what was resized or compressed afterwards, so the words
for these three come from the degradation estimator as well. The words are graded in few fixed
levels, because `mini` learned their meaning from exactly these sentences.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy import ndimage

from xpsr.prompts import scene
from xpsr.prompts.description import Description
from xpsr.prompts.estimator import LEVELS, check_size, estimate

MAX_SIDE = 768  # larger pictures are measured on a middle part: resizing would hide the defects
MAX_BLUR = 8.0  # pixels; beyond it nothing can be told apart
Words = tuple[tuple[float, str], ...]

LEAST_CONTRAST = 0.01
# From which figures of the estimator on there is slight, visible, strong damage, and so on: sigma
# of the noise, quality of the JPEG, which it cannot tell below 34. Small photographs without any
# noise are taken for 2 to 6.
ESTIMATED_NOISE = (5.0, 9.0, 16.0, 28.0)
ESTIMATED_JPEG = (75.0, 60.0, 48.0)

# A level is the first whose limit lies above the figure; the last has none.
BLUR_WORDS = (
    (0.7, "The image is sharp."),
    (1.3, "The image is slightly blurry."),
    (2.2, "The image is blurry."),
    (3.6, "The image is very blurry."),
    (np.inf, "The image is extremely blurry."),
)
NOISE_WORDS = (
    (3.5, "There is no noise."),
    (8.0, "There is slight noise."),
    (16.0, "There is visible noise."),
    (28.0, "There is strong noise."),
    (np.inf, "There is very strong noise."),
)
JPEG_WORDS = (
    (0.02, "There are no JPEG blocks."),
    (0.07, "JPEG blocks are faint."),
    (0.15, "JPEG blocks are visible."),
    (0.30, "JPEG blocks are clearly visible."),
    (np.inf, "JPEG blocks are very strong."),
)
EXPOSURE_WORDS = (
    (0.14, "very dark"),
    (0.27, "dark"),
    (0.38, "slightly dark"),
    (0.62, "normally bright"),
    (0.72, "slightly bright"),
    (0.84, "bright"),
    (np.inf, "very bright"),
)
CONTRAST_WORDS = ((0.2, "very low"), (0.42, "low"), (0.75, "normal"), (np.inf, "high"))
SATURATION_WORDS = ((0.13, "muted"), (0.38, "natural"), (np.inf, "vivid"))


@dataclass(frozen=True)
class Measurements:
    """What was measured; every field is a float.

    Args:
        blur: width of the blur as the sigma of a Gaussian, in pixels, 0 (sharp) to 8.
        noise: sigma of the noise in one colour channel, in levels of 0..255.
        jpeg: strength of a block grid, 0 (none) to 1 (nothing but blocks).
        brightness: mean luma, 0..1.
        contrast: luma between the darkest and the brightest 5 % of the picture, 0..1.
        saturation: mean distance between the strongest and the weakest colour channel, 0..1.
        cast: how far the strongest and the weakest channel of the greys lie apart, 0..1.
        cast_hue: its direction in degrees (0 red, 120 green, 240 blue).
    """

    blur: float
    noise: float
    jpeg: float
    brightness: float
    contrast: float
    saturation: float
    cast: float
    cast_hue: float


class Damage(NamedTuple):
    """Levels of blur, noise and JPEG, 0 (none) to 4; each has a sentence."""

    blur: int
    noise: int
    jpeg: int


def measure(image: Image.Image) -> Measurements:
    """Measure a picture of at least 16 x 16 pixels, in its own pixels (it is never resized).

    Raises:
        XPSRError: the picture is smaller than 16 pixels on a side.
    """
    check_size(image)
    rgb = np.asarray(_middle(image.convert("RGB")), dtype=np.float64)
    luma = rgb @ scene.LUMA
    # Grey noise and independent noise of the channels must read the same, so each channel counts.
    noise = float(np.median([_noise(rgb[..., c]) for c in range(3)]))
    tone = scene.tone(image)
    return Measurements(_blur(luma, _noise(luma)), noise, _blocks(luma), *tone)


class MeasuredDescriber:
    """Describes by measuring; says so in its source and never claims to recognise anything."""

    name = "measured"

    def describe(self, image: Image.Image) -> Description:
        """Describe a picture of at least 16 x 16 pixels; raises XPSRError for a smaller one."""
        found = measure(image)
        said = sentences(found, damage(image, found))
        return Description(scene.sentences(image), said, self.name)


def damage(image: Image.Image, found: Measurements) -> Damage:
    """Which words fit the blur, noise and JPEG of a picture, whose `measure` gave `found`."""
    own = Damage(
        rank(found.blur, BLUR_WORDS), rank(found.noise, NOISE_WORDS), rank(found.jpeg, JPEG_WORDS)
    )
    if found.contrast < LEAST_CONTRAST:
        return own  # nothing in it that damage could be told from
    guess = estimate(image)
    blur = rank(guess.value("blur"), BLUR_WORDS)
    if guess.level("blur") == LEVELS - 1:
        blur = max(blur, own.blur)  # it may lie beyond the estimator's scale
    # The figures measured here miss much of these two and invent nothing.
    noise = sum(guess.value("noise") >= limit for limit in ESTIMATED_NOISE)
    jpeg = sum(guess.value("jpeg") < limit for limit in ESTIMATED_JPEG)
    return Damage(blur, max(noise, own.noise), max(jpeg, own.jpeg))


def sentences(found: Measurements, levels: Damage) -> str:
    """Put measurements into the fixed low-level sentences."""
    light = (
        f"It is {level(found.brightness, EXPOSURE_WORDS)} "
        f"with {level(found.contrast, CONTRAST_WORDS)} contrast."
    )
    return " ".join(
        (
            BLUR_WORDS[levels.blur][1],
            NOISE_WORDS[levels.noise][1],
            JPEG_WORDS[levels.jpeg][1],
            light,
            _colour_sentence(found),
        )
    )


def level(figure: float, words: Words) -> str:
    """Pick the word of the level that a figure falls into."""
    return words[rank(figure, words)][1]


def rank(figure: float, words: Words) -> int:
    """Which level that is, 0 for the first."""
    return next(number for number, (limit, _) in enumerate(words) if figure < limit)


def _colour_sentence(found: Measurements) -> str:
    if found.saturation < 0.025:
        return "It is black and white."
    colours = level(found.saturation, SATURATION_WORDS)
    if found.cast < 0.15:
        return f"The colours are {colours}."
    strength = "slight" if found.cast < 0.3 else "strong"
    return f"The colours are {colours} with a {strength} {scene.hue_name(found.cast_hue)} cast."


def _middle(image: Image.Image) -> Image.Image:
    width, height = (min(side, MAX_SIDE) for side in image.size)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))


def _noise(plane: np.ndarray) -> float:
    """Sigma of white noise: the diagonal high-pass in the calmest fifth of the small blocks.

    Calm blocks keep texture and edges out (Immerkaer's mask; 1.13 undoes the bias of the choice).
    """
    mask = np.array([1.0, -2.0, 1.0]) / np.sqrt(6.0)
    high = ndimage.convolve1d(ndimage.convolve1d(plane, mask, axis=0), mask, axis=1)[1:-1, 1:-1]
    side = 8 if min(high.shape) >= 46 else 4
    rows, cols = (length // side for length in high.shape)
    blocks = high[: rows * side, : cols * side].reshape(rows, side, cols, side)
    return float(1.13 * np.sqrt(np.quantile((blocks**2).mean(axis=(1, 3)), 0.2)))


def _blur(luma: np.ndarray, noise: float) -> float:
    """Sigma of the blur, from how fast the gradient energy falls under more smoothing.

    The energy after a Gaussian of variance t is a Laplace transform of the spectrum, so it is
    log-convex in t: the ratio at two scales can only fall when the picture was blurred more.
    That makes the estimate monotone for any picture. White noise adds a known energy, which is
    subtracted; where noise is strong both scales grow, so that little of it has to be.
    """
    # A little too much is taken off: what is left of the noise must not read as sharpness.
    power = 1.08 * noise**2
    fine = max(1.0, np.sqrt(noise / 9.0))
    coarse = fine + 2.0
    small = _gradient_energy(luma, fine)
    if small < 1e-3:
        return 0.0  # an empty picture has nothing that could be blurred
    small -= power * _noise_gain(fine)
    large = _gradient_energy(luma, coarse) - power * _noise_gain(coarse)
    if large <= 0.0:
        return MAX_BLUR  # nothing stands out of the noise
    # Photos lie between isolated edges (exponent 1/2) and a 1/f spectrum (exponent 1).
    ratio = max(small / large, 1.0 + 1e-6) ** (1 / 0.75)
    variance = (coarse**2 - ratio * fine**2) / (ratio - 1.0)
    return float(np.sqrt(min(max(variance, 0.0), MAX_BLUR**2)))


def _gradient_energy(plane: np.ndarray, sigma: float) -> float:
    smooth = ndimage.gaussian_filter(plane, sigma)
    return float((np.diff(smooth, axis=0) ** 2).mean() + (np.diff(smooth, axis=1) ** 2).mean())


@lru_cache(maxsize=256)
def _noise_gain(sigma: float) -> float:
    """Gradient energy that white noise of sigma 1 leaves after a Gaussian."""
    line = np.zeros(8 * int(np.ceil(sigma)) + 9)
    line[len(line) // 2] = 1.0
    line = ndimage.gaussian_filter1d(line, sigma)
    return float(2.0 * (line**2).sum() * (np.diff(line) ** 2).sum())


def _blocks(luma: np.ndarray) -> float:
    """Strength of an 8-pixel grid at any offset; also of one that was enlarged 2 or 4 times."""
    strength = 0.0
    for factor, doubt in ((1, 2.6), (2, 3.5), (4, 4.5)):
        if factor > 1 and min(luma.shape) < 64 * factor:
            break
        rows, cols = (length // factor for length in luma.shape)
        cells = luma[: rows * factor, : cols * factor].reshape(rows, factor, cols, factor)
        strength = max(strength, _grid(cells.mean(axis=(1, 3)), doubt))
    return strength


def _grid(plane: np.ndarray, doubt: float) -> float:
    """How much more often steps stand alone on every eighth line than between, 0..1.

    Args:
        plane: (H, W) luma.
        doubt: how many standard errors have to be exceeded before it counts.
    """
    shares, errors = [], []
    for part in (plane, plane.T):
        step = np.abs(np.diff(part, axis=1))
        alone = step[:, 1:-1] - np.maximum(step[:, :-2], step[:, 2:])
        # Limited: the step of a block edge must not drown in the hard edges of the scene.
        line = alone.clip(0.0, 12.0).mean(axis=0) / 12.0
        periods = line[: len(line) // 8 * 8].reshape(-1, 8)
        phases = periods.mean(axis=0)
        total = phases.sum() + 0.07
        errors.append((periods - phases).std() / np.sqrt(len(periods)) / total)
        phases = np.roll(phases, -int(phases.argmax()))
        # An enlarged picture repeats every 2 or 4 lines as well: that is no block grid.
        rest = max(sorted(phases[1:])[3], phases[4], (phases[2] + phases[6]) / 2.0)
        shares.append((phases[0] - rest) / total)
    # Even without a grid the strongest of eight offsets stands out, and more so where a scene has
    # a few strong upright or level lines, which the spread between the periods shows.
    chance = max(doubt * np.sqrt(np.mean(np.square(errors))), 1.5 / np.sqrt(plane.size), 0.008)
    return float(max(np.mean(shares) - chance, 0.0))
