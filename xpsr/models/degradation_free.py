"""The ControlNet's first guess: an enlarged picture → the same without its damage, in one pass."""

import torch
from diffusers.models.embeddings import TextTimeEmbedding
from torch import Tensor, nn

from xpsr.models.patch_unet import PatchUNet

CALM = 0.25  # of a pooled text, so that a step of the optimiser moves features by little
UPSCALE = 4  # it works at the size that the picture had before it was enlarged


class DegradationFreePredictor(PatchUNet):
    """Adds to the enlarged picture what it lacks.

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
        super().__init__(widths, UPSCALE, blocks)
        self.reader = TextReader(text_width, self.block_widths) if text_width else None

    def forward(
        self, picture: Tensor, high: Tensor | None = None, low: Tensor | None = None
    ) -> Tensor:
        """(B, 3, H, W) in [0, 1] → the same shape and about the same range.

        Args:
            picture: the enlarged low-resolution one.
            high, low: text embeddings (B, L, D); read by a predictor that has a reader.
        """
        told = self.reader(high, low) if self.reader and high is not None else None
        return super().forward(picture, told)


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
