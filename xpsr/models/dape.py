"""DAPE, the tagger behind SeeSR: RAM (Recognize Anything, Swin-L) that sees through damage.

A picture becomes tokens, which SeeSR's networks attend to, and these become tags. What turns RAM
into DAPE is a small LoRA; it is merged when the authors' files are read, so none is left here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from diffusers.models.attention import FeedForward
from diffusers.models.attention_processor import Attention
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import SwinConfig, SwinModel

from xpsr.models.dape_official import load_dape
from xpsr.models.ram_tags import ram_tags

# Of the pictures that Swin was trained on (ImageNet), RGB.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


class TaggingLayer(nn.Module):
    """Queries look at the tokens of a picture: cross-attention and feed-forward, each added and
    then normalised; the queries do not look at each other."""

    def __init__(self, width: int, token_width: int, heads: int, feed_forward: int):
        super().__init__()
        self.attention = Attention(
            width, token_width, heads=heads, dim_head=width // heads, bias=True
        )
        self.attention_norm = nn.LayerNorm(width, eps=1e-12)
        self.feed_forward = FeedForward(width, activation_fn="gelu", inner_dim=feed_forward)
        self.feed_forward_norm = nn.LayerNorm(width, eps=1e-12)

    def forward(self, queries: Tensor, tokens: Tensor) -> Tensor:
        """(B, tags, width) and (B, tokens, token_width) → (B, tags, width)."""
        queries = self.attention_norm(queries + self.attention(queries, tokens))
        return self.feed_forward_norm(queries + self.feed_forward(queries))


class DAPEModel(ModelMixin, ConfigMixin):
    """Pictures → tokens (SeeSR's soft prompt) → tags (its hard prompt). The defaults are RAM's.

    Args:
        image_size: side of the square that every picture is squashed to.
        patch_size, embed_dim, depths, num_heads, window_size, mlp_ratio: of the Swin transformer.
        token_width: of the tokens, and of the vectors that stand for the tags.
        head_width, head_heads, head_layers, head_feed_forward: of what finds tags in the tokens.
        tags: what it can name; None stands for RAM's 4585.
        thresholds: the probability above which each tag counts, as many as there are tags.
    """

    @register_to_config
    def __init__(
        self,
        image_size: int = 384,
        patch_size: int = 4,
        embed_dim: int = 192,
        depths: tuple[int, ...] = (2, 2, 18, 2),
        num_heads: tuple[int, ...] = (6, 12, 24, 48),
        window_size: int = 12,
        mlp_ratio: float = 4.0,
        token_width: int = 512,
        head_width: int = 768,
        head_heads: int = 4,
        head_layers: int = 2,
        head_feed_forward: int = 3072,
        tags: list[str] | None = None,
        thresholds: list[float] | None = None,
    ):
        super().__init__()
        if tags is None:
            tags, thresholds = ram_tags()
            self.register_to_config(tags=tags, thresholds=thresholds)
        if thresholds is None or len(thresholds) != len(tags):
            raise ValueError(f"{len(tags)} tags need as many thresholds")
        swin = SwinConfig(
            image_size=image_size,
            patch_size=patch_size,
            embed_dim=embed_dim,
            depths=[*depths],
            num_heads=[*num_heads],
            window_size=window_size,
            mlp_ratio=mlp_ratio,
            drop_path_rate=0.0,
        )
        self.swin = SwinModel(swin, add_pooling_layer=False)
        self.image_proj = nn.Linear(self.swin.num_features, token_width)
        self.label_embed = nn.Parameter(torch.zeros(len(tags), token_width))
        self.wordvec_proj = nn.Linear(token_width, head_width)
        self.tagging_head = nn.ModuleList(
            TaggingLayer(head_width, token_width, head_heads, head_feed_forward)
            for _ in range(head_layers)
        )
        self.fc = nn.Linear(head_width, 1)

    @classmethod
    def from_official(
        cls,
        ram: str | Path,
        dape: str | Path | None = None,
        dtype: torch.dtype = torch.float32,
        config: dict[str, Any] | None = None,
    ) -> DAPEModel:
        """Read the authors' files.

        Args:
            ram: RAM's weights, `ram_swin_large_14m.pth`.
            dape: the LoRA of SeeSR, `DAPE.pth`; None leaves plain RAM.
            dtype: number format of the weights in memory.
            config: where the sizes or the tags are not RAM's, what differs.

        Raises:
            XPSRError: a file is damaged, is something else, or does not fit.
        """
        return load_dape(cls, Path(ram), Path(dape) if dape else None, dtype, config or {})

    def pixels(self, image: Image.Image) -> Tensor:
        """What the network sees of a picture of any mode and size: (1, 3, image_size, image_size),
        on the device and in the number format of the model; see `squashed`."""
        values = torch.from_numpy(np.array(image.convert("RGB"), dtype=np.float32) / 255.0)
        return self.squashed(values.permute(2, 0, 1)[None]).to(self.device, self.dtype)

    def squashed(self, pictures: Tensor, mode: str = "bilinear") -> Tensor:
        """Pictures (B, 3, H, W) in [0, 1] as the network reads them, normalised: (B, 3, image_size,
        image_size).

        The whole picture is squashed to a square, as in training. So is it without antialiasing:
        the authors trained DAPE and ran SeeSR where torchvision had none for tensors; with it, a
        large picture gets other tags.
        """
        side = self.config.image_size
        small = F.interpolate(pictures, (side, side), mode=mode, antialias=False).clamp(0, 1)
        mean, std = (pictures.new_tensor(numbers)[:, None, None] for numbers in (MEAN, STD))
        return (small - mean) / std

    def embed(self, pixels: Tensor) -> Tensor:
        """`pixels` (B, 3, S, S) → tokens (B, 1 + N, token_width): their mean, then row by row."""
        tokens = self.swin(pixels).last_hidden_state
        return self.image_proj(torch.cat([tokens.mean(dim=1, keepdim=True), tokens], dim=1))

    def logits(self, embeds: Tensor) -> Tensor:
        """Tokens (B, 1 + N, token_width) of `embed` → (B, tags), in the order of the tags."""
        queries = F.relu(self.wordvec_proj(self.label_embed)).expand(len(embeds), -1, -1)
        for layer in self.tagging_head:
            queries = layer(queries, embeds)
        return self.fc(queries).squeeze(-1)

    def tags(self, embeds: Tensor) -> list[list[str]]:
        """For each picture of a batch the tags whose probability is above their threshold, in the
        order of the vocabulary; from the tokens of `embed`."""
        # In float32, as the authors compared: the thresholds are round decimal numbers.
        probabilities = self.logits(embeds).float().sigmoid().cpu()
        above = probabilities > torch.tensor(self.config.thresholds, dtype=torch.float32)
        return [
            [tag for tag, found in zip(self.config.tags, row, strict=True) if found]
            for row in above.tolist()
        ]
