"""What is said when the model is changed."""

from xpsr.counted import counted

NO_MODEL_NAMED = 'Name a model: "mini", a folder of this computer, or a hub id such as owner/name.'
NAME_TOO_LONG = "That is too long for the name of a folder or a model."
NOT_ALLOWED = (
    "The model of this page is the same for all its visitors, and only whoever runs it can change "
    "it: by starting it with --model."
)
NOT_ALLOWED_FROM_AFAR = (
    "The model can be changed from this computer only, and this page was reached from another one "
    "or through a proxy. Whoever runs it can allow that by starting it with --allow-model-change."
)
LAST_UNREADABLE = "{path} cannot be read, so the page starts with the built-in model."
LAST_UNWRITABLE = "The model is in use, but {path} cannot be written, so the next start forgets it."
PLACES = {"cuda": "on the GPU", "mps": "on the GPU", "cpu": "in memory"}


def too_much_work(pixels: int, steps: int, most: float) -> str:
    """A run on so many pixels in so many steps is more than the page allows."""
    fewer = int(most * 1e6 / pixels)
    cure = "enlarge it less, in tiles that overlap less"
    if fewer:
        cure = f"take {counted(fewer, 'step')} at most"
    return (
        f"{pixels / 1e6:.1f} million pixels in {counted(steps, 'step')} would take too long for a "
        f"page that others wait for: {cure}, or run the studio on your own computer, which has no "
        "limit."
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
