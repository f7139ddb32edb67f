"""The five texts of a run, and the words that the paper and the authors' code put into them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, get_args

from xpsr.errors import XPSRError

TextName = Literal[
    "prompt", "lowlevel_prompt", "negative_prompt", "lowlevel_negative_prompt", "added_prompt"
]
PROMPT_NAMES: tuple[TextName, ...] = get_args(TextName)
MAX_CHARACTERS = 2000  # five texts of this length still fit into a recipe of 64 kB

OFFICIAL_NEGATIVE = "blurry, dotted, noise, raster lines, unclear, lowres, over-smoothed."
# Sounds like praise on purpose: the branch that is steered away from is told that the input is
# already good, so that the other one sees its faults. Hidden in the authors' pipeline.
OFFICIAL_LOWLEVEL_NEGATIVE = "high resolution, best quality, clear"
OFFICIAL_ADDED = "clean, high-resolution, 8k, high quality, clear text."
PAPER_NEGATIVE = "blurry, dotted, noise, unclear, low-res, over-smoothed"
SEESR_NEGATIVE = "dotted, noise, blur, lowres, smooth"
SEESR_ADDED = "clean, high-resolution, 8k"


# Pairs of negative texts that have a name: (negative_prompt, lowlevel_negative_prompt). The paper
# steers away in the content alone, which is the setting `negative="high"`.
NEGATIVES = {
    "official": (OFFICIAL_NEGATIVE, OFFICIAL_LOWLEVEL_NEGATIVE),
    "paper": (PAPER_NEGATIVE, ""),
    "none": ("", ""),
}


@dataclass(frozen=True)
class Prompts:
    """The five texts of a run; any of them may be empty.

    Attributes:
        prompt: what is in the picture (high level).
        lowlevel_prompt: how good the picture is: sharpness, noise, colour, light (low level).
        negative_prompt: what the content branch is steered away from.
        lowlevel_negative_prompt: the same for the quality branch; unused with `negative="high"`.
        added_prompt: quality words put behind `prompt`, or in front of it (`added_position`).

    Raises:
        XPSRError: a text is longer than `MAX_CHARACTERS` or holds unprintable characters.
    """

    prompt: str = ""
    lowlevel_prompt: str = ""
    negative_prompt: str = OFFICIAL_NEGATIVE
    lowlevel_negative_prompt: str = OFFICIAL_LOWLEVEL_NEGATIVE
    added_prompt: str = OFFICIAL_ADDED

    def __post_init__(self) -> None:
        for name in PROMPT_NAMES:
            _check_text(name, getattr(self, name))

    @classmethod
    def from_preset(cls, preset: str, **texts: str | None) -> Prompts:
        """The texts a preset brings along, with the given ones put in; None keeps the preset's."""
        if preset not in [*PRESET_PROMPTS]:
            raise XPSRError(
                f'There is no preset "{preset}"; choose one of {", ".join(PRESET_PROMPTS)}.'
            )
        unknown = sorted(set(texts) - set(PROMPT_NAMES))
        if unknown:
            raise XPSRError(
                f'There is no text "{unknown[0]}"; the texts are {", ".join(PROMPT_NAMES)}.'
            )
        given = {name: text for name, text in texts.items() if text is not None}
        return replace(PRESET_PROMPTS[preset], **given)


def _check_text(name: str, text: object) -> None:
    if not isinstance(text, str):
        raise XPSRError(f"{name} must be a text, not {type(text).__name__}.")
    if len(text) > MAX_CHARACTERS:
        raise XPSRError(
            f"{name} has {len(text):,} characters; shorten it to {MAX_CHARACTERS:,} at most."
        )
    for character in text:
        if not (is_writing(character) or character.isspace()):
            raise XPSRError(
                f"{name} holds an unprintable character (U+{ord(character):04X}); remove it."
            )


def is_writing(character: str) -> bool:
    """What can be read, and the joiners and direction marks that many scripts and emoji need."""
    if character.isprintable() or character in _INVISIBLE:
        return True
    return "\U000e0020" <= character <= "\U000e007f"  # spell the flags of England and others


_INVISIBLE = "\u00ad\u061c\u200b\u200c\u200d\u200e\u200f\u2060\u2066\u2067\u2068\u2069\ufeff"


_SEESR = Prompts(
    negative_prompt=SEESR_NEGATIVE, lowlevel_negative_prompt="", added_prompt=SEESR_ADDED
)
PRESET_PROMPTS: dict[str, Prompts] = {
    "official": Prompts(),
    "paper": Prompts(negative_prompt=PAPER_NEGATIVE, added_prompt=""),
    # Trained with texts left out at random, so the empty text is the content's true opposite. To
    # the quality branch the authors' praise means "leave it as it is": the opposite of restoring.
    "mini": Prompts(negative_prompt="", added_prompt=""),
    "faithful": Prompts(negative_prompt="", added_prompt=""),
    "fast": Prompts(),
    "seesr": _SEESR,
    "seesr-turbo": _SEESR,
}
