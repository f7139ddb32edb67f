"""The options that commands share. Those of settings and texts are named like the fields."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xpsr.errors import XPSRError
from xpsr.settings import CHOICES, PRESETS

_MODEL = "Model"
_TEXTS = "Texts (left out: those of the preset)"
_SETTINGS = "Settings (left out: those of the preset)"


def named(text: str) -> Path:
    """A place as it was written; an empty name, which Python takes for ".", is a slip."""
    if not text:
        raise typer.BadParameter('An empty name; the present folder is called ".".')
    return Path(text)


Pictures = Annotated[
    list[Path],
    typer.Argument(metavar="IMAGE|FOLDER", help="Pictures, or folders of them.", parser=named),
]
Out = Annotated[
    Path,
    typer.Option("--out", "-o", metavar="DIR", help="Folder for the results.", parser=named),
]
WordMaps = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Also record where the network looks for each word: DIR/NAME.npz and a sheet, "
        "DIR/NAME.png. The results stay the same; those that are there without their maps are made "
        "again.",
    ),
]
Describer = Annotated[
    str,
    typer.Option(
        metavar="WHO",
        help="Who writes the two descriptions: measured, dalpsr, auto, llava, llava:ID_OR_FOLDER "
        "or the URL of a vision server. The last three take options, as in "
        '"llava?bits=4" or "URL?model=NAME".',
    ),
]


Model = Annotated[
    str,
    typer.Option(
        metavar="NAME", help="The model: mini, a folder or a hub id.", rich_help_panel=_MODEL
    ),
]
Base = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Folder or hub id of Stable Diffusion 1.5, for an official XPSR checkpoint.",
        rich_help_panel=_MODEL,
    ),
]
Device = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="cpu, cuda, cuda:N or mps; left out, the best there is.",
        rich_help_panel=_MODEL,
    ),
]
Dtype = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="float32, float16 or bfloat16; left out, what suits the device.",
        rich_help_panel=_MODEL,
    ),
]


def metric_names(given: str | None) -> list[str] | None:
    """The scores that --metrics names; None where it was left out.

    Raises:
        XPSRError: it names none.
    """
    if given is None:
        return None
    names = [name.strip() for name in given.split(",") if name.strip()]
    if not names:
        raise XPSRError("--metrics names no score; leave it out, or write names as in psnr,ssim.")
    return names


def _text(meaning: str) -> typer.models.OptionInfo:
    return typer.Option(metavar="TEXT", help=meaning, rich_help_panel=_TEXTS)


def _choice(name: str, meaning: str) -> typer.models.OptionInfo:
    return _setting(f"{meaning}: {', '.join(CHOICES[name])}.", metavar="NAME")


def _setting(meaning: str, metavar: str = "N") -> typer.models.OptionInfo:
    return typer.Option(metavar=metavar, help=meaning, rich_help_panel=_SETTINGS)


Prompt = Annotated[str | None, _text("What is in the picture.")]
LowlevelPrompt = Annotated[str | None, _text("How good the picture is: sharpness, noise, light.")]
NegativePrompt = Annotated[str | None, _text("What the content must not become.")]
LowlevelNegativePrompt = Annotated[str | None, _text("The opposite of the quality text.")]
AddedPrompt = Annotated[str | None, _text("Quality words put beside the content text.")]

Preset = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help=f"Where everything left out comes from: {', '.join(PRESETS)}. Left out itself: the "
        "one made for the model.",
    ),
]
NumInferenceSteps = Annotated[int | None, _setting("Steps from noise to picture, 1 to 1000.")]
GuidanceScale = Annotated[
    float | None,
    _setting("How strongly the texts steer, 0 to 30; the paper's λs plus 1.", "X"),
]
ControlnetConditioningScale = Annotated[
    float | None, _setting("How strongly the input picture steers, 0 to 4.", "X")
]
Upscale = Annotated[int | None, _setting("Whole factor, 1 to 8; results are exactly that large.")]
Seed = Annotated[int | None, _setting("Same seed and settings, same pixels; 0 to 4294967295.")]
Scheduler = Annotated[str | None, _choice("scheduler", "How the steps are walked")]
Start = Annotated[
    str | None,
    _choice(
        "start",
        "Where denoising starts, from noise or from the picture with noise once or twice or "
        "without any",
    ),
]
AddedNoiseLevel = Annotated[
    int | None, _setting("Training timestep of the second noise of lr_twice, 0 to 999.")
]
Negative = Annotated[str | None, _choice("negative", "Which of the two texts have a negative")]
ProcessSize = Annotated[
    int | None, _setting("Short side in pixels that the networks get at least; 0 = as it is.")
]
TileSize = Annotated[
    int | None,
    _setting(
        "Side in pixels, from 64 on, of the squares a large picture is split into; 0 = never."
    ),
]
TileOverlap = Annotated[int | None, _setting("Pixels that neighbouring squares share.")]
ColorFix = Annotated[
    str | None, _choice("color_fix", "How colours are brought back to those of the input")
]
LongPrompts = Annotated[
    str | None,
    _choice(
        "long_prompts",
        "Texts beyond 75 tokens, cut off, shortened before the added words, or read in blocks "
        "(the model was not trained with more than one)",
    ),
]
AddedPosition = Annotated[str | None, _choice("added_position", "Where the added words stand")]
LowlevelRoute = Annotated[
    str | None,
    _choice(
        "lowlevel_route",
        "Where the quality text goes, its own branch or (experimental) before the content text",
    ),
]
