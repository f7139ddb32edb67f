"""The names that settings, their values and other entries of a recipe have on the page."""

from __future__ import annotations

import re
from typing import Any

from .restore import words

SETTINGS = {
    "num_inference_steps": words.STEPS,
    "guidance_scale": words.GUIDANCE,
    "controlnet_conditioning_scale": words.CONDITIONING,
    "upscale": words.UPSCALE,
    "seed": words.SEED,
    "scheduler": words.SCHEDULER,
    "start": words.START,
    "added_noise_level": words.ADDED_NOISE,
    "negative": words.NEGATIVE_WHERE,
    "process_size": words.PROCESS,
    "tile_size": words.TILE,
    "tile_overlap": words.OVERLAP,
    "color_fix": words.COLOR,
    "long_prompts": words.LONG,
    "added_position": words.ADDED_WHERE,
    "lowlevel_route": words.ROUTE,
}
VALUES: dict[str, dict[str, str]] = {
    "scheduler": words.SCHEDULERS,
    "start": words.STARTS,
    "negative": words.NEGATIVE_WHERES,
    "color_fix": words.COLORS,
    "long_prompts": words.LONGS,
    "added_position": words.ADDED_WHERES,
    "lowlevel_route": words.ROUTES,
}
_CHOICES = {name: [*map(re.escape, known)] for name, known in VALUES.items()}
TEXTS = {
    "prompt": words.HIGH.partition(" · ")[2],
    "lowlevel_prompt": words.LOW.partition(" · ")[2],
    "added_prompt": words.ADDED,
    "negative_prompt": words.NEGATIVE,
    "lowlevel_negative_prompt": words.LOW_NEGATIVE,
}
PLACES = {
    "model": "Model",
    "revision": "Weights",
    "base": "Base model",
    "base_revision": "Weights of the base",
    "device": "Device",
    "dtype": "Number format",
    "hardware": "Processor",
    "threads": "Threads",
    "version of xpsr": "Version of XPSR Studio",
}


def place(name: str) -> str:
    """What the page calls an entry of a recipe: a setting, the model, a version."""
    return SETTINGS.get(name) or PLACES.get(name, name.capitalize())


def as_labelled(sentence: str) -> str:
    """A sentence about values of the form, with the names that their fields have on the page."""
    chosen = "|".join(f"{name}(?:=| is )(?:{'|'.join(known)})" for name, known in _CHOICES.items())
    sentence = re.sub(rf"\b(?:{chosen})(?!\w)", _as_chosen, sentence)
    names = SETTINGS | TEXTS
    said = re.sub(
        rf"\b({'|'.join(names)})\b(?=,? (?:is|has|holds|must|which) )",
        lambda found: f"“{names[found[1]]}”",
        sentence,
    )
    # Names that are no words of the language are those of fields wherever they stand.
    return re.sub(
        r"\b(upscale|process_size|tile_size|tile_overlap)\b",
        lambda found: f"“{SETTINGS[found[1]]}”",
        said,
    )


def _as_chosen(found: re.Match[str]) -> str:
    """A setting and its value as the page shows them, in one pair of quotes."""
    name, _, chosen = re.split("(=| is )", found[0])
    return f"“{re.sub('[“”]', '', SETTINGS[name])}: {value(name, chosen)}”"


def value(name: str, found: Any) -> str:
    if name in VALUES:
        return VALUES[name].get(found, str(found))
    if name == "upscale":
        return f"× {found}"
    if name.endswith("revision"):
        return str(found).removeprefix("weights-")[:10]
    return f"{found:g}" if isinstance(found, float) else str(found)
