"""Results of earlier runs: of which picture they are, and whether a run would give them again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from xpsr.errors import XPSRError
from xpsr.image import open_image, pixel_sha256
from xpsr.prompts import PROMPT_NAMES, Prompts
from xpsr.recipe import Recipe, read_recipe
from xpsr.recipe_changes import changed_settings, changed_surroundings
from xpsr.settings import Settings


def has_pixels(path: Path, sha256: str) -> bool:
    """Whether a file is a picture of these pixels; it may be gone, or replaced."""
    try:
        return pixel_sha256(open_image(path).image) == sha256
    except XPSRError:
        return False


def read_result(path: Path, image: Image.Image) -> tuple[Recipe, Image.Image]:
    """The result of a picture as a run has left it, and its recipe.

    Args:
        path: the PNG.
        image: the input, RGB.

    Raises:
        XPSRError: it cannot be read, is the result of another picture, or was changed since.
    """
    try:
        recipe, result = read_recipe(path), open_image(path).image
    except XPSRError as error:
        raise XPSRError(f"{path} is there already and cannot be read.") from error
    if not recipe.is_input(image):
        raise XPSRError(f"{path} is the result of another picture.")
    if not recipe.is_output(result):
        raise XPSRError(f"{path} was changed after it was made.")
    return recipe, result


def what_differs(
    before: Recipe, prompts: Prompts, settings: Settings, now: Mapping[str, Any]
) -> str | None:
    """Why a run on the same picture would not give the pixels of an earlier one; None: it would.

    Args:
        before: of the earlier one.
        prompts, settings: of the run.
        now: its `XPSRPipeline.surroundings`, or those of them that count.
    """
    texts = [n for n in PROMPT_NAMES if getattr(before.prompts, n) != getattr(prompts, n)]
    if texts:
        return f"it was made with another {texts[0]}"
    then = {name: getattr(before, name) for name in now}
    changed = changed_settings(before.settings, settings) + changed_surroundings(then, now)
    if changed:
        return f"{changed[0].place} was {changed[0].before} and is {changed[0].after}"
    return None if then == now else "its recipe does not tell all that it was made with"


def reusable(
    path: Path, image: Image.Image, prompts: Prompts, settings: Settings, now: Mapping[str, Any]
) -> tuple[Recipe, Image.Image] | None:
    """The result that is there, if a run would give the very same; None: it has to be made.

    The arguments are those of `read_result` and `what_differs`.
    """
    try:
        recipe, result = read_result(path, image)
    except XPSRError:
        return None
    return None if what_differs(recipe, prompts, settings, now) else (recipe, result)
