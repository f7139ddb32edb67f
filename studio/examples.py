"""Finished examples: made once by `python -m studio.examples`, shown by the page at once.

`examples/pictures/NAME.*` is restored with the embedded model into `examples/results/NAME.png`,
which carries its recipe; `NAME.json` beside it keeps the scores.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from xpsr.errors import XPSRError

from .results.names import result_name
from .results.outputs import Run
from .results.scores import (
    Row,
    compare,
    read_rows,
    shown_metrics,
    write_enlarged,
    write_rows,
    write_thumb,
)
from .results.whole import lend_as, make_once

if TYPE_CHECKING:
    from xpsr.pipeline import XPSRPipeline
    from xpsr.recipe import Recipe

log = logging.getLogger(__name__)

HOME = Path(__file__).resolve().parents[1] / "examples"
SEED = 7
FIRST = "cat"  # on the page when it opens: its noise makes the difference plain to see


def title_of(path: Path) -> str:
    return path.stem.replace("_", " ").replace("-", " ").strip()


def pictures(home: Path = HOME) -> list[Path]:
    """The pictures of the examples in the order in which they are shown."""
    files = sorted((home / "pictures").glob("*"), key=lambda p: (p.stem != FIRST, p.name))
    return [p for p in files if p.suffix.lower() in (".png", ".jpg", ".jpeg", ".webp")]


class Examples(Mapping[str, Run]):
    """Finished examples by their ids; what was removed of one is made again when it is asked for.

    Args:
        serve: for each id, what lends the files and tells of them.
    """

    def __init__(self, serve: Mapping[str, Callable[[], Run]]) -> None:
        self._serve = serve

    def __getitem__(self, run_id: str) -> Run:
        return self._serve[run_id]()

    def __iter__(self) -> Iterator[str]:
        return iter(self._serve)

    def __len__(self) -> int:
        return len(self._serve)


def gather(folder: Path, home: Path = HOME) -> Examples:
    """Every finished example, served from `folder`. An incomplete one is left out, and logged."""
    from xpsr.recipe import read_recipe

    found = {}
    for picture in pictures(home):
        result = home / "results" / f"{picture.stem}.png"
        if not result.exists():
            continue
        try:
            rows = read_rows(result.with_suffix(".json"))
            serve = partial(
                _serve, picture, result, read_recipe(result), rows, folder / picture.stem
            )
            found[serve().id] = serve
        except (XPSRError, OSError, ValueError, KeyError) as error:
            log.warning("the example %s is left out: %s", picture.name, error)
    return Examples(found)


def _serve(picture: Path, result: Path, recipe: Recipe, rows: tuple[Row, ...], folder: Path) -> Run:
    after = lend_as(result, folder / result_name(title_of(picture), recipe))
    enlarged = partial(write_enlarged, picture, recipe.output_size)
    return Run(
        id=f"example-{picture.stem}",
        title=title_of(picture),
        picture=lend_as(picture, folder / f"picture{picture.suffix}"),
        after=after,
        thumb=make_once(folder / "thumb.jpg", partial(write_thumb, after)),
        recipe_file=make_once(
            after.with_suffix(".json"),
            lambda path: path.write_text(recipe.to_json(), encoding="utf-8"),
        ),
        recipe=recipe,
        seconds=0.0,
        make_before=partial(make_once, folder / "before.png", enlarged),
        rows=rows,
    )


def make(pipe: XPSRPipeline, picture: Path, out: Path, seed: int = SEED) -> Path:
    """Describe and restore one picture; returns the PNG that was written."""
    from xpsr.image import open_image
    from xpsr.prompts.describer import make_describer
    from xpsr.recipe import save_png
    from xpsr.whole import whole

    image = open_image(picture).image
    said = make_describer("measured").describe(image)
    done = pipe(image, prompt=said.high, lowlevel_prompt=said.low, seed=seed)
    path = out / f"{picture.stem}.png"
    out.mkdir(parents=True, exist_ok=True)
    with whole(path) as part:  # in its place, for pages that run have the former as their own
        save_png(done.images[0], done.recipe, part)
    write_rows(compare(image, done.images[0], shown_metrics()), path.with_suffix(".json"))
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
