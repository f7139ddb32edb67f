"""Scores of a picture, by pyiqa; and of ours, does the result still agree with its input?

A score that cannot be had is a reason in words, never an exception and never a made-up number.
"""

import math
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

from xpsr.errors import XPSRError
from xpsr.image import resize, to_tensor
from xpsr.metric_models import judge
from xpsr.ssim import WINDOW, ssim

_RANDOM = threading.Lock()


@dataclass(frozen=True)
class Metric:
    """What a score means.

    Args:
        name: short name, as in `score(metrics=[...])`.
        label: name for people.
        low, high: the range it usually moves in.
        about: one plain line.
        lower_better: direction.
        needs_reference: compares with the true picture of the same size.
        needs_input: compares with the low-quality picture that the result was made from.
        needs_download: fetches weights at its first use.
        min_side: smallest side in pixels that it works for.
    """

    name: str
    label: str
    low: float
    high: float
    about: str
    lower_better: bool = False
    needs_reference: bool = False
    needs_input: bool = False
    needs_download: bool = False
    min_side: int = 1


@dataclass(frozen=True)
class Score:
    """One figure, or the reason why there is none (exactly one of the two is None)."""

    value: float | None
    reason: str | None = None


MAX_DECIBEL = 80.0  # what pyiqa gives for two equal pictures

_LIST = (
    Metric(
        "backprojection", "Agrees with the input", 0, MAX_DECIBEL,
        "The result made small again, against the input, in dB: low means it invented or changed.",
        needs_input=True,
    ),
    Metric(
        "piqe", "PIQE", 0, 100,
        "Looks for blur, blocks and noise in the picture alone.",
        lower_better=True,
    ),
    Metric(
        "psnr", "PSNR", 0, MAX_DECIBEL,
        "Brightness differences from the true picture, in dB.",
        needs_reference=True,
    ),
    Metric(
        "ssim", "SSIM", 0, 1,
        "Likeness of small structures to the true picture.",
        needs_reference=True, min_side=WINDOW,
    ),
    Metric(
        "ms_ssim", "MS-SSIM", 0, 1,
        "Likeness of structures from small to large to the true picture.",
        needs_reference=True, min_side=161,
    ),
    Metric(
        "gmsd", "GMSD", 0, 1,
        "Differences of the edges from the true picture.",
        lower_better=True, needs_reference=True,
    ),
    Metric(
        "fsim", "FSIM", 0, 1,
        "Likeness of the features that the eye notices to the true picture.",
        needs_reference=True,
    ),
    Metric(
        "vif", "VIF", 0, 1,
        "How much of the information in the true picture is still visible.",
        needs_reference=True, min_side=41,
    ),
    Metric(
        "lpips", "LPIPS", 0, 1,
        "Difference from the true picture as a trained network sees it.",
        lower_better=True, needs_reference=True, needs_download=True, min_side=64,
    ),
    Metric(
        "dists", "DISTS", 0, 1,
        "Difference of structure and texture from the true picture, by a trained network.",
        lower_better=True, needs_reference=True, needs_download=True, min_side=64,
    ),
    Metric(
        "niqe", "NIQE", 0, 100,
        "How unusual the picture is, measured against clean photos.",
        lower_better=True, needs_download=True, min_side=96,
    ),
    Metric(
        "brisque", "BRISQUE", 0, 150,
        "How disturbed the picture's fine statistics are.",
        lower_better=True, needs_download=True, min_side=32,
    ),
    Metric(
        "maniqa", "MANIQA", 0, 1,
        "Quality as people would rate it, guessed by a trained network.",
        needs_download=True, min_side=32,
    ),
    Metric(
        "clipiqa", "CLIP-IQA", 0, 1,
        'Whether the picture is closer to "good photo" than to "bad photo", by CLIP.',
        needs_download=True, min_side=32,
    ),
    Metric(
        "musiq", "MUSIQ", 0, 100,
        "Quality as people would rate it, looked at in several sizes.",
        needs_download=True, min_side=32,
    ),
)  # fmt: skip

METRICS: dict[str, Metric] = {metric.name: metric for metric in _LIST}


def score(
    image: Image.Image,
    *,
    reference: Image.Image | None = None,
    input: Image.Image | None = None,
    metrics: str | Iterable[str] | None = None,
) -> dict[str, Score]:
    """Score a picture.

    PSNR and SSIM look at the Y of BT.601 (16..235), MS-SSIM and GMSD at the luma, as usual.

    Args:
        image: RGB, 8 bits.
        reference: the true picture, of the same size.
        input: the low-quality picture that `image` was restored from.
        metrics: names, or one; None takes all that need no download and whose pictures are given.

    Raises:
        XPSRError: a name is unknown.
    """
    metrics = [metrics] if isinstance(metrics, str) else metrics
    names = list(metrics) if metrics is not None else _default_names(reference, input)
    check_names(names)
    return {name: _score_one(METRICS[name], image, reference, input) for name in names}


def check_names(names: Iterable[str]) -> None:
    """Refuse names of scores that there are none of.

    Raises:
        XPSRError: names the first of them.
    """
    for name in names:
        if name not in METRICS:
            raise XPSRError(f'There is no score "{name}"; there are {", ".join(METRICS)}.')


def to_json(scores: Mapping[str, Score]) -> dict[str, float | None]:
    """{name: figure, or None where there is none}; `reasons` has the sentences for those."""
    return {name: found.value for name, found in scores.items()}


def reasons(scores: Mapping[str, Score]) -> dict[str, str]:
    """{name: why there is no figure}, for the scores that have none."""
    return {name: found.reason or "" for name, found in scores.items() if found.value is None}


def backprojection(image: Image.Image, input: Image.Image) -> float:
    """PSNR in dB (RGB) between `image` reduced to the size of `input` (bicubic) and `input`."""
    small = np.asarray(resize(image.convert("RGB"), input.size), dtype=np.float64) / 255.0
    error = float(
        np.mean((small - np.asarray(input.convert("RGB"), dtype=np.float64) / 255.0) ** 2)
    )
    return -10.0 * math.log10(error + 10 ** (-MAX_DECIBEL / 10))


def _default_names(reference: Image.Image | None, input: Image.Image | None) -> list[str]:
    return [
        metric.name
        for metric in METRICS.values()
        if not metric.needs_download
        and (reference is not None or not metric.needs_reference)
        and (input is not None or not metric.needs_input)
    ]


def _score_one(
    metric: Metric,
    image: Image.Image,
    reference: Image.Image | None,
    input: Image.Image | None,
) -> Score:
    reason = _obstacle(metric, image, reference, input)
    if reason is not None:
        return Score(None, reason)
    if metric.needs_input and input is not None:
        return Score(backprojection(image, input))
    try:
        value = _ask(metric, image, reference if metric.needs_reference else None)
    except XPSRError as error:
        return Score(None, str(error))
    except Exception as error:  # the judges raise what they like on unusual pictures
        return Score(None, f"could not be computed for this picture ({type(error).__name__})")
    return Score(value) if math.isfinite(value) else Score(None, "has no value for such a picture")


def _obstacle(
    metric: Metric,
    image: Image.Image,
    reference: Image.Image | None,
    input: Image.Image | None,
) -> str | None:
    if metric.needs_reference:
        if reference is None:
            return "needs the true picture to compare with"
        if reference.size != image.size:
            theirs, ours = ("{} x {}".format(*size) for size in (reference.size, image.size))
            return f"needs equal sizes: the true picture has {theirs} pixels, this one {ours}"
    if metric.needs_input:
        if input is None:
            return "needs the picture that was restored"
        if input.width > image.width or input.height > image.height:
            return "needs a result that is at least as large as its input"
    if min(image.size) < metric.min_side:
        return f"needs a picture of at least {metric.min_side} pixels on each side"
    return None


def _ask(metric: Metric, image: Image.Image, reference: Image.Image | None) -> float:
    if metric.name == "ssim" and reference is not None:
        return ssim(image, reference)
    tensors = [to_tensor(picture) for picture in (image, reference) if picture is not None]
    ask = judge(metric.name, metric.needs_download)
    # Some judges draw random crops: the same picture must get the same score, and nobody else's
    # random numbers may move. All threads have the same generator, so one asks at a time.
    with _RANDOM, torch.random.fork_rng(devices=[]), torch.inference_mode():
        torch.default_generator.manual_seed(0)  # `torch.manual_seed` seeds the GPUs as well
        return float(ask(*tensors))
