"""How strong blur, noise and JPEG are, in four levels each, by a small learnt network.

DaLPSR-style, our reimplementation from the abstract and figure: label queries, one for each of 3
types x 4 levels, attend to tokens of the picture (their IRPAD). Here the tokens are fixed
statistics (`xpsr.prompts.traces`), which makes 0.14 million parameters enough. The weights and
their card are in `xpsr/estimator`; `python -m train.estimator train` makes them.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from xpsr.building import built
from xpsr.errors import XPSRError
from xpsr.prompts.traces import WIDTH, statistics

WEIGHTS = Path(__file__).parents[1] / "estimator" / "estimator.safetensors"
# Severity 0 and 1 of each type on the picture's own grid: sigma in pixels, standard deviation in
# levels of 255, JPEG quality. Values outside count as the nearest.
RANGES = {"blur": (0.2, 3.0), "noise": (1.0, 30.0), "jpeg": (95.0, 30.0)}
LEVELS = 4
KNOTS = 33  # of the scale from levels to parameters
MIN_SIDE = 16
CROP = 128  # as large as the largest it was trained on
CROPS = 3  # along each side at most


def level_of(name: str, value: float) -> int:
    """The level, 0 to 3, that a parameter of a type ("blur", "noise", "jpeg") falls into."""
    low, high = RANGES[name]
    severity = (value - low) / (high - low)
    return min(max(int(severity * LEVELS), 0), LEVELS - 1)


@dataclass(frozen=True)
class Estimate:
    """What was found.

    Attributes:
        blur, noise, jpeg: probabilities of the four levels; each row sums to one.
        values: the parameter of each type to be expected, in units of `RANGES`.
    """

    blur: tuple[float, ...]
    noise: tuple[float, ...]
    jpeg: tuple[float, ...]
    values: tuple[float, ...]

    def level(self, name: str) -> int:
        """The most probable level of a type, 0 to 3."""
        row = getattr(self, name)
        return row.index(max(row))

    def confidence(self, name: str) -> float:
        """The probability of that level."""
        return max(getattr(self, name))

    def value(self, name: str) -> float:
        """The parameter of a type to be expected."""
        return self.values[tuple(RANGES).index(name)]


class Estimator(nn.Module):
    """12 label queries that attend to the tokens of a picture, `depth` times, and a logit each."""

    def __init__(self, groups: int, width: int = 64, depth: int = 2, heads: int = 4):
        super().__init__()
        self.mean: Tensor
        self.deviation: Tensor
        self.temperature: Tensor
        self.scale: Tensor
        self.register_buffer("mean", torch.zeros(groups, WIDTH))
        self.register_buffer("deviation", torch.ones(groups, WIDTH))
        self.register_buffer("temperature", torch.ones(len(RANGES), 1))
        # Of each type: expected levels, rising, and the parameters that they stand for.
        ends = torch.tensor([[[0.0, LEVELS - 1.0], ends] for ends in RANGES.values()])
        self.register_buffer("scale", F.interpolate(ends, KNOTS, mode="linear", align_corners=True))
        self.embed = nn.Parameter(torch.randn(groups, WIDTH, width) * WIDTH**-0.5)
        self.place = nn.Parameter(torch.zeros(groups, width))
        self.token_norm = nn.LayerNorm(width)
        self.queries = nn.Parameter(torch.randn(len(RANGES) * LEVELS, width))
        self.layers = nn.ModuleList(Layer(width, heads) for _ in range(depth))
        self.logit = nn.Linear(width, 1)

    def forward(self, tokens: Tensor) -> Tensor:
        """Statistics (B, groups, WIDTH) → calibrated logits (B, 3 types, 4 levels)."""
        known = ((tokens - self.mean) / self.deviation).clamp(-5, 5)
        x = torch.einsum("bgw,gwd->bgd", known, self.embed) + self.place
        x = self.token_norm(F.gelu(x))
        queries = self.queries.expand(len(x), -1, -1)
        for layer in self.layers:
            queries = layer(queries, x)
        logits = self.logit(queries).reshape(len(x), len(RANGES), LEVELS)
        return logits / self.temperature

    def expected(self, probabilities: Tensor) -> Tensor:
        """Probabilities (…, 3 types, 4 levels) → the level to be expected, (…, 3), 0 to 3."""
        return probabilities @ torch.arange(LEVELS).to(probabilities)

    def values(self, probabilities: Tensor) -> tuple[float, ...]:
        """Probabilities (3, 4) → the parameters that were true, on average, where it said so."""
        scale = zip(self.expected(probabilities).tolist(), self.scale.numpy(), strict=True)
        return tuple(float(np.interp(level, x, y)) for level, (x, y) in scale)


class Layer(nn.Module):
    """Cross-attention, normalisation, feed-forward, normalisation: the drawing's block."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.feed = nn.Sequential(
            nn.Linear(width, 3 * width), nn.GELU(), nn.Dropout(0.1), nn.Linear(3 * width, width)
        )

    def forward(self, queries: Tensor, tokens: Tensor) -> Tensor:
        found, _ = self.attention(queries, tokens, tokens, need_weights=False)
        queries = self.norm1(queries + found)
        return self.norm2(queries + self.feed(queries))


def tokens_of(image: Image.Image) -> Tensor:
    """Statistics of a picture as (groups, WIDTH), short groups filled up with zeros."""
    groups = statistics(image).values()
    tokens = torch.zeros(len(groups), WIDTH)
    for token, group in zip(tokens, groups, strict=True):
        token[: len(group)] = torch.from_numpy(group)
    return tokens


def check_size(image: Image.Image) -> None:
    """Refuse a picture of less than 16 pixels on a side, of which nothing can be told."""
    if min(image.size) < MIN_SIDE:
        raise XPSRError(
            f"The picture is {image.width} x {image.height} pixels: "
            f"it needs at least {MIN_SIDE} on each side to be described."
        )


@lru_cache(maxsize=1)
def load_estimator(path: Path = WEIGHTS) -> Estimator:
    """The trained network, on the CPU, ready to be called."""
    weights = load_file(path)
    network = built(lambda: Estimator(*weights["place"].shape))
    network.load_state_dict(weights)
    return network.eval()


@torch.no_grad()
def estimate(image: Image.Image, network: Estimator | None = None) -> Estimate:
    """Estimate the degradations of a picture of any mode, at least 16 x 16 pixels.

    It is never resized, which would change what is measured. Large pictures are seen through up to
    3 x 3 crops of 128 pixels, whose log-probabilities are averaged: crops that are sure count more.

    Args:
        image: the picture.
        network: another one than the shipped one.

    Raises:
        XPSRError: the picture is smaller than 16 pixels on a side.
    """
    check_size(image)
    network = network or load_estimator()
    tokens = torch.stack([tokens_of(image.crop(box)) for box in _boxes(*image.size)])
    logs = network(tokens).log_softmax(dim=2).mean(dim=0)
    rows = logs.double().softmax(dim=1)
    return Estimate(*(tuple(row) for row in rows.tolist()), values=network.values(rows))


def _boxes(width: int, height: int) -> list[tuple[int, int, int, int]]:
    """Crops spread evenly; a side of less than one and a half crops is one piece."""
    spans = []
    for side in (width, height):
        count = 1 if side < 1.5 * CROP else min(-(-side // CROP), CROPS)
        length = side if count == 1 else CROP
        starts = [round(k * (side - length) / max(count - 1, 1)) for k in range(count)]
        spans.append([(start, start + length) for start in starts])
    return [(left, top, right, bottom) for top, bottom in spans[1] for left, right in spans[0]]
