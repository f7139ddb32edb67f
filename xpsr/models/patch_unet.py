"""The small U-Net of the embedded model: picture in, the same picture with something added out."""

from collections.abc import Sequence
from itertools import pairwise, repeat

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xpsr.models.residual_block import ResidualBlock

LIMIT = 3.0  # of the blocks' features; those of photos stay below it nearly everywhere


class PatchUNet(nn.Module):
    """Adds to a picture what it lacks, seen in patches of a few pixels. A fresh one adds little.

    Args:
        widths: channels at 1/patch, 1/(2·patch), … of the picture's side.
        patch: side in pixels of what the finest level takes for one place.
        blocks: residual blocks a level, on the way down and again on the way up.
    """

    def __init__(self, widths: tuple[int, ...], patch: int, blocks: int = 2):
        super().__init__()

        def level(width: int) -> nn.Sequential:
            return nn.Sequential(*(ResidualBlock(width, LIMIT) for _ in range(blocks)))

        pairs = list(pairwise(widths))
        self.patch = patch
        self.multiple = patch * 2 ** len(pairs)
        # How far a pixel is heard, in pixels: two convolutions a block, two blocks' ways a level.
        convolutions = [4 * blocks] * len(pairs) + [2 * blocks]
        heard = sum((count + 1) * patch * 2**k for k, count in enumerate(convolutions)) + 2 * patch
        self.reach = -(-heard // self.multiple) * self.multiple
        self.conv_in = nn.Conv2d(3 * patch**2, widths[0], 3, padding=1)
        self.down_levels = nn.ModuleList(level(width) for width in widths)
        self.shrink = nn.ModuleList(nn.Conv2d(a, b, 2, stride=2) for a, b in pairs)
        self.grow = nn.ModuleList(nn.ConvTranspose2d(b, a, 2, stride=2) for a, b in pairs)
        self.up_levels = nn.ModuleList(level(width) for width in widths[:-1])
        self.conv_out = nn.Conv2d(widths[0], 3 * patch**2, 3, padding=1)
        with torch.no_grad():
            self.conv_out.weight.mul_(0.1)
            self.conv_out.bias.mul_(0.1)
        # One after the other as the blocks are passed: all the way down, then up.
        passed = [*widths, *reversed(widths[:-1])]
        self.block_widths = [width for width in passed for _ in range(blocks)]

    def forward(self, picture: Tensor, told: Sequence[Tensor] | None = None) -> Tensor:
        """(B, 3, H, W), any size → the same shape.

        Args:
            told: for every block, (B, 2·its width); see `ResidualBlock`.
        """
        said = repeat(None) if told is None else iter(told)

        def passed(blocks: nn.Module, x: Tensor) -> Tensor:
            for block in blocks:
                x = block(x, next(said))
            return x

        height, width = picture.shape[-2:]
        padding = (0, -width % self.multiple, 0, -height % self.multiple)
        patches = F.pixel_unshuffle(F.pad(picture, padding, mode="replicate"), self.patch)
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
        missing = F.pixel_shuffle(self.conv_out(x), self.patch)
        return picture + missing[..., :height, :width]
