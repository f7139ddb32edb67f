"""The ControlNet's first guess: an enlarged picture → the same without its damage, in one pass."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xpsr.models.residual_block import ResidualBlock

UPSCALE = 4  # it works at the size that the picture had before it was enlarged
LIMIT = 3.0  # of the blocks' features; those of photos stay below it nearly everywhere


class DegradationFreePredictor(nn.Module):
    """A small U-Net that adds to the enlarged picture what it lacks.

    The degradation-free constraint (paper, sec. 3.4) asks the ControlNet for clean pixels as a
    by-product of its features. Here that prediction is full size and the networks diffuse what it
    leaves out, so that no step is spent on what one look can tell. As no noise and no text come
    in, it learns by plain regression, and long before the rest.

    Args:
        widths: channels at 1/4, 1/8, … of the picture's side.
        blocks: residual blocks a level, on the way down and again on the way up.
    """

    def __init__(self, widths: tuple[int, ...], blocks: int = 2):
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

    def forward(self, picture: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] → the same shape and about the same range."""
        multiple = UPSCALE * 2 ** len(self.shrink)
        height, width = picture.shape[-2:]
        padding = (0, -width % multiple, 0, -height % multiple)
        patches = F.pixel_unshuffle(F.pad(picture, padding, mode="replicate"), UPSCALE)
        # Channels last: the norms go along them, and CPUs convolve faster so.
        x = self.conv_in(patches.contiguous(memory_format=torch.channels_last))
        skips = []
        for level, shrink in zip(self.down_levels, self.shrink, strict=False):
            x = level(x)
            skips.append(x)
            x = shrink(x)
        x = self.down_levels[-1](x)
        for level, grow in zip(reversed(self.up_levels), reversed(self.grow), strict=True):
            x = level(grow(x) + skips.pop())
        missing = F.pixel_shuffle(self.conv_out(x), UPSCALE)
        return picture + missing[..., :height, :width]
