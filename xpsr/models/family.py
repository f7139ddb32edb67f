"""The kinds of models whose published checkpoints are known: what marks them, and their names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

Value = TypeVar("Value")
Rules = tuple[tuple[re.Pattern[str], str], ...]

# Official ControlNet name → ours, first match wins; ours match none. The UNet needs no rule at all.
_FUSION: Rules = (
    (re.compile(r"\battentions\.(\d+)\.(?!high|low|fuse)"), r"attentions.\1.high."),
    (re.compile(r"\battentions_lowlevel\.(\d+)\."), r"attentions.\1.low."),
    (re.compile(r"\battentions_connect\.(\d+)\."), r"attentions.\1.fuse."),
    (re.compile(r"\bconv_degradation\.(\d+)\.0\."), r"conv_degradation.\1."),
    (re.compile(r"\bconv_degradation_mid\.0\."), r"conv_degradation_mid."),
)
_IMAGE: Rules = ((re.compile(r"\bimage_attentions\.(\d+)\."), r"attentions.\1.image."),)


@dataclass(frozen=True)
class Network:
    """One network of a family.

    Attributes:
        name: "UNet" or "ControlNet".
        mark: a part of our names of weights that only this family's have.
        layers: what to call the layers of that mark.
        published: how many numbers that of the authors has.
        rules: official name → ours.
    """

    name: str
    mark: str
    layers: str
    published: int
    rules: Rules = ()

    def to_ours(self, official_key: str) -> str:
        """The name that a weight of the authors has in our class."""
        for pattern, replacement in self.rules:
            renamed, count = pattern.subn(replacement, official_key)
            if count:
                return renamed
        return official_key

    def has_mark(self, keys: Iterable[str]) -> bool:
        """Whether weights of these names, the authors' or ours, are this family's."""
        return any(self.mark in self.to_ours(key) for key in keys)


@dataclass(frozen=True)
class Family:
    """XPSR or SeeSR.

    Attributes:
        name: as people call it.
        called: the same with its article.
        networks: by the name of their folder, "unet" and "controlnet".
    """

    name: str
    called: str
    networks: Mapping[str, Network]

    def to_our_names(self, part: str, weights: Mapping[str, Value]) -> dict[str, Value]:
        """The weights of a part by our names, whichever of the two they come with."""
        return {self.networks[part].to_ours(key): value for key, value in weights.items()}


XPSR = Family(
    "XPSR",
    "an XPSR",
    {
        "unet": Network("UNet", ".pixel_attentions.", "conditional attention", 1_107_755_524),
        "controlnet": Network("ControlNet", ".low.", "low-level prompt", 620_216_909, _FUSION),
    },
)
SEESR = Family(
    "SeeSR",
    "a SeeSR",
    {
        "unet": Network("UNet", ".image.", "image attention", 1_126_760_324, _IMAGE),
        "controlnet": Network("ControlNet", ".image.", "image attention", 489_031_440, _IMAGE),
    },
)


def family_of(config: Mapping[str, Any]) -> Family:
    """Whose network a config.json describes: SeeSR's say that they read pictures, those of the
    authors by a flag and ours by the width of what is read."""
    said = config.get("use_image_cross_attention") or "image_attention_dim" in config
    return SEESR if said else XPSR


def kind_of(keys: Iterable[str]) -> str:
    """Name what a set of weights is, by their names."""
    keys = list(keys)
    for network in XPSR.networks.values():
        if network.has_mark(keys):
            return f"{XPSR.called} {network.name}"
    if SEESR.networks["unet"].has_mark(keys):
        return f"{SEESR.called} model"
    if any(key.startswith("controlnet_cond_embedding.") for key in keys):
        return "a plain ControlNet"
    if any(key.startswith("up_blocks.") for key in keys):
        return "a plain Stable Diffusion UNet"
    return "another kind of model"
