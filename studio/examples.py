"""Finished examples: made once by `python -m studio.examples`, shown by the page at once.

`examples/pictures/NAME.*` is restored with the embedded model into `examples/results/NAME.png`,
which carries its recipe; `NAME.json` beside it keeps the scores.
"""

from __future__ import annotations

import argparse
import json
import logging
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from xpsr.errors import XPSRError

from .results import Row, compare, write_enlarged

if TYPE_CHECKING:
    from xpsr.pipeline import XPSRPipeline
    from xpsr.recipe import Recipe

log = logging.getLogger(__name__)

HOME = Path(__file__).resolve().parents[1] / "examples"
SEED = 7
FIRST = "cat"  # on the page when it opens: its noise makes the difference plain to see


@dataclass(frozen=True)
class Example:
    """One example, copied to where the page may serve files from."""

    title: str
    picture: Path
    before: Path
    after: Path
    recipe: Recipe
    rows: tuple[Row, ...]


def title_of(path: Path) -> str:
    return path.stem.replace("_", " ").replace("-", " ").strip()


def pictures(home: Path = HOME) -> list[Path]:
    """The pictures of the examples in the order in which they are shown."""
    files = sorted((home / "pictures").glob("*"), key=lambda p: (p.stem != FIRST, p.name))
    return [p for p in files if p.suffix.lower() in (".png", ".jpg", ".jpeg", ".webp")]


def gather(folder: Path, home: Path = HOME) -> list[Example]:
    """Copy every finished example into `folder`. One that is incomplete is left out, and logged."""
    found = []
    for picture in pictures(home):
        result = home / "results" / f"{picture.stem}.png"
        if not result.exists():
            continue
        try:
            found.append(_copy(picture, result, folder / picture.stem))
        except (XPSRError, OSError, ValueError, KeyError) as error:
            log.warning("the example %s is left out: %s", picture.name, error)
    return found


def _copy(picture: Path, result: Path, folder: Path) -> Example:
    from xpsr.recipe import read_recipe

    recipe = read_recipe(result)
    folder.mkdir(parents=True, exist_ok=True)
    after = folder / f"restored-x{recipe.settings.upscale}-seed{recipe.seed}.png"
    shutil.copyfile(result, after)
    copy = folder / f"picture{picture.suffix}"
    shutil.copyfile(picture, copy)
    with Image.open(picture) as image:
        before = write_enlarged(image.convert("RGB"), recipe.output_size, folder / "before.png")
    rows = _read_scores(result.with_suffix(".json"))
    return Example(title_of(picture), copy, before, after, recipe, rows)


def _read_scores(path: Path) -> tuple[Row, ...]:
    from xpsr.metrics import METRICS, Score

    saved = json.loads(path.read_text(encoding="utf-8"))
    return tuple(
        Row(name, Score(pair["before"], None), Score(pair["after"], None))
        for name, pair in saved.items()
        if name in METRICS
    )


def _save_scores(rows: Sequence[Row], path: Path) -> None:
    pairs = {
        row.name: {"before": row.before.value, "after": row.after.value}
        for row in rows
        if row.before.value is not None and row.after.value is not None
    }
    path.write_text(json.dumps(pairs, indent=1) + "\n", encoding="utf-8")


def make(pipe: XPSRPipeline, picture: Path, out: Path, seed: int = SEED) -> Path:
    """Describe and restore one picture; returns the PNG that was written."""
    from xpsr.image import open_image
    from xpsr.prompts.describer import make_describer
    from xpsr.recipe import save_png

    image = open_image(picture).image
    said = make_describer("measured").describe(image)
    done = pipe(image, prompt=said.high, lowlevel_prompt=said.low, seed=seed)
    path = out / f"{picture.stem}.png"
    out.mkdir(parents=True, exist_ok=True)
    save_png(done.images[0], done.recipe, path)
    _save_scores(compare(image, done.images[0]), path.with_suffix(".json"))
    return path


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the results of all examples."""
    parser = argparse.ArgumentParser(prog="python -m studio.examples", description=main.__doc__)
    parser.add_argument("--model", default="mini", help="what xpsr.load takes")
    parser.add_argument("--home", type=Path, default=HOME, help="folder with pictures/")
    parser.add_argument("--seed", type=int, default=SEED)
    options = parser.parse_args(arguments)
    import xpsr

    pipe = xpsr.load(options.model)
    for picture in pictures(options.home):
        path = make(pipe, picture, options.home / "results", options.seed)
        sys.stdout.write(f"{path}\n")


if __name__ == "__main__":
    main()
