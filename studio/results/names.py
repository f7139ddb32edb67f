"""Names of files that are made from the name of a picture, which is foreign text."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xpsr.recipe import Recipe

# Names that Windows keeps for devices, whatever stands behind the dot.
RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)
LONGEST = 80  # characters
# With four bytes for each, and the rest of the name, within the 255 bytes of file systems.
LONGEST_TITLE = 50


def plain_name(name: str) -> str:
    """A file's name without its ending, as every system takes it; never empty, never a path."""
    stem = Path(name.replace("\\", "/")).stem
    plain = re.sub(r"[^\w\- .()]+", "_", stem).strip(" .-")[:LONGEST].rstrip(" .")
    return f"_{plain}" if not plain or RESERVED.match(plain) else plain


def result_name(title: str, recipe: Recipe) -> str:
    """What a result is downloaded as; `title` has lost its ending already.

    The last letters tell results of one picture and seed apart, and are alike for equal ones.
    """
    plain = plain_name(f"{title}.png")[:LONGEST_TITLE].rstrip(" .") if title else "restored"
    settings, pixels = recipe.settings, recipe.output_sha256[:4]
    return f"{plain}-x{settings.upscale}-seed{settings.seed}-{pixels}.png"
