"""The project's own evaluation, in one command:

python -m train.report --val CLEAN_PHOTOS --pairs FOLDER_OF_LR_AND_HR --real LOW_QUALITY --out DIR

Clean photos are degraded by the three recipes, each with a seed of its own name; pairs and
low-quality photos are taken as they are. Each set goes through `python -m xpsr evaluate`, which
goes on where it was stopped. DIR/report.md is the table of all of them, DIR/sheet.jpg shows crops.
A picture that cannot be used is named and left out, and the exit code is then 1.
"""

import csv
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from PIL import Image

from train.degrade import RECIPES
from train.disk import read_json, save_png, write_whole
from train.files import file_hash, find_photos, name_below
from train.terminal import SOME_LEFT_OUT, follow, sentences
from train.validate import as_markdown, degraded_photo, middle
from xpsr.cli.files import find_pictures
from xpsr.cli.lock import alone
from xpsr.errors import XPSRError
from xpsr.evaluation.pairs import Pair, find_pairs
from xpsr.image import open_image, resize
from xpsr.inspection import inspect_model
from xpsr.settings import Settings

# With originals: those that need no download. Without: those that look at one picture.
COMPARING = ("psnr", "ssim", "gmsd", "piqe", "backprojection")
ALONE = ("piqe", "backprojection")
HEADS = {
    "psnr": ("PSNR ↑", 2),
    "ssim": ("SSIM ↑", 3),
    "gmsd": ("GMSD ↓", 3),
    "piqe": ("PIQE ↓", 1),
    "backprojection": ("Agrees with the input ↑", 1),
}
SIDE = 192  # of the crops on the sheet
PER_SET = 4
PHOTOS = "photos.json"  # the hash of the photo behind every picture made


@dataclass(frozen=True)
class PictureSet:
    """A set of pictures.

    Attributes:
        name: for people.
        low, high: the folders of inputs and originals.
        left_out: how many photos could not be used for it.
    """

    name: str
    low: Path
    high: Path | None
    left_out: int = 0


def degraded(images: Path, recipe: str, out: Path, limit: int | None) -> PictureSet:
    """Clean photos and what one recipe leaves of them; what is there already stays.

    Raises:
        XPSRError: what is there was made of other photos, or two photos would get one name.
    """
    photos = _by_name(images)
    asked = dict([*photos.items()][:limit])

    def work() -> Iterator[tuple[int, int, str | None]]:
        for done, (name, path) in enumerate(asked.items(), 1):
            low, high = (folder / f"{name}.png" for folder in (out / "LR", out / "HR"))
            complaint = None
            if not (low.exists() and high.exists()):
                complaint = _degrade(path, recipe, low, high)
            yield done, len(asked), complaint

    for folder in (out / "LR", out / "HR"):
        folder.mkdir(parents=True, exist_ok=True)
    _same_photos(out, photos, asked)
    left_out = follow(f"degrading, {recipe}", work())
    return PictureSet(f"{_name(images)}, {recipe}", out / "LR", out / "HR", left_out)


def _by_name(images: Path) -> dict[str, Path]:
    """Every photo by the name of what is made of it, which has no folders and no suffix."""
    found: dict[str, Path] = {}
    for path in find_photos(images):
        name = name_below(images, path.with_suffix("")).replace("/", "_")
        if name in found:
            raise XPSRError(f"{found[name]} and {path} would both be {name}.png; rename one.")
        found[name] = path
    return found


def _same_photos(out: Path, photos: dict[str, Path], asked: dict[str, Path]) -> None:
    """Refuse to mix pictures of other photos into a set; more photos may be added."""
    path = out / PHOTOS
    damaged = "the pictures beside it may be of any photos; choose another folder for --out"
    before = read_json(path, damaged) if path.is_file() else {}
    there = {made.stem for made in (out / "HR").glob("*.png")}
    # What is there counts in the table whether it is asked for or not.
    now = {name: file_hash(photos[name]) for name in photos if name in asked or name in there}
    if any(name not in now or now[name] != before.get(name) for name in there):
        raise XPSRError(f"{out} holds pictures of other photos; choose another folder for --out.")
    write_whole(path, json.dumps(before | now, indent=1))


def _degrade(path: Path, recipe: str, low: Path, high: Path) -> str | None:
    try:
        clean, small, _ = degraded_photo(path, recipe)
    except XPSRError as error:
        return f"{path.name}: left out, {error}"
    save_png(clean, high)
    save_png(small, low)
    return None


def evaluate(one: PictureSet, out: Path, more: list[str]) -> bool:
    """The set's own table; what is finished is not done again. Whether all pictures are in it."""
    command = [sys.executable, "-m", "xpsr", "evaluate", "--lr", str(one.low), "--out", str(out)]
    if one.high is not None:
        command += ["--hr", str(one.high)]
    command += ["--metrics", ",".join(COMPARING if one.high else ALONE), *more]
    code = subprocess.run(command, stdout=subprocess.DEVNULL).returncode
    # Some pictures may have no row, and the table says of how many it is; of none there is none.
    if code not in (0, SOME_LEFT_OUT) or not (out / "table.csv").is_file():
        raise XPSRError(f"The evaluation of {one.name} did not end well; see above.")
    return code == 0


def rows(sets: list[PictureSet], out: Path) -> Iterator[list[str]]:
    """The table of all sets, the heads first."""
    yield ["Set", "Pictures", "Method", *(head for head, _ in HEADS.values())]
    for one in sets:
        with (_folder(one, out) / "table.csv").open(encoding="utf-8", newline="") as file:
            for line in csv.DictReader(file):
                if line["source"] == "measured":
                    figures = [_figure(line.get(name), digits) for name, (_, digits) in
                               HEADS.items()]  # fmt: skip
                    yield [one.name, line["pictures"], line["method"], *figures]


def sheet(sets: list[PictureSet], out: Path) -> Image.Image:
    """The middle of the first pictures of each set: enlarged, restored, and the original."""
    shown = [found for one in sets for found in _results(one, out)[:PER_SET]]
    canvas = Image.new("RGB", (3 * SIDE, SIDE * len(shown)), "white")
    for row, (path, pair) in enumerate(shown):
        result = open_image(path).image
        columns = [resize(open_image(pair.low).image, result.size), result]
        if pair.high is not None:
            columns.append(open_image(pair.high).image)
        for column, picture in enumerate(columns):
            canvas.paste(middle(picture, SIDE), (column * SIDE, row * SIDE))
    return canvas


def _results(one: PictureSet, out: Path) -> list[tuple[Path, Pair]]:
    """The results of a set, each with what it was made of."""
    lows, highs = find_pictures([one.low]), find_pictures([one.high]) if one.high else None
    pairs = find_pairs(lows, highs, Settings().upscale).pairs
    found = [(_folder(one, out) / "pictures" / f"{pair.name}.png", pair) for pair in pairs]
    return [(path, pair) for path, pair in found if path.is_file()]


def _name(folder: Path) -> str:
    return folder.resolve().name  # that of "." is empty


def _folder(one: PictureSet, out: Path) -> Path:
    return out / one.name.replace(", ", "-")


def _figure(text: str | None, digits: int) -> str:
    return f"{float(text):.{digits}f}" if text else "–"


def main(
    out: Annotated[Path, typer.Option(help="Folder for everything that is made.")],
    val: Annotated[Path | None, typer.Option(help="Clean photos, to be degraded.")] = None,
    pairs: Annotated[Path | None, typer.Option(help="A folder with LR and HR in it.")] = None,
    real: Annotated[Path | None, typer.Option(help="Low-quality photos without originals.")] = None,
    model: Annotated[str, typer.Option(help="mini, a folder or a hub id.")] = "mini",
    base: Annotated[str | None, typer.Option(help="Base of a model that needs one.")] = None,
    preset: Annotated[str | None, typer.Option(help="Default: the model's own.")] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Only so many pictures of each set.")
    ] = None,
) -> None:
    """Evaluate a model on clean photos, pairs and low-quality photos; one table, one sheet."""
    with sentences(), alone(out):
        if pairs and real and _name(pairs) == _name(real):
            raise XPSRError(
                f"--pairs and --real are both named {_name(real)}, and so would be their results:"
                " rename one of the folders."
            )
        for folder in (val, real, *((pairs / "LR", pairs / "HR") if pairs else ())):
            if folder is not None and not folder.is_dir():
                raise XPSRError(f"There is no folder {folder}.")
        inspect_model(model, base)  # a wrong name is told before all photos are degraded
        if preset is not None:
            Settings.from_preset(preset)
        sets = [degraded(val, one, out / "made" / one, limit) for one in RECIPES] if val else []
        sets += [PictureSet(_name(pairs), pairs / "LR", pairs / "HR")] if pairs else []
        sets += [PictureSet(_name(real), real, None)] if real else []
        if not sets:
            raise XPSRError("Give at least one of --val, --pairs and --real.")
        options = {"model": model, "base": base, "preset": preset, "limit": limit}
        given = {f"--{name}": str(value) for name, value in options.items() if value}
        more = [word for option in given.items() for word in option]
        well = [evaluate(one, _folder(one, out), more) for one in sets]
        text = as_markdown(list(rows(sets, out)))
        (out / "report.md").write_text(text, encoding="utf-8")
        sheet(sets, out).save(out / "sheet.jpg", quality=92)
        typer.echo(text)
        if not all(well) or any(one.left_out for one in sets):
            raise typer.Exit(SOME_LEFT_OUT)


if __name__ == "__main__":
    typer.run(main)
