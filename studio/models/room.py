"""How much memory models take, and what is done where it is short."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

    from xpsr.pipeline import XPSRPipeline
    from xpsr.settings import Settings

SMALLEST_TILE = 256  # pixels; the networks have learned from pictures of 512


def weight_bytes(pipeline: XPSRPipeline) -> int:
    """What the networks of a loaded model take. A run needs about as much again."""
    return sum(value.numel() * value.element_size() for value in _weights(pipeline))


def weight_count(pipeline: XPSRPipeline) -> int:
    """How many numbers these are."""
    return sum(value.numel() for value in _weights(pipeline))


def _weights(pipeline: XPSRPipeline) -> Iterator[Tensor]:
    import torch

    for part in pipeline.components.values():
        if isinstance(part, torch.nn.Module):
            yield from part.state_dict().values()


def give_back_memory() -> None:
    """Return to the device what nobody uses any more."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def smaller_tiles(image: Image.Image, settings: Settings) -> Settings | None:
    """The settings with tiles of half the side, or None where that would be too small."""
    factor = max(settings.upscale, settings.process_size / min(image.size))
    side = (image.width * image.height) ** 0.5 * factor
    present = min(settings.tile_size or side, side)
    size = int(present / 2) // 64 * 64
    if size < SMALLEST_TILE:
        return None
    return settings.changed(tile_size=size, tile_overlap=min(settings.tile_overlap, size // 4))
