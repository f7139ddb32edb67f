"""The texts that several tabs share, in plain English; each tab has its own in a file `words.py`.

Sentences about bad input come from `xpsr` itself (`XPSRError`); nothing here repeats them.
"""

from __future__ import annotations

TITLE = "XPSR Studio"
INTRO = (
    "Restore a small or damaged photograph. Two short texts tell the model "
    "what the picture shows and what is wrong with it; change a word and see what changes."
)
TAB_RESTORE = "Restore"
LARGEST_UPLOAD = 100  # megabytes: photographs as cameras write them, TIFF as well
STOP = "Stop"
PRESETS = {
    "mini": "mini – quick, made for the built-in model",
    "official": "official – as XPSR's program, 20 steps",
    "paper": "paper – as XPSR's paper, 50 steps",
    "faithful": "faithful – for the built-in model: safest, adds least",
    "fast": "fast – half the steps of “official”",
    "seesr": "seesr – as SeeSR's program, 50 steps; for its model",
    "seesr-turbo": "seesr-turbo – for SeeSR on SD-Turbo, 2 steps",
}
NO_PICTURE = (
    "Choose a picture first: drop it into “1 · Your picture”, paste it, or open an example."
)
STOPPING = "Stopping…"
WAITING = "Waiting for the model…"
WAITING_TURN = "Waiting for its turn…"
BEGINNING = "Preparing the picture…"
WORKED_IN_TILES = (
    "The memory did not suffice at first, so it was worked on in tiles of {size} pixels."
)
NOT_LENT = "The Space could not lend a GPU for this: {said}"
NO_MEMORY = (
    "There is not enough memory for this picture, not even in tiles of {size} pixels. Enlarge it "
    "less, close other programs, or start the page with --dtype float16 or another --device."
)
REFUSED = (
    "The page is busy and did not take the picture on. Nothing is lost; try again in a minute."
)
TOO_MANY_WAIT = (
    "{count} pictures are waiting for the model already, so this one was not taken on. Nothing is "
    "lost; try again in a minute."
)
TOO_MANY_OF_YOURS = (
    "{count} of your pictures are waiting for the model already, so this one was not taken on. "
    "Send it again when one of them is finished."
)
UNEXPECTED = (
    "Something went wrong that should not have, and it is not your fault. "
    "Nothing you have made is lost; try again, and report it if it happens twice."
)
UPLOADED_ONLY = "Send the picture as an uploaded file (in Python: image=handle_file(path))."
NOT_TAKEN = (
    "A value is missing, or of the wrong kind. Send pictures as uploaded files (in Python: "
    "image=handle_file(path)); the link “Use via API” at the foot of the page names every value."
)
NOT_FETCHED = (
    "The picture could not be fetched from its address: it must be one that anybody can open. "
    "Or upload the picture, and send it as an uploaded file."
)
NO_IMAGE = "There is no picture: give one as image, in Python image=handle_file(path)."
NO_METRIC_NAMED = (
    "metrics names no score: write names with commas between them, or leave it out for all that "
    "need no download."
)
RUN_GONE = "This result is no longer there: it was removed to make room, or because of its age."


def took(seconds: float) -> str:
    """How long something took that is over."""
    return f"{seconds:.1f} s" if seconds < 10 else duration(seconds)


def duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min"


def example(title: str) -> str:
    return f"A finished example: {title}. Drop your own picture into 1 to begin."


def picture(size: tuple[int, int]) -> str:
    return f"{size[0]} × {size[1]} pixels."


DESCRIBERS = {
    "measured": "Measured, with nothing to download.",
    "dalpsr": "Estimated, in DaLPSR's form (our reimplementation from abstract and figure).",
    "tags": "Tags by SeeSR's tagger; the faults are measured.",
}


def describer(name: str) -> str:
    """Who describes, in one line."""
    return DESCRIBERS.get(name, f"Asks {name}.")


def tokens(figures: str) -> str:
    """How much of a text is read: `figures` as of `FittedText`."""
    return f"Tokens: {figures}"
