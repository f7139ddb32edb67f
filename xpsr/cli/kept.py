"""Results of earlier runs: which may be written over, and which are kept as they are."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from xpsr.errors import XPSRError

if TYPE_CHECKING:
    from PIL import Image

    from xpsr.recipe import Recipe


def kept_names(pictures: Sequence[Path], out: Path) -> dict[int, str]:
    """{place of a picture: name of its result in `out`}, where its own name does not tell.

    Pictures of equal names have results with numbers. A result stays that of the picture it was
    made of, whichever of them have come or gone since.
    """
    stems = [path.stem.casefold() for path in pictures]
    count, there = Counter(stems), _by_stem(out)
    found: dict[int, str] = {}
    for place, (path, stem) in enumerate(zip(pictures, stems, strict=True)):
        # "a-2" is no second "a" where a picture has that name itself.
        names = [
            n for n in there.get(stem, ()) if n.casefold() == stem or n.casefold() not in count
        ]
        if count[stem] == 1 and all(name.casefold() == stem for name in names):
            continue
        free = [name for name in names if name not in found.values()]
        if own := _own(path, free, out):
            found[place] = own
    return found


def _by_stem(out: Path) -> dict[str, list[str]]:
    """{stem: names of results in `out` that a picture of it may have, in the order of numbers}."""
    found: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for name in (path.stem for path in out.glob("*.png")):
        found[name.casefold()].append((1, name))
        if match := re.fullmatch(r"(.+)-([2-9]|[1-9]\d+)", name):
            found[match[1].casefold()].append((int(match[2]), name))
    return {stem: [name for _, name in sorted(names)] for stem, names in found.items()}


def _own(picture: Path, names: Sequence[str], out: Path) -> str | None:
    """The first of the names whose result was made of this picture."""
    from xpsr.image import open_image
    from xpsr.recipe import read_recipe

    if not names:
        return None
    try:
        image = open_image(picture).image
    except XPSRError:
        return None  # told when its turn comes
    for name in names:
        with suppress(XPSRError):  # no recipe: not one of ours
            if read_recipe(out / f"{name}.png").is_input(image):
                return name
    return None


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
    from xpsr.earlier import read_result

    try:
        return read_result(result, image)
    except XPSRError as error:
        why = str(error).removesuffix(".")
        raise XPSRError(f"{why}; remove it or choose another --out.") from error


def earlier_maps(sheet: Path, image: Image.Image) -> Recipe | None:
    """What the word maps that are there already were recorded with; None: they are not all there.

    Args:
        sheet: where the sheet of `image` is to be written; the maps lie beside it.
        image: the input, RGB.

    Raises:
        XPSRError: what is there is not known to be of this picture, and would be lost.
    """
    place = sheet.with_suffix(".npz")
    if not place.exists():
        return None
    import numpy as np

    from xpsr.recipe import Recipe

    instead = "remove it or choose another --word-maps."
    try:
        with np.load(place) as archive:
            recipe = Recipe.from_json(str(archive["recipe"]))
    except Exception as error:  # a stranger's file may be anything
        raise XPSRError(
            f"{place} is there already and does not tell which picture it is of; {instead}"
        ) from error
    if not recipe.is_input(image):
        raise XPSRError(f"{place} holds the word maps of another picture; {instead}")
    return recipe if sheet.exists() else None
