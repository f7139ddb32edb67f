"""Hugging Face's ZeroGPU, where a GPU is lent for the seconds of one call.

There the networks work in another process, which is forked from this one and takes and gives only
what can be pickled. Everywhere else nothing here does anything.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any

import gradio as gr

from xpsr.errors import XPSRError

from .. import words

if TYPE_CHECKING:
    from PIL import Image

    from xpsr.prompts import Prompts
    from xpsr.settings import Settings

# Seconds of one guided step on one tile of 512 x 512 pixels, and of everything besides the steps.
# Rather too many: a call that takes longer than it asked for is cut off.
STEP_SECONDS = 0.15
OTHER_SECONDS = 15
LONGEST = 120

DESCRIBE_SECONDS = 90  # a LLaVA is loaded within the call


def is_here() -> bool:
    """Whether this is a ZeroGPU Space."""
    return os.environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "t", "true")


def on_gpu(
    work: Callable[..., Generator[Any, None, None]], duration: Callable[..., int]
) -> Callable[..., Generator[Any, None, None]]:
    """`work` as it is, or on ZeroGPU lent a GPU for as long as it is likely to take.

    Args:
        work: a generator.
        duration: takes what `work` takes, and gives seconds.
    """
    if not is_here():
        return work
    # A Space brings it along; nobody else needs it.
    spaces = import_module("spaces")

    def lent(*args: Any) -> Generator[Any, None, None]:
        yield from _portable(work(*args))

    borrowed = spaces.GPU(lent, duration=duration)

    def here(*args: Any) -> Generator[Any, None, None]:
        try:
            for item in borrowed(*args):
                if isinstance(item, XPSRError):
                    raise item
                yield item
        except gr.Error as error:  # no GPU was free, or the visitor has used up the day's seconds
            said = re.sub(r"<[^>]*>", "", error.message)
            raise XPSRError(words.NOT_LENT.format(said=said)) from error

    return here


def describe_seconds(image: Image.Image) -> int:
    """How long a LLaVA may take to be loaded and to describe a picture."""
    return DESCRIBE_SECONDS


def restore_seconds(
    image: Image.Image,
    prompts: Prompts,
    settings: Settings,
    recorder: object = None,
    shared: object = None,
) -> int:
    """How long a run is likely to take on ZeroGPU: steps x pixels, and what surrounds them."""
    from xpsr.work import step_pixels

    tiles = max(1.0, step_pixels(image.size, settings) / 2 / 512**2)
    seconds = OTHER_SECONDS + STEP_SECONDS * settings.num_inference_steps * tiles
    return min(LONGEST, math.ceil(seconds))


@dataclass(frozen=True)
class _Taken:
    """A preview that was made where the step was."""

    picture: Image.Image

    def __call__(self, predicted: Any) -> Image.Image:
        return self.picture


def _portable(items: Iterator[Any]) -> Iterator[Any]:
    """Items that another process can read: no tensors of a GPU, and sentences instead of errors."""
    try:
        for item in items:
            preview = getattr(item, "preview", None)
            if preview is None:
                yield item
                continue
            picture = _Taken(preview(item.predicted))
            yield replace(
                item, latents=item.latents.cpu(), predicted=item.predicted.cpu(), preview=picture
            )
    except XPSRError as error:
        yield error
