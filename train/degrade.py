"""Clean photo → low-resolution picture, by the second-order degradation of Real-ESRGAN.

Twice blur, resize, noise and JPEG, with every decision drawn for this one picture from one
generator, so that a seed makes the same pair again. The ranges are those XPSR was trained with
(`PAPER`); `MILD` and `HEAVY` are for evaluation beside it.
"""

import io
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms.functional import rgb_to_grayscale

from train.kernels import KIND_PROBABILITIES, KINDS, gaussian_family, sinc

RESIZE_MODES = ("area", "bilinear", "bicubic")


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One round of blur, resize, noise. Ranges are (low, high).

    Attributes:
        blur_probability: chance of any blur.
        sinc_probability: chance that the blur is a sinc kernel.
        sigma: width of the Gaussian kernels in pixels.
        resize_probabilities: chances to enlarge, to shrink, to keep.
        resize: factor on the side (first stage: of the photo; second: of the result).
        gaussian_probability: chance of Gaussian noise; otherwise Poisson noise.
        noise: Gaussian sigma in grey levels of 255.
        poisson: scale of the Poisson noise.
        gray_probability: chance that the noise is the same in all channels.
    """

    blur_probability: float = 1.0
    sinc_probability: float = 0.1
    sigma: tuple[float, float]
    resize_probabilities: tuple[float, float, float]
    resize: tuple[float, float]
    gaussian_probability: float = 0.5
    noise: tuple[float, float]
    poisson: tuple[float, float]
    gray_probability: float = 0.4


@dataclass(frozen=True, kw_only=True)
class Degradation:
    """Two stages, their JPEG qualities, and the final sinc filter."""

    first: Stage
    second: Stage
    jpeg: tuple[float, float]
    final_sinc_probability: float = 0.8


# The authors' ranges (their make_train.py).
PAPER = Degradation(
    first=Stage(
        sigma=(0.2, 3.0),
        resize_probabilities=(0.2, 0.7, 0.1),
        resize=(0.15, 1.5),
        noise=(1, 30),
        poisson=(0.05, 3.0),
    ),
    second=Stage(
        blur_probability=0.8,
        sigma=(0.2, 1.5),
        resize_probabilities=(0.3, 0.4, 0.3),
        resize=(0.3, 1.2),
        noise=(1, 25),
        poisson=(0.05, 2.5),
    ),
    jpeg=(30, 95),
)
MILD = Degradation(
    first=Stage(
        blur_probability=0.7,
        sigma=(0.2, 1.2),
        resize_probabilities=(0.1, 0.3, 0.6),
        resize=(0.6, 1.2),
        noise=(0.5, 6),
        poisson=(0.02, 0.4),
    ),
    second=Stage(
        blur_probability=0.3,
        sigma=(0.2, 0.6),
        resize_probabilities=(0.1, 0.2, 0.7),
        resize=(0.8, 1.2),
        noise=(0.5, 4),
        poisson=(0.02, 0.3),
    ),
    jpeg=(75, 95),
    final_sinc_probability=0.3,
)
HEAVY = Degradation(
    first=Stage(
        sigma=(1.5, 3.5),
        resize_probabilities=(0.1, 0.9, 0.0),
        resize=(0.15, 0.6),
        noise=(15, 35),
        poisson=(1.0, 3.5),
    ),
    second=Stage(
        sigma=(0.5, 1.8),
        resize_probabilities=(0.2, 0.6, 0.2),
        resize=(0.3, 1.0),
        noise=(8, 25),
        poisson=(0.5, 2.5),
    ),
    jpeg=(25, 60),
)
RECIPES = {"paper": PAPER, "mild": MILD, "heavy": HEAVY}


def degrade(
    photo: Tensor,
    recipe: Degradation,
    random: np.random.Generator,
    upscale: int = 4,
    shared: np.random.Generator | None = None,
) -> tuple[Tensor, dict]:
    """One pair's low-resolution side.

    Args:
        photo: (3, H, W) in [0, 1], sides multiples of `upscale`, on any device.
        recipe: the ranges.
        random: every decision is drawn from it.
        upscale: how much smaller the result is.
        shared: what the authors draw for a whole batch is drawn from this one instead: the resizes,
            the kind of noise, whether there is a second blur, the order at the end.

    Returns:
        The picture (3, H/upscale, W/upscale) in [0, 1], 8-bit values, and every parameter drawn.
    """
    shared = random if shared is None else shared
    height, width = photo.shape[1] // upscale, photo.shape[2] // upscale
    drawn: dict = {}
    x = photo[None]
    x = _blur(x, recipe.first, random, shared, drawn, "blur1")
    x = _resize(x, photo.shape[1:], recipe.first, shared, drawn, "resize1")
    x = _noise(x, recipe.first, random, shared, drawn, "noise1")
    x = _jpeg(x, recipe.jpeg, random, drawn, "jpeg1")
    x = _blur(x, recipe.second, random, shared, drawn, "blur2")
    x = _resize(x, (height, width), recipe.second, shared, drawn, "resize2")
    x = _noise(x, recipe.second, random, shared, drawn, "noise2")
    # Half of the pictures are compressed after the last resize and half before, as cameras and
    # web sites do.
    drawn["jpeg_last"] = bool(shared.random() < 0.5)
    if drawn["jpeg_last"]:
        x = _final(x, (height, width), recipe, random, shared, drawn)
        x = _jpeg(x, recipe.jpeg, random, drawn, "jpeg2")
    else:
        x = _jpeg(x, recipe.jpeg, random, drawn, "jpeg2")
        x = _final(x, (height, width), recipe, random, shared, drawn)
    return (x[0].clamp(0, 1) * 255).round() / 255, drawn


def sharpen(photo: Tensor, weight: float = 0.5, threshold: float = 10 / 255) -> Tensor:
    """Unsharp masking as in Real-ESRGAN: 51 pixels wide, only where the difference is visible.

    Args:
        photo: (3, H, W) in [0, 1].
        weight: share of the difference from the blurred photo that is added.
        threshold: smaller differences are noise and stay as they are.
    """
    kernel = gaussian_family(51, "iso", (8.0, 8.0), 0.0, 1.0)  # the width OpenCV gives 51 pixels
    x = photo[None]
    difference = x - _filter(x, kernel)
    where = _filter((difference.abs() > threshold).float(), kernel)
    return (x + where * ((x + weight * difference).clamp(0, 1) - x))[0].clamp(0, 1)


def _blur(
    x: Tensor,
    stage: Stage,
    random: np.random.Generator,
    shared: np.random.Generator,
    drawn: dict,
    name: str,
) -> Tensor:
    if shared.random() >= stage.blur_probability:
        return x
    size = _kernel_size(random)
    if random.random() < stage.sinc_probability:
        cutoff = float(random.uniform(np.pi / 3 if size < 13 else np.pi / 5, np.pi))
        drawn[name] = {"kind": "sinc", "size": size, "cutoff": cutoff}
        return _filter(x, sinc(size, cutoff))
    kind = str(random.choice(KINDS, p=KIND_PROBABILITIES))
    sigma = tuple(float(s) for s in random.uniform(*stage.sigma, size=2))
    angle = float(random.uniform(-np.pi, np.pi))
    beta = _beta(kind, random)
    drawn[name] = {"kind": kind, "size": size, "sigma": sigma, "angle": angle, "beta": beta}
    return _filter(x, gaussian_family(size, kind, sigma, angle, beta))


def _kernel_size(random: np.random.Generator) -> int:
    return int(random.choice(np.arange(7, 22, 2)))


def _beta(kind: str, random: np.random.Generator) -> float:
    """Half of them below 1 and half above, wherever in the range 1 is; a plateau's begins at 1."""
    low, high = (1, 2) if kind.startswith("plateau") else (0.5, 4)
    return float(random.uniform(*((low, 1) if random.random() < 0.5 else (1, high))))


def _filter(x: Tensor, kernel: np.ndarray) -> Tensor:
    weight = torch.from_numpy(kernel).to(x).expand(3, 1, *kernel.shape)
    half = kernel.shape[0] // 2
    # A picture can be smaller than the kernel after the first resize; reflection needs room.
    mode = "reflect" if min(x.shape[2:]) > half else "replicate"
    return F.conv2d(F.pad(x, (half,) * 4, mode=mode), weight, groups=3)


def _resize(
    x: Tensor,
    base: tuple[int, int],
    stage: Stage,
    random: np.random.Generator,
    drawn: dict,
    name: str,
) -> Tensor:
    choice = random.choice(3, p=stage.resize_probabilities)
    low, high = stage.resize
    factor = [random.uniform(1, max(high, 1)), random.uniform(low, min(high, 1)), 1.0][choice]
    mode = str(random.choice(RESIZE_MODES))
    drawn[name] = {"factor": float(factor), "mode": mode}
    return _to_size(x, tuple(max(4, int(side * factor)) for side in base), mode)


def _to_size(x: Tensor, size: tuple[int, ...], mode: str) -> Tensor:
    if tuple(x.shape[2:]) == tuple(size):
        return x
    align = {} if mode == "area" else {"align_corners": False}
    return F.interpolate(x, size=size, mode=mode, **align)


def _noise(
    x: Tensor,
    stage: Stage,
    random: np.random.Generator,
    shared: np.random.Generator,
    drawn: dict,
    name: str,
) -> Tensor:
    gaussian = shared.random() < stage.gaussian_probability
    gray = random.random() < stage.gray_probability
    clean = x.clamp(0, 1)
    shape = (1, 1 if gray else 3, *x.shape[2:])
    if gaussian:
        sigma = float(random.uniform(*stage.noise))
        noise = torch.from_numpy(random.standard_normal(shape)).to(x) * (sigma / 255)
        drawn[name] = {"kind": "gaussian", "sigma": sigma, "gray": bool(gray)}
    else:
        scale = float(random.uniform(*stage.poisson))
        signal = ((rgb_to_grayscale(clean) if gray else clean) * 255).round() / 255
        # As many levels as the picture has, rounded up to a power of two: the photon count.
        levels = 2 ** np.ceil(np.log2(len(torch.unique(signal))))
        photons = torch.from_numpy(random.poisson((signal * levels).cpu().numpy())).to(x)
        noise = (photons / levels - signal) * scale
        drawn[name] = {"kind": "poisson", "scale": scale, "gray": bool(gray)}
    return (clean + noise).clamp(0, 1)


def _jpeg(
    x: Tensor, quality: tuple[float, float], random: np.random.Generator, drawn: dict, name: str
) -> Tensor:
    drawn[name] = round(float(random.uniform(*quality)))
    pixels = (x[0].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=drawn[name])
    decoded = np.array(Image.open(file), dtype=np.float32) / 255
    return torch.from_numpy(decoded).permute(2, 0, 1)[None].to(x.device)


def _final(
    x: Tensor,
    size: tuple[int, int],
    recipe: Degradation,
    random: np.random.Generator,
    shared: np.random.Generator,
    drawn: dict,
) -> Tensor:
    mode = str(shared.choice(RESIZE_MODES))
    drawn["final_resize"] = mode
    x = _to_size(x, size, mode)
    if random.random() < recipe.final_sinc_probability:
        kernel_size, cutoff = _kernel_size(random), float(random.uniform(np.pi / 3, np.pi))
        drawn["final_sinc"] = {"size": kernel_size, "cutoff": cutoff}
        x = _filter(x, sinc(kernel_size, cutoff))
    return x.clamp(0, 1)
