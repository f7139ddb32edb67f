"""What a call of the pipeline is given: names that it takes, one picture or a list of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from xpsr.errors import XPSRError
from xpsr.frame import plan_sizes
from xpsr.image import Source, file_bytes, open_image
from xpsr.prompts import PROMPT_NAMES
from xpsr.settings import SETTING_NAMES, Settings

# What other pipelines of diffusers take, and what does its work here.
_STREAM = "pipe.stream(image, xpsr.Prompts(...), xpsr.Settings(...)) gives every step"
_TEXTS = "it is not supported: texts are given as prompt=, negative_prompt= and so on"
_WALK = "scheduler= and num_inference_steps= say how the steps are walked"
_ELSEWHERE = {
    "generator": "random numbers follow from seed=",
    "latents": "denoising begins where start= says, with the noise of seed=",
    "cross_attention_kwargs": "a LoRA is weighed by pipe.set_adapters(name, weight)",
    "callback": _STREAM,
    "callback_on_step_end": _STREAM,
    "control_image": "the picture is given as image=",
    "eta": _WALK,
    "timesteps": _WALK,
    "sigmas": _WALK,
    "width": "the size follows from upscale=",
    "height": "the size follows from upscale=",
    "strength": "it is not supported, and start= says where denoising begins",
    "num_images_per_prompt": "it is not supported: call once for each seed=",
    "return_dict": "the pictures are in .images of what comes back",
    "output_type": "it is not supported: results are PIL pictures",
    "prompt_embeds": _TEXTS,
    "negative_prompt_embeds": _TEXTS,
}


def texts_and_settings(changes: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What is changed of the texts, and of the settings; XPSRError for a name that is neither."""
    known = (*PROMPT_NAMES, *SETTING_NAMES)
    if unknown := sorted(set(changes) - set(known)):
        instead = _ELSEWHERE.get(unknown[0], f"there are {', '.join(known)}")
        raise XPSRError(f'There is no setting or text "{unknown[0]}"; {instead}.')
    texts, settings = (
        {name: changes[name] for name in names if name in changes}
        for names in (PROMPT_NAMES, SETTING_NAMES)
    )
    return texts, settings


def usable(image: Source, settings: Settings) -> Source:
    """A source that can be restored: one that cannot would cost the results of those before it.

    It is opened for that and let go again: many open pictures would fill the memory.
    """
    if not isinstance(image, (str, Path, bytes, bytearray, memoryview, Image.Image)):
        image = file_bytes(image)  # not every open file can be read twice
    plan_sizes(open_image(image).image.size, settings)
    return image


def one_each(name: str, texts: str | Sequence[str] | None, count: int) -> Sequence[str | None]:
    """The text for each of `count` pictures; `name` is what to call it in a sentence."""
    if texts is None or isinstance(texts, str):
        return [texts] * count
    if not isinstance(texts, (list, tuple)):  # a set has no order, a dict is no list of texts
        raise XPSRError(
            f"{name} must be a text, or a list with one for each picture, not "
            f"{type(texts).__name__}."
        )
    if len(texts) != count:
        raise XPSRError(f"{name} has {len(texts)} texts for {count} pictures; give one for each.")
    return texts
