"""One frozen, checked value with every setting of a run, and the presets."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from numbers import Real
from typing import Any, Literal, get_args

from xpsr.errors import XPSRError

MAX_OUTPUT_PIXELS = 64_000_000  # a float copy of such a picture takes 0.8 GB, and we need several

Scheduler = Literal["ddpm", "ddim", "dpm++", "unipc"]
Start = Literal["noise", "lr", "lr_last", "lr_twice", "lr_bare"]
Negative = Literal["both", "high"]
ColorFix = Literal["none", "adain", "wavelet"]
LongPrompts = Literal["truncate", "protect", "chunk"]
AddedPosition = Literal["suffix", "prefix"]
LowlevelRoute = Literal["lowlevel", "content"]

CHOICES: dict[str, tuple[str, ...]] = {
    "scheduler": get_args(Scheduler),
    "start": get_args(Start),
    "negative": get_args(Negative),
    "color_fix": get_args(ColorFix),
    "long_prompts": get_args(LongPrompts),
    "added_position": get_args(AddedPosition),
    "lowlevel_route": get_args(LowlevelRoute),
}
LIMITS: dict[str, tuple[float, float]] = {
    "num_inference_steps": (1, 1000),
    "guidance_scale": (0.0, 30.0),
    "controlnet_conditioning_scale": (0.0, 4.0),
    "upscale": (1, 8),
    "seed": (0, 2**32 - 1),
    "added_noise_level": (0, 999),
    "process_size": (0, 4096),
    "tile_size": (0, 8192),
    "tile_overlap": (0, 4096),
}
SMALLEST_TILE = 64  # pixels; in smaller ones the networks see too little to make a picture


@dataclass(frozen=True)
class Settings:
    """How a picture is restored. The defaults are those of the preset "official".

    Attributes:
        num_inference_steps: steps from noise to picture, 1..1000.
        guidance_scale: w in `negative + w * (positive - negative)`, 0..30. The paper's λs is
            w - 1 (eq. 6). Up to 1 the negative texts are not used at all.
        controlnet_conditioning_scale: weight of the input picture's features, 0..4.
        upscale: whole factor, 1..8. The result is exactly upscale x input.
        seed: 0..2**32-1; the same seed and settings give the same pixels.
        scheduler: "ddpm" | "ddim" | "dpm++" | "unipc".
        start: where denoising starts: "noise" | "lr" (the input's latent, noised) | "lr_last" (as
            much as at the last timestep of the training, whatever the first one of the run is:
            SeeSR's "LR embedding") | "lr_twice" (noised a second time at `added_noise_level`, as
            XPSR's authors' code does) | "lr_bare" (no noise: every seed gives the same picture, if
            the sampling method draws none either).
        added_noise_level: training timestep of that second noise, 0..999.
        negative: "both" texts have a negative | only the "high" one, the low-level text stays.
        process_size: the network works on a picture whose short side has at least so many
            pixels; a smaller one is enlarged for the work and the result brought back. 0 = as is.
        tile_size: side in pixels, 64..8192, of the squares the working picture is split into when
            it has more pixels than one of them; 0 = never split. Rounded down to whole latent
            pixels.
        tile_overlap: pixels that neighbouring squares share; less than `tile_size`. They fade into
            each other over about a tenth of it, so more only takes longer.
        color_fix: colours brought back to the input's: "none" | "adain" | "wavelet".
        long_prompts: what becomes of a text of more than CLIP's 75 tokens: "truncate" (its end is
            cut off, as the authors do) | "protect" (the caption is shortened so that the added
            words stay) | "chunk" (read in blocks of 75, which no model was trained with). Texts
            that fit give the same embeddings in all three.
        added_position: where the added words stand: "suffix" (behind the content text, as the
            authors do) | "prefix" (in front of it).
        lowlevel_route: where the quality text goes: "lowlevel" (its own branch, as in XPSR) |
            "content" (experimental: in front of the content text, the other branch gets none; for
            models with one text, and for degradation sentences in the manner of DaLPSR).

    Raises:
        XPSRError: names the field and what it allows.
    """

    num_inference_steps: int = 20
    guidance_scale: float = 4.5
    controlnet_conditioning_scale: float = 1.0
    upscale: int = 4
    seed: int = 0
    scheduler: Scheduler = "ddpm"
    start: Start = "lr_twice"
    added_noise_level: int = 800
    negative: Negative = "both"
    process_size: int = 512
    tile_size: int = 2560
    tile_overlap: int = 64
    color_fix: ColorFix = "adain"
    long_prompts: LongPrompts = "truncate"
    added_position: AddedPosition = "suffix"
    lowlevel_route: LowlevelRoute = "lowlevel"

    def __post_init__(self) -> None:
        for name, default in DEFAULTS.items():
            value = getattr(self, name)
            if name in CHOICES:
                _check_choice(name, value)
            else:
                # Sliders and JSON hand over 20.0 for 20: one form, so that equal runs compare equal
                object.__setattr__(self, name, _checked_number(name, value, type(default)))
        if self.tile_size and self.tile_overlap >= self.tile_size:
            raise XPSRError(
                f"tile_overlap is {self.tile_overlap}; it must be smaller than tile_size, "
                f"which is {self.tile_size}."
            )

    @property
    def guided(self) -> bool:
        """Whether there is guidance: up to 1 the negative texts are not read at all."""
        return self.guidance_scale > 1

    @classmethod
    def from_preset(cls, preset: str, **overrides: Any) -> Settings:
        """The settings of a preset with some changed; None keeps the preset's value."""
        if preset not in [*PRESETS]:  # a list: what cannot be hashed is no preset either
            raise XPSRError(f'There is no preset "{preset}"; choose one of {", ".join(PRESETS)}.')
        return PRESETS[preset].changed(**overrides)

    def changed(self, **overrides: Any) -> Settings:
        """These settings with some replaced; None keeps the present value."""
        unknown = sorted(set(overrides) - set(SETTING_NAMES))
        if unknown:
            raise XPSRError(
                f'There is no setting "{unknown[0]}"; the settings are {", ".join(SETTING_NAMES)}.'
            )
        return replace(self, **{k: v for k, v in overrides.items() if v is not None})


DEFAULTS: dict[str, Any] = {field.name: field.default for field in fields(Settings)}
SETTING_NAMES = tuple(DEFAULTS)


def _check_choice(name: str, value: object) -> None:
    if value not in CHOICES[name]:
        raise XPSRError(f'{name} is "{str(value)[:40]}"; choose one of {", ".join(CHOICES[name])}.')


def _checked_number(name: str, value: object, kind: type) -> int | float:
    low, high = LIMITS[name]
    whole = kind is int
    wanted = f"{'a whole number' if whole else 'a number'} from {low:g} to {high:.10g}"
    number: Any = value if isinstance(value, Real) and not isinstance(value, bool) else math.nan
    fits = low <= number <= high
    if name == "tile_size":
        wanted = f"0, for no tiles, or a whole number from {SMALLEST_TILE} to {high:g}"
        fits = number == 0 or SMALLEST_TILE <= number <= high
    # Compared before any conversion (an integer may be too large for a float); NaN fits nowhere.
    if fits and (not whole or number == int(number)):
        return kind(number)
    raise XPSRError(f"{name} is {str(value)[:40]}; it must be {wanted}.")


_MINI = Settings(
    num_inference_steps=2,
    guidance_scale=1.0,
    scheduler="ddim",
    start="noise",
    process_size=0,
    tile_size=1024,
    tile_overlap=128,
    color_fix="wavelet",
)

# SeeSR's test script; its paper and script agree. One text: the low-level one is not read.
_SEESR = Settings(
    num_inference_steps=50,
    guidance_scale=5.5,
    start="lr_last",
    tile_size=768,
    tile_overlap=32,
)

PRESETS: dict[str, Settings] = {
    # The authors' test script and its configuration file.
    "official": Settings(),
    # The paper: 50 DDPM steps, λs = 5.5, only the content text is negated (eq. 6), and
    # no colour correction is mentioned.
    "paper": Settings(
        num_inference_steps=50,
        guidance_scale=6.5,
        start="lr",
        negative="high",
        color_fix="none",
    ),
    # The embedded model. Two steps: more add detail that it is too small to place, and cost
    # agreement with the original. Guidance above 1 makes it bolder. Wavelet: its colours drift.
    "mini": _MINI,
    # The likeliest picture instead of a likely one: one step, and nothing of it is left to chance.
    # For the embedded model; others need their noise and become blurred.
    "faithful": _MINI.changed(num_inference_steps=1, start="lr_bare"),
    # The official settings with half the steps of a second-order solver, in smaller squares.
    "fast": Settings(num_inference_steps=10, scheduler="dpm++", tile_size=768, tile_overlap=128),
    "seesr": _SEESR,
    # Its script for SD-Turbo, which was taught to need few steps and no guidance.
    "seesr-turbo": _SEESR.changed(num_inference_steps=2, guidance_scale=1.0, tile_overlap=256),
}
