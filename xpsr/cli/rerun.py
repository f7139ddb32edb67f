"""`python -m xpsr rerun`: repeat a recipe and see whether the same pixels come out."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xpsr.cli import options as o
from xpsr.cli.files import is_picture, make_folder, plan_results, refuse_strangers, whole_file
from xpsr.cli.kept import earlier
from xpsr.cli.progress import Steps
from xpsr.cli.report import SOME_FAILED, results_only, say
from xpsr.errors import XPSRError

if TYPE_CHECKING:
    from xpsr.recipe import Recipe

_Record = Annotated[
    Path, typer.Argument(metavar="PNG|JSON", help="A result with its recipe inside, or a recipe.")
]
_Image = Annotated[
    Path | None,
    typer.Option(
        metavar="IMAGE",
        help="The input. Left out: it is looked for beside the recipe and in this folder.",
    ),
]
_Model = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Folder or hub id; left out, mini, if the recipe is of it."),
]


def rerun(
    record: _Record,
    out: o.Out,
    image: _Image = None,
    model: _Model = None,
    base: o.Base = None,
    device: o.Device = None,
    dtype: o.Dtype = None,
) -> None:
    """Repeat a recipe into DIR/NAME.png; says "identical" or "not identical" (its pixels).

    Device and number format are those of the recipe, unless they are named.
    """
    with results_only() as emit:
        from xpsr.image import open_image
        from xpsr.recipe import read_recipe, save_png

        recipe = read_recipe(record)
        for note in recipe.notes:
            say(note)
        name = _model_of(recipe, model)
        source = image or _find_input(recipe, record)
        photo = open_image(source).image
        if not recipe.is_input(photo):
            say(f"{source} is not the picture that the recipe was made from.")
        (result,) = plan_results([record], out)
        refuse_strangers([result])
        earlier(result, photo)
        make_folder(out)
        from xpsr import load
        from xpsr.pipeline import result_of
        from xpsr.placement import DTYPES, using_threads

        place = device or _device(recipe)
        kind = (place or "").partition(":")[0]  # "cuda" of "cuda:1", as recipes call it
        known = kind == recipe.device and recipe.dtype in DTYPES
        number_format = dtype or (recipe.dtype if known else None)
        pipe = load(name, base=base, device=place, dtype=number_format)
        progress = Steps(1)
        with progress.picture(str(source)), using_threads(_threads(recipe)):
            items = pipe.stream(str(source), recipe.prompts, recipe.settings)
            again = result_of(items, progress.step)
        told = again.recipe.model_copy(update={"provenance": recipe.provenance})
        with whole_file(result) as part:
            save_png(again.image, told, part)
        same = recipe.is_output(again.image)
        emit("identical" if same else "not identical")
        if not same:
            _explain(recipe, again.recipe)
            raise typer.Exit(SOME_FAILED)


def _model_of(recipe: Recipe, model: str | None) -> str:
    if model is None and recipe.model != "mini":
        # A stranger's recipe must not make us download what it likes.
        raise XPSRError(
            f'The recipe was made with the model "{recipe.model}"; say where it is with --model'
            + (f', and where its base "{recipe.base}" is with --base.' if recipe.base else ".")
        )
    return model or "mini"


def _device(recipe: Recipe) -> str | None:
    """The kind of device it was made on, if there is one here; None: the best there is."""
    from xpsr.placement import choose_device

    try:
        return choose_device(recipe.device).type
    except XPSRError:
        say(f"The recipe was made on the device {recipe.device}, which is not here.")
        return None


def _threads(recipe: Recipe) -> int | None:
    """As many threads as then, if they are not far too many for this machine."""
    most = 4 * (os.cpu_count() or 1)
    return recipe.threads if recipe.threads and recipe.threads <= most else None


def _find_input(recipe: Recipe, record: Path) -> Path:
    for path in _candidates(record):
        if _is_input(recipe, path):
            return path
    raise XPSRError(
        "The picture that the recipe was made from is neither beside it nor in this folder; "
        "name it with --image."
    )


def _candidates(record: Path) -> Iterator[Path]:
    for folder in (record.resolve().parent, Path.cwd()):
        yield from sorted(path for path in folder.iterdir() if is_picture(path))


def _is_input(recipe: Recipe, path: Path) -> bool:
    from xpsr.image import open_image, read_size

    try:
        # Not decoded yet: a folder may hold thousands.
        if sorted(read_size(path)) != sorted(recipe.input_size):
            return False
        return recipe.is_input(open_image(path).image)
    except XPSRError:
        return False


def _explain(recipe: Recipe, again: Recipe) -> None:
    """Tell what differs between the two runs, which is why pixels may."""
    from xpsr.recipe_changes import changed_surroundings, same_input, surroundings

    changed = changed_surroundings(surroundings(recipe), surroundings(again))
    told = [f"{place}: {before} then, {now} now" for place, before, now in changed]
    if same_input(recipe, again) is False:
        told.append("another input picture")
    for line in told:
        say(line)
    if not told:
        say("All that the recipe records is the same; the model or a library may be another one.")
    if recipe.threads is None and again.threads is not None:
        say("The recipe does not say how many threads were used; that alone can change pixels.")
