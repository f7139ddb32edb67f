"""Large pictures, worked on a band of rows at a time."""

from collections.abc import Callable

import torch
from torch import Tensor


def in_bands(
    work: Callable[[Tensor], Tensor], picture: Tensor, pixels: int, multiple: int, reach: int
) -> Tensor:
    """`work(picture)`, in bands of about so many pixels, which take less memory than all at once.

    Args:
        work: (B, C, H, W), any H → the same shape.
        picture: (B, C, H, W).
        pixels: of a band, without what it sees beyond itself.
        multiple: bands begin at multiples of so many rows.
        reach: how many rows away a pixel is heard; a multiple of `multiple` as well.
    """
    height, width = picture.shape[-2:]
    rows = max(1, pixels // width // multiple) * multiple
    if rows >= height:
        return work(picture)
    joined = torch.empty_like(picture)
    for top in range(0, height, rows):
        first = max(0, top - reach)
        part = work(picture[..., first : top + rows + reach, :])
        joined[..., top : top + rows, :] = part[..., top - first :, :][..., :rows, :]
    return joined
