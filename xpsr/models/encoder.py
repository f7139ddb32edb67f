"""The ControlNet's view of the low-resolution picture: a small pyramid with pixel heads."""

import torch
from diffusers.models.controlnets.controlnet import ControlNetConditioningEmbedding
from torch import Tensor, nn
from torch.nn import functional as F


class DenseBlock(nn.Module):
    """Five 3×3 convolutions, each reading everything before it; residual, scaled by 0.2."""

    def __init__(self, channels: int):
        super().__init__()
        for k in range(5):
            self.add_module(f"conv{k + 1}", nn.Conv2d(channels * (k + 1), channels, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        seen = [x]
        for k in range(4):
            conv = self.get_submodule(f"conv{k + 1}")
            seen.append(F.leaky_relu(conv(torch.cat(seen, dim=1)), 0.2))
        return self.get_submodule("conv5")(torch.cat(seen, dim=1)) * 0.2 + x


class ResidualDenseBlock(nn.Module):
    """Three dense blocks in a residual (RRDB); growth width = feature width, as the authors'."""

    def __init__(self, channels: int):
        super().__init__()
        for k in range(3):
            self.add_module(f"rdb{k + 1}", DenseBlock(channels))

    def forward(self, x: Tensor) -> Tensor:
        out = x
        for k in range(3):
            out = self.get_submodule(f"rdb{k + 1}")(out)
        return out * 0.2 + x


class LowResolutionEncoder(ControlNetConditioningEmbedding):
    """Picture → latent-sized embedding, with a clean-RGB prediction after every stage.

    The predictions are the pixel side of the degradation-free constraint (paper, sec. 3.4).

    Args:
        out_channels: channels of the embedding (the ControlNet's first width).
        conditioning_channels: channels of the picture.
        widths: channels of the pyramid; one stage, a halving, for each after the first.
        use_rrdb: two RRDBs before the pyramid (in the authors' code, off in their recipe).
        return_rgbs: build the RGB heads.
    """

    def __init__(
        self,
        out_channels: int,
        conditioning_channels: int,
        widths: tuple[int, ...],
        use_rrdb: bool,
        return_rgbs: bool,
    ):
        super().__init__(out_channels, conditioning_channels, widths)
        # "preprocesser" is the authors' spelling; checkpoints carry it.
        self.preprocesser = (
            nn.Sequential(*(ResidualDenseBlock(widths[0]) for _ in range(2))) if use_rrdb else None
        )
        self.to_rgbs = nn.ModuleList(
            nn.Conv2d(width, 3, 3, padding=1) for width in (widths[1:] if return_rgbs else ())
        )

    def features(self, image: Tensor) -> list[Tensor]:
        """(B, 3, H, W) in [0, 1] → one feature map a stage, at 1/2, 1/4, … of the size."""
        x = F.silu(self.conv_in(image))
        if self.preprocesser is not None:
            x = self.preprocesser(x)
        stages = []
        for same, halve in zip(self.blocks[::2], self.blocks[1::2], strict=True):
            x = F.silu(halve(F.silu(same(x))))
            stages.append(x)
        return stages

    def forward(self, conditioning: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """(B, 3, H, W) in [0, 1] → embedding (B, C, H/s, W/s) and one RGB prediction a stage."""
        stages = self.features(conditioning)
        rgbs = tuple(head(stage) for head, stage in zip(self.to_rgbs, stages, strict=False))
        return self.conv_out(stages[-1]), rgbs
