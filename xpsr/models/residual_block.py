"""The block that the embedded model's own small networks are made of."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

FLOOR = 1e-4  # of squared lengths, so that nothing is divided by zero


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions in a residual, on features brought to one length at every pixel.

    The residual itself stays as it is and tells the blocks to come how strong damage was.

    Args:
        channels: of the features (B, channels, h, w), before and after.
        limit: the root mean square over the channels that a pixel may leave with; longer ones are
            shortened. Without it, what is rarer than all photos learned from (stripes of one pixel
            in a strong colour) sets itself up from block to block and ends in a burst of colours.
    """

    def __init__(self, channels: int, limit: float | None = None):
        super().__init__()
        self.norm = nn.RMSNorm(channels, eps=FLOOR)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.limit = limit

    def forward(self, x: Tensor, told: Tensor | None = None) -> Tensor:
        """`told` (B, 2·channels) scales and shifts the features at every pixel; zeros do nothing
        (FiLM, Perez et al. 2018)."""
        y = self._normed(x)
        if told is not None:
            scale, shift = told[:, :, None, None].chunk(2, dim=1)
            y = y * (1 + scale) + shift
        x = x + self.conv2(F.silu(self.conv1(y)))
        if self.limit is None:
            return x
        by_length = torch.rsqrt(x.square().mean(dim=1, keepdim=True) + FLOOR)
        return x * (self.limit * by_length).clamp(max=1)

    def _normed(self, x: Tensor) -> Tensor:
        weight = self.norm.weight.to(x.dtype)  # autocast leaves it in float32, which is slower
        last = F.rms_norm(x.permute(0, 2, 3, 1), weight.shape, weight, self.norm.eps)
        return last.permute(0, 3, 1, 2)
