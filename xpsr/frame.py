"""The way from the input picture to the one the networks see, and back."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import isqrt

from PIL import Image
from torch import Tensor

from xpsr.color import match
from xpsr.errors import XPSRError
from xpsr.image import crop_to, pad_to, resize, to_image, to_tensor
from xpsr.settings import MAX_OUTPUT_PIXELS, ColorFix, Settings

Size = tuple[int, int]  # (width, height), as PIL has it


@dataclass(frozen=True, eq=False)
class Frame:
    """The sizes of one run and its low-quality picture at working size.

    Attributes:
        output: size of the result, exactly upscale x input.
        working: size the networks work at; larger than `output` where `process_size` asks for it.
        low: the input brought to `working` (1, 3, H, W) in [0, 1]; also the reference for colours.
        multiple: what the sides of `padded` are multiples of.
    """

    output: Size
    working: Size
    low: Tensor
    multiple: int

    @cached_property
    def padded(self) -> Tensor:
        """`low`, continued by reflection up to whole latent pixels."""
        return pad_to(self.low, self.multiple)

    def finish(self, decoded: Tensor, color_fix: ColorFix) -> Image.Image:
        """The networks' picture (1, 3, H, W) in [0, 1], padded → the result."""
        width, height = self.working
        restored = crop_to(decoded.cpu(), height, width)
        image = to_image(match(restored, self.low, color_fix))
        return image if self.working == self.output else resize(image, self.output)


def make_frame(image: Image.Image, settings: Settings, multiple: int) -> Frame:
    """Plan a run and enlarge the input for it (bicubic).

    Args:
        image: RGB.
        settings: `upscale` and `process_size`.
        multiple: picture pixels per latent pixel; the networks take any latent size.

    Raises:
        XPSRError: the result, or the picture to work on, would be absurdly large.
    """
    output, working = plan_sizes(image.size, settings)
    low = to_tensor(resize(image, working))
    return Frame(output, working, low, multiple)


def largest_upscale(size: Size) -> int:
    """The largest `upscale` that a picture of this size can have."""
    return isqrt(MAX_OUTPUT_PIXELS // (size[0] * size[1]))


def plan_sizes(size: Size, settings: Settings) -> tuple[Size, Size]:
    """`Frame.output` and `Frame.working` of an input of this size.

    Raises:
        XPSRError: see `make_frame`.
    """
    output = (size[0] * settings.upscale, size[1] * settings.upscale)
    enlarged = max(1.0, settings.process_size / min(output))
    working = (round(output[0] * enlarged), round(output[1] * enlarged))
    if output[0] * output[1] > MAX_OUTPUT_PIXELS:
        raise XPSRError(
            f"The result would have {output[0]:,} x {output[1]:,} pixels; more than "
            f"{MAX_OUTPUT_PIXELS // 10**6} million are not possible. For this picture upscale can "
            f"be {largest_upscale(size)} at most, or crop it."
        )
    if working[0] * working[1] > MAX_OUTPUT_PIXELS:
        raise XPSRError(
            f"This picture is too long and narrow for process_size {settings.process_size}: it "
            f"would be worked on at {working[0]:,} x {working[1]:,} pixels. Set process_size to 0 "
            "or crop the picture."
        )
    return output, working
