"""The ControlNet's first guess: an enlarged picture → the same without its damage, in one pass."""

from itertools import pairwise, repeat

import torch
from diffusers.models.embeddings import TextTimeEmbedding
from torch import Tensor, nn
from torch.nn import functional as F

from xpsr.models.residual_block import ResidualBlock

CALM = 0.25  # of a pooled text, so that a step of the optimiser moves features by little
UPSCALE = 4  # it works at the size that the picture had before it was enlarged
LIMIT = 3.0  # of the blocks' features; those of photos stay below it nearly everywhere


class DegradationFreePredictor(nn.Module):
    """A small U-Net that adds to the enlarged picture what it lacks.

    The degradation-free constraint (paper, sec. 3.4) asks the ControlNet for clean pixels as a
    by-product of its features. Here that prediction is full size and the networks diffuse what it
    leaves out, so that no step is spent on what one look can tell. As no noise comes in,
    it learns by plain regression, and long before the rest.

    Args:
        widths: channels at 1/4, 1/8, … of the picture's side.
        text_width: of the text embeddings that decide along; None = none do.
        blocks: residual blocks a level, on the way down and again on the way up.
    """

    def __init__(self, widths: tuple[int, ...], text_width: int | None = None, blocks: int = 2):
        super().__init__()

        def level(width: int) -> nn.Sequential:
            return nn.Sequential(*(ResidualBlock(width, LIMIT) for _ in range(blocks)))

        pairs = list(pairwise(widths))
        patch = 3 * UPSCALE**2
        self.conv_in = nn.Conv2d(patch, widths[0], 3, padding=1)
        self.down_levels = nn.ModuleList(level(width) for width in widths)
        self.shrink = nn.ModuleList(nn.Conv2d(a, b, 2, stride=2) for a, b in pairs)
        self.grow = nn.ModuleList(nn.ConvTranspose2d(b, a, 2, stride=2) for a, b in pairs)
        self.up_levels = nn.ModuleList(level(width) for width in widths[:-1])
        self.conv_out = nn.Conv2d(widths[0], patch, 3, padding=1)
        # Starts as the picture itself, or nearly.
        with torch.no_grad():
            self.conv_out.weight.mul_(0.1)
            self.conv_out.bias.mul_(0.1)

        # One after the other as the blocks are passed: all the way down, then up.
        passed = [*widths, *reversed(widths[:-1])]
        self.block_widths = [width for width in passed for _ in range(blocks)]
        self.reader = TextReader(text_width, self.block_widths) if text_width else None

    def forward(
        self, picture: Tensor, high: Tensor | None = None, low: Tensor | None = None
    ) -> Tensor:
        """(B, 3, H, W) in [0, 1] → the same shape and about the same range.

        Args:
            picture: the enlarged low-resolution one.
            high, low: text embeddings (B, L, D); read by a predictor that has a reader.
        """
        told = iter(self.reader(high, low)) if self.reader and high is not None else repeat(None)

        def passed(blocks: nn.Module, x: Tensor) -> Tensor:
            for block in blocks:
                x = block(x, next(told))
            return x

        multiple = UPSCALE * 2 ** len(self.shrink)
        height, width = picture.shape[-2:]
        padding = (0, -width % multiple, 0, -height % multiple)
        patches = F.pixel_unshuffle(F.pad(picture, padding, mode="replicate"), UPSCALE)
        # Channels last: the norms go along them, and CPUs convolve faster so.
        x = self.conv_in(patches.contiguous(memory_format=torch.channels_last))
        skips = []
        for level, shrink in zip(self.down_levels, self.shrink, strict=False):
            x = passed(level, x)
            skips.append(x)
            x = shrink(x)
        x = passed(self.down_levels[-1], x)
        for level, grow in zip(reversed(self.up_levels), reversed(self.grow), strict=True):
            x = passed(level, grow(x) + skips.pop())
        missing = F.pixel_shuffle(self.conv_out(x), UPSCALE)
        return picture + missing[..., :height, :width]


class TextReader(nn.Module):
    """Two texts → how every block scales and shifts its features. A fresh one changes nothing.

    Args:
        text_width: of the embeddings.
        widths: channels of the blocks.
    """

    def __init__(self, text_width: int, widths: list[int], layers: int = 2, heads: int = 4):
        super().__init__()
        self.place = nn.Parameter(torch.zeros(2, text_width))  # which of the two a token is of
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                text_width, heads, 4 * text_width, dropout=0, batch_first=True, norm_first=True
            )
            for _ in range(layers)
        )
        self.width = 2 * text_width
        self.pool = TextTimeEmbedding(text_width, self.width, heads)
        self.tell = nn.ModuleList(nn.Linear(self.width, 2 * width) for width in widths)
        for linear in self.tell:
            nn.init.zeros_(linear.weight)
            nn.init.zeros_(linear.bias)

    def forward(self, high: Tensor, low: Tensor) -> list[Tensor]:
        """(B, L, D) each → (B, 2·width) for every block."""
        said = CALM * self.said(high, low)
        return [linear(said) for linear in self.tell]

    def said(self, high: Tensor, low: Tensor) -> Tensor:
        """What both texts say, (B, 2·D), however long they are."""
        x = torch.cat([high + self.place[0], low + self.place[1]], dim=1)
        for layer in self.layers:
            x = layer(x)
        return self.pool(x)
