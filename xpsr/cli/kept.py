"""Results of earlier runs: which may be written over, and which are kept as they are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from xpsr.errors import XPSRError
from xpsr.prompts import PROMPT_NAMES

if TYPE_CHECKING:
    from PIL import Image

    from xpsr.pipeline import XPSRPipeline
    from xpsr.prompts import Prompts
    from xpsr.recipe import Recipe
    from xpsr.settings import Settings


def earlier(result: Path, image: Image.Image) -> tuple[Recipe, Image.Image] | None:
    """The result that is there already, if it is one of this picture; None: there is none.

    Args:
        result: where the result of `image` is to be written.
        image: the input, RGB.

    Raises:
        XPSRError: what is there is of another picture or was changed since, and would be lost.
    """
    if not result.exists():
        return None
    from xpsr.image import open_image
    from xpsr.recipe import read_recipe

    instead = "remove it or choose another --out."
    try:
        recipe, picture = read_recipe(result), open_image(result).image
    except XPSRError as error:
        raise XPSRError(f"{result} is there already and cannot be read; {instead}") from error
    if not recipe.is_input(image):
        raise XPSRError(f"{result} is the result of another picture; {instead}")
    if not recipe.is_output(picture):
        raise XPSRError(f"{result} was changed after it was made; {instead}")
    return recipe, picture


def what_differs(
    before: Recipe, prompts: Prompts, settings: Settings, pipe: XPSRPipeline
) -> str | None:
    """Why a run on the same picture would not give the pixels of an earlier one; None: it would."""
    from xpsr.recipe_changes import changed_settings, changed_surroundings, surroundings

    texts = [n for n in PROMPT_NAMES if getattr(before.prompts, n) != getattr(prompts, n)]
    if texts:
        return f"it was made with another {texts[0]}"
    now = pipe.surroundings()
    changed = changed_settings(before.settings, settings)
    changed += changed_surroundings(surroundings(before), now)
    if changed:
        return f"{changed[0].place} was {changed[0].before} and is {changed[0].after}"
    if surroundings(before) != now:
        return "its recipe does not tell all that it was made with"
    return None
