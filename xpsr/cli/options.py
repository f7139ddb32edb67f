"""The options that commands share. Those of settings and texts are named like the fields."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from xpsr.errors import XPSRError
from xpsr.settings import CHOICES, DEFAULTS, PRESETS, SETTING_NAMES

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
        parser=named,
    ),
]
Describe = Annotated[bool, typer.Option(help="Let a describer write the texts left out.")]
_WHO = (
    "Who writes the two descriptions: measured, dalpsr, auto, tags:FOLDER, llava, "
    "llava:ID_OR_FOLDER or the URL of a vision server. The last four take options, as in "
    '"llava?bits=4" or "URL?model=NAME".'
)
Describer = Annotated[str, typer.Option(metavar="WHO", help=_WHO)]
# Of commands that restore, see `run_options.describer_for`.
OwnDescriber = Annotated[
    str | None,
    typer.Option(metavar="WHO", help=f"{_WHO} Left out: measured, and for a SeeSR its own tagger."),
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
        help="Folder or hub id of Stable Diffusion 1.5, for an official XPSR checkpoint; of 2 "
        "(base), for SeeSR's.",
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


Preset = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help=f"Where everything left out comes from: {', '.join(PRESETS)}. Left out itself: the "
        "one made for the model.",
    ),
]
_TEXT_MEANINGS: dict[str, str] = {
    "prompt": "What is in the picture.",
    "lowlevel_prompt": "How good the picture is: sharpness, noise, light.",
    "negative_prompt": "What the content must not become.",
    "lowlevel_negative_prompt": "The opposite of the quality text.",
    "added_prompt": "Quality words put beside the content text.",
}
# Of those that are a choice, the names to choose from follow.
_SETTING_MEANINGS: dict[str, str] = {
    "num_inference_steps": "Steps from noise to picture, 1 to 1000.",
    "guidance_scale": "How strongly the texts steer, 0 to 30; the paper's λs plus 1.",
    "controlnet_conditioning_scale": "How strongly the input picture steers, 0 to 4.",
    "upscale": "Whole factor, 1 to 8; results are exactly that large.",
    "seed": "Same seed and settings, same pixels; 0 to 4294967295.",
    "scheduler": "How the steps are walked",
    "start": "Where denoising starts, from noise or from the picture with noise once or twice or "
    "without any",
    "added_noise_level": "Training timestep of the second noise of lr_twice, 0 to 999.",
    "negative": "Which of the two texts have a negative",
    "process_size": "Short side in pixels that the networks get at least; 0 = as it is.",
    "tile_size": "Side in pixels, from 64 on, of the squares a large picture is split into; 0 = "
    "never.",
    "tile_overlap": "Pixels that neighbouring squares share.",
    "color_fix": "How colours are brought back to those of the input",
    "long_prompts": "Texts beyond 75 tokens, cut off, shortened before the added words, or read in "
    "blocks (the model was not trained with more than one)",
    "added_position": "Where the added words stand",
    "lowlevel_route": "Where the quality text goes, its own branch or (experimental) before the "
    "content text",
}


def _setting(name: str) -> Any:
    kind, meaning = type(DEFAULTS[name]), _SETTING_MEANINGS[name]
    if name in CHOICES:
        meaning += f": {', '.join(CHOICES[name])}."
    metavar = {int: "N", float: "X", str: "NAME"}[kind]
    option = typer.Option(metavar=metavar, help=meaning, rich_help_panel=_SETTINGS)
    return Annotated[kind | None, option]


# {field of `Prompts` or `Settings`: type and option}
RUN: dict[str, Any] = {
    **{
        name: Annotated[str | None, typer.Option(metavar="TEXT", help=said, rich_help_panel=_TEXTS)]
        for name, said in _TEXT_MEANINGS.items()
    },
    **{name: _setting(name) for name in SETTING_NAMES},
}
