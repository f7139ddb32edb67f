"""Every text of the tab "Full quality"."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..models.words import PLACES, no_room, size

if TYPE_CHECKING:
    from xpsr.conversion import Progress
    from xpsr.models.checkpoint import Checkpoint

    from ..models.machine import Machine
    from ..models.switching import Look, Stage

LABEL = "Full quality"
INTRO = """
### From the built-in model to the whole system

**mini**, which comes with this page, is a small model: 19 million weights, trained in a few hours
so that everything here works at once. The XPSR of the paper has 1.9 billion, and a language model
that looks at the picture writes its two texts. It is a download and a conversion away, and so is
SeeSR:

1. **Fetch the checkpoint** from the authors: the folders `unet` and `controlnet`, with a
   `config.json` and a file of weights in each, side by side in one folder. Unpack what is a ZIP.
"""
STEPS = """\
2. **Check** it below: a second, and a sentence if something is missing or cut short.
3. **Convert** it, together with Stable Diffusion 1.5, into one folder. The base is fetched from the
   hub if you name no folder of yours.
4. **Use it.** The choice is remembered for the next start.
"""
# For whoever has a page that others reach as well, where nothing of this can be pressed.
STEPS_ELSEWHERE = """\
2. **Convert** it on a computer of yours, together with Stable Diffusion 1.5:
   `python -m xpsr convert FOLDER models/xpsr --dtype float16`. It is checked first.
3. **Start** the page with `--model models/xpsr`. On a Space of yours, put the new folder into a
   model repository, and name that in the variable `XPSR_MODEL`; `XPSR_DESCRIBER` stands for
   `--describer`.
"""
SEESR = """
**SeeSR** goes the same way, with two differences. Its tagger comes in two more files,
`ram_swin_large_14m.pth` and `DAPE.pth`: put them into the folder with `unet` and `controlnet`, or
into the one around it; all of it is linked from [its repository](https://github.com/cswry/SeeSR).
And its base is Stable Diffusion 2 (base), which you have to name; with SD-Turbo instead it takes
two steps and not fifty. It reads one text, best as tags, and its tagger writes them, unless the
page was started with another `--describer`.
"""
NOW = "In use now"
MODEL_NOW = "Model"
DESCRIBER_NOW = "Describer"
MACHINE = "This machine"
NEEDS = "What the parts take, and what is here"
NEEDS_INFO = (
    "Sizes are those of the files and of the weights in memory. A result of 512 × 512 pixels takes "
    "about 1 GB more while it is worked on. LLaVA leaves the memory before a picture is restored, "
    "so the two need not fit at once."
)
COLUMNS = ("Part", "From", "Disk", "Memory", "Here")


@dataclass(frozen=True)
class Requirement:
    """One part of the full system, with bytes on the disk and in memory."""

    name: str
    what: str
    origin: str
    link: str = ""
    disk: int = 0
    memory: int = 0
    on_gpu: bool = True  # where there is one


_HUB = "https://huggingface.co/"
_LLAVA = "llava-hf/llava-1.5-7b-hf"
# Weights: UNet 1,107,755,524, ControlNet 620,216,909, autoencoder 83,653,863, text encoder
# 123,060,480. SeeSR: 1,126,760,324, 489,031,440, 83,653,863, 340,387,840, and its tagger's
# 212,117,045. LLaVA: 7,063,427,072; in memory as xpsr.prompts.footprint counts it.
REQUIREMENTS = (
    Requirement(
        "Checkpoint of XPSR",
        "unet and controlnet; can be deleted after the conversion",
        "Google Drive, linked from their repository",
        "https://github.com/qyp2000/XPSR",
        disk=6_911_889_732,
    ),
    Requirement(
        "Stable Diffusion 1.5",
        "its autoencoder, text encoder, tokenizer and schedule",
        "stable-diffusion-v1-5",
        _HUB + "stable-diffusion-v1-5/stable-diffusion-v1-5",
        disk=826_857_372,
    ),
    Requirement(
        "XPSR converted, 16 bits",
        "for a GPU",
        "the conversion",
        disk=3_869_373_552,
        memory=3_869_373_552,
    ),
    Requirement(
        "XPSR converted, 32 bits",
        "for a CPU, which is slow",
        "the conversion",
        disk=7_738_747_104,
        memory=7_738_747_104,
        on_gpu=False,
    ),
    Requirement(
        "SeeSR converted, 16 bits",
        "for a GPU, with its tagger",
        "the conversion",
        disk=4_503_901_024,
        memory=4_503_901_024,
    ),
    Requirement(
        "LLaVA 1.5 7B, 16 bits",
        "--describer llava",
        "llava-hf",
        _HUB + _LLAVA,
        disk=14_126_854_144,
        memory=15_992_921_907,
    ),
    Requirement(
        "LLaVA, 8 bits",
        '--describer "llava?bits=8"',
        "the same files",
        memory=9_068_174_237,
    ),
    Requirement(
        "LLaVA, 4 bits",
        '--describer "llava?bits=4"',
        "the same files",
        memory=5_784_273_281,
    ),
)

CHECKPOINT = "Folder of the checkpoint"
CHECKPOINT_INFO = "On the computer that runs this page."
BASE = "Base"
BASE_INFO = (
    "A folder or hub id of Stable Diffusion 1.5, or 2 (base) for SeeSR. Empty: 1.5 from the hub."
)
BASE_FOR_USE_INFO = "Only for a checkpoint that was not converted."
OUT = "New folder"
OUT_INFO = "It appears when it is complete."
OUT_DEFAULT = "models/xpsr"
FORMAT = "Number format"
FORMAT_INFO = "float16 takes half the room."
CHECK = "Check"
CONVERT = "Convert"
NO_CHECKPOINT = "Name the folder of the checkpoint first."
CHECKING = "Looking at it…"
CONVERTED = "Done: {out} is complete. Use it below; the download is not needed any more."
CONVERT_STOPPED = "Stopped. What is converted is kept: press Convert again and it goes on."
GET = "Check and convert"
USE_TITLE = "Choose the model"
MODEL = "Model"
MODEL_INFO = "mini, a folder of this computer, or a hub id such as owner/name."
LOOK = "Look at it"
USE = "Use this model"
USE_MINI = "Back to mini"
USE_STOPPED = "Stopped. The model in use is the one named above."
WHOLE = "A whole checkpoint of {family}. It adds to {base}."


def machine(here: Machine) -> str:
    gpu = (
        f"{size(here.gpu)} free on {here.gpu_name}"
        if here.gpu is not None
        else "no GPU that PyTorch can use"
    )
    return f"{size(here.disk)} free on the disk, {size(here.memory)} free in memory, {gpu}."


def model_now(model: str, base: str | None, weights: int, place: str) -> str:
    name = f"{model} on {base}" if base else model
    if not weights:
        return f"{name}, not loaded yet."
    count = f"{weights / 1e9:.1f} billion" if weights >= 1e9 else f"{weights / 1e6:.1f} million"
    return f"{name}, {count} weights, on {place}."


def verdict(row: Requirement, here: Machine) -> str:
    """Whether a part has room on this machine, in words."""
    missing = []
    if row.disk > here.disk:
        missing.append(f"{size(row.disk - here.disk)} more on the disk")
    on_gpu = row.on_gpu and here.gpu is not None
    room = here.gpu if row.on_gpu and here.gpu is not None else here.memory
    if row.memory > room:
        missing.append(f"{size(row.memory - room)} more {'on the GPU' if on_gpu else 'of memory'}")
    return f"needs {' and '.join(missing)}" if missing else "enough room"


def checked(found: Checkpoint) -> list[str]:
    """A line for each network of a checkpoint, and one for the whole."""
    lines = []
    for part in found.parts:
        other = "" if part.is_published_size else ", not the size of the published one"
        lines.append(f"{part.name}: whole, {part.weights:,} weights, {size(part.bytes)}{other}.")
    whole = WHOLE.format(family=found.family.name, base=found.base)
    return [*lines, *(found.problems or (whole,))]


def converting(progress: Progress) -> str:
    if progress.part == "whole":
        return "Complete."
    what = "the base" if progress.part == "base" else f"the {progress.part}"
    return f"Converting {what}… {size(progress.done)} of {size(progress.total)} are written."


def looked(look: Look) -> str:
    facts = look.facts
    kind = {
        "embedded": "the built-in model",
        "folder": "a complete model",
        "official": "a checkpoint with its base",
        "hub": "a model of the hub",
    }[facts.kind]
    said = f"{facts.name} is {kind}"
    if facts.fetched:
        said += f"; {size(facts.fetched)} have to be fetched first"
    if not look.fits:
        return f"{said}. {no_room(facts.name, look.needed, look.free + look.freed, look.place)}"
    said += f". It needs {size(look.needed)} {PLACES[look.place]}, and {size(look.free)} are free."
    if not look.fits_beside:
        said += " " + OLD_GOES
    return said


OLD_GOES = "Both models do not fit at once, so the present one is unloaded first."
ONE_TEXT = "This model reads one text: what is in the picture, best as tags."


def stage(stage: Stage) -> str:
    """A line while the model is changed."""
    name = stage.look.facts.name
    if stage.name == "looked":
        return looked(stage.look)
    if stage.name == "dropped":
        return f"{OLD_GOES} Loading {name}…"
    if stage.name == "loading":
        return f"Loading {name}… The present model goes on meanwhile."
    return f"{name} is loaded."


def in_use(model: str, preset: str, one_text: bool) -> str:
    said = (
        f"{model} is in use. The settings are now those of its preset, {preset}; your two texts "
        "and the seed are as they were."
    )
    return f"{said} {ONE_TEXT}" if one_text else said
