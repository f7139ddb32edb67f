"""What is said while the model works, and when it is changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xpsr.counted import counted

from ..words import duration

if TYPE_CHECKING:
    from xpsr.sampling import Step, TileDone

TURN_COMES = "The model is still busy; this picture comes next…"
SMALLER_TILES = (
    "The memory did not suffice, so the picture is worked on in tiles of {size} pixels now; "
    "it begins anew."
)
NO_MODEL_NAMED = 'Name a model: "mini", a folder of this computer, or a hub id such as owner/name.'
NAME_TOO_LONG = "That is too long for the name of a folder or a model."
NOT_ALLOWED = (
    "The model of this page is the same for all its visitors, and only whoever runs it can change "
    "it: by starting it with --model, or by the variable XPSR_MODEL of the Space."
)
NOT_ALLOWED_FROM_AFAR = (
    "The model can be changed from this computer only, and this page was reached from another one "
    "or through a proxy. Whoever runs it can allow that by starting it with --allow-model-change."
)
LAST_UNREADABLE = "{path} cannot be read, so the page starts with the built-in model."
LAST_UNWRITABLE = "The model is in use, but {path} cannot be written, so the next start forgets it."
CHANGED_MEANWHILE = (
    "the model was changed meanwhile, and results of two models are not mixed; try it again."
)
OWN_TAGGER = "The model in use has learned from tags, so its own tagger writes them."
PLACES = {"cuda": "on the GPU", "mps": "on the GPU", "cpu": "in memory"}


def progress(item: Step | TileDone) -> str:
    """How far a run is: "Step 2 of 20, tile 3 of 9 · about 40 s left"."""
    at, left, of = step(item), item.seconds_left, "left"
    if item.index < 0:  # how long the steps will take is not known yet
        left, of = getattr(item, "seconds_to_first_step", None), "to the first step"
    rest = f" · about {duration(left)} {of}" if left and left >= 0.5 else ""
    return f"{at[0].upper()}{at[1:]}{rest}"


def step(item: Step | TileDone) -> str:
    """The same within a line: "step 2 of 20, tile 3 of 9"."""
    at = f"step {item.index + 1} of {item.total}" if item.index >= 0 else "getting ready"
    return f"{at}, tile {item.tile} of {item.tiles}" if hasattr(item, "tile") else at


def too_much_work(pixels: int, steps: int, guided: bool, most: float) -> str:
    """A run on so many pixels in so many steps is more than the page allows."""
    twice = " with guidance, which counts twice," if guided else ""
    fewer = int(most * 1e6 / pixels)
    cure = "enlarge it less, in tiles that overlap less"
    if fewer:
        cure = f"take {counted(fewer, 'step')} at most"
    return (
        f"{pixels / 1e6:.1f} million pixels in {counted(steps, 'step')}{twice} would take too long "
        f"for a page that others wait for: {cure}, or run the studio on your own computer, which "
        "has no limit."
    )


def changed_elsewhere(model: str, was: str, preset: str, button: str) -> str:
    """Another page has changed the model, and this one has the settings for the one before."""
    return (
        f"Another page has changed the model: {model} is in use now, and the settings are those "
        f"for {was}. Choose the preset “{preset}” under “Advanced” on the tab Restore first, or "
        f"press {button} once more to keep them."
    )


def size(count: int) -> str:
    """A number of bytes for people."""
    for unit, factor, digits in (("GB", 1e9, 1), ("MB", 1e6, 0)):
        if count >= factor:
            return f"{count / factor:.{digits}f} {unit}"
    return f"{count / 1000:.0f} kB"


def no_room(name: str, needed: int, free: int, place: str) -> str:
    """The model `name` needs more bytes than would be free on the device `place`."""
    return (
        f"{name} needs {size(needed)} {PLACES[place]}, and {size(free)} "
        "would be free without the present model. Close other programs, or start the page with "
        "--dtype float16 or another --device. The present model stays in use."
    )
