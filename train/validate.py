"""Clean photos → degraded → restored → scored beside bicubic:

python -m train.validate --images DIR --out DIR [--model mini] [--recipe mild --recipe paper …]
    [--setting default --setting num_inference_steps=4,guidance_scale=1.5 …]

Every degradation is seeded by the photo's name, so two models are judged on the same pictures. A
line of scores.csv is written as soon as a picture is scored; run again and only what is missing is
done. run.json holds the hash of every photo: another one of the same name is refused. A photo that
cannot be used is named and left out, and the exit code is then 1. The figures of the embedded
model's card come from here.
"""

import csv
import json
import re
from collections.abc import Collection, Iterator
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from PIL import Image

import xpsr
from train.degrade import RECIPES
from train.disk import read_json, write_whole
from train.files import file_hash, named_photos
from train.networks import weights_hash
from train.options import read_value
from train.pairing import PairConfig, make_pair, pair_seed
from train.scores import NAMES, better, scores_of
from train.terminal import SOME_LEFT_OUT, follow, sentences
from xpsr.cli.lock import alone
from xpsr.cli.run_options import describer_for
from xpsr.errors import XPSRError
from xpsr.image import open_image, resize
from xpsr.prompts import PROMPT_NAMES
from xpsr.prompts.describer import make_describer
from xpsr.settings import SETTING_NAMES, Settings

SEED = 20_240_305  # of the degradations; apart from every training seed
BICUBIC = "bicubic"
RUN = "run.json"
COLUMNS = ("recipe", "picture", "method", "degradation_seed", "seed", *NAMES)
DAMAGED = "the scores beside it may be of anything; choose another folder"
EXPLAINED = "Mean of bicubic → mean of restored (better on). Detail: the original's is 1."
SIDE = 256  # of the crops on the contact sheets
# The pictures say by how much they are enlarged.
KEYS = ("preset", *(name for name in SETTING_NAMES if name != "upscale"), *PROMPT_NAMES)


def read_setting(text: str) -> dict[str, Any]:
    """`default` or `key=value,key=value` → what to call the pipeline with.

    A comma that no `key=` follows belongs to the value: texts may hold some.
    """
    if text == "default":
        return {}
    found: dict[str, Any] = {}
    for part in re.split(r",(?=\s*\w+=)", text):
        key, equals, value = part.strip().partition("=")
        if not equals or key not in KEYS:
            raise XPSRError(
                f"Write a setting as default or key=value,key=value, not {part!r}; the keys are"
                f" {', '.join(KEYS)}."
            )
        found[key] = value if key in PROMPT_NAMES else read_value(key, value)
    numbers = {k: v for k, v in found.items() if k in SETTING_NAMES}
    Settings.from_preset(found.get("preset", "official"), **numbers)  # refused before the work
    return found


class Table:
    """scores.csv: a line a picture and method, added as it is made.

    Args:
        path: the file.
        pictures: those that `column` gives; the file may hold more, from runs with other photos.
            None = all.
    """

    def __init__(self, path: Path, pictures: Collection[str] | None = None):
        self.path, self.pictures = path, pictures
        if path.exists() and not (there := path.read_bytes()).endswith(b"\n"):
            with path.open("r+b") as file:  # a stop in the middle of a line
                file.truncate(there.rfind(b"\n") + 1)
        with path.open("a+", newline="", encoding="utf-8") as file:
            if not file.tell():
                csv.writer(file).writerow(COLUMNS)
            file.seek(0)
            self.rows = list(csv.DictReader(file))

    def has(self, recipe: str, picture: str, method: str) -> bool:
        wanted = {"recipe": recipe, "picture": picture, "method": method}
        return any(wanted.items() <= row.items() for row in self.rows)

    def add(self, **row: Any) -> None:
        text = {name: "" if row[name] is None else str(row[name]) for name in COLUMNS}
        self.rows.append(text)
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, COLUMNS).writerow(text)

    def column(self, recipe: str, method: str, name: str) -> dict[str, float]:
        """{picture: figure} of the pictures asked for, without those that have none."""
        return {
            row["picture"]: float(row[name])
            for row in self.rows
            if (row["recipe"], row["method"]) == (recipe, method)
            and row[name]
            and (self.pictures is None or row["picture"] in self.pictures)
        }


class Examination:
    """One model, some settings, the photos by name, the folder of its report, and who describes.

    Raises:
        XPSRError: the folder holds scores of another model, or of another photo of a name.
    """

    def __init__(
        self,
        pipe: xpsr.XPSRPipeline,
        settings: dict[str, dict],
        out: Path,
        photos: dict[str, Path],
        describer: str = "measured",
    ):
        self.pipe, self.settings, self.out, self.photos = pipe, settings, out, photos
        self.describer = make_describer(describer)
        out.mkdir(parents=True, exist_ok=True)
        self.table = Table(out / "scores.csv", photos)
        _same_run(out / RUN, identity(pipe), photos, {row["picture"] for row in self.table.rows})

    def photo(self, name: str, recipe: str) -> None:
        """Score whatever is missing for one photo."""
        missing = [
            method
            for method in (BICUBIC, *self.settings)
            if not self.table.has(recipe, name, method)
        ]
        if not missing:
            return
        clean, low, seed = degraded_photo(self.photos[name], recipe)
        text = self.describer.describe(low)
        described = {"prompt": text.high, "lowlevel_prompt": text.low}
        self._crop(recipe, name, "original", clean)
        for method in missing:
            if method == BICUBIC:
                image, noise = resize(low, clean.size), None
            else:
                output = self.pipe(low, **(described | self.settings[method]))
                image, noise = output.images[0], output.recipe.settings.seed
            self._crop(recipe, name, method, image)
            values = scores_of(image, clean, low)
            row = {"recipe": recipe, "picture": name, "method": method, **values}
            self.table.add(degradation_seed=seed, seed=noise, **row)

    def sheet(self, recipe: str) -> None:
        """Contact sheet: a row a picture, its middle: original, bicubic, every setting."""
        columns = ("original", BICUBIC, *self.settings)
        canvas = Image.new("RGB", (SIDE * len(columns), SIDE * len(self.photos)))
        for row, name in enumerate(self.photos):
            for column, method in enumerate(columns):
                file = self._crop_path(recipe, name, method)
                if file.is_file():
                    canvas.paste(Image.open(file), (column * SIDE, row * SIDE))
        canvas.save(self.out / f"sheet_{recipe}.png")

    def _crop(self, recipe: str, name: str, method: str, image: Image.Image) -> None:
        path = self._crop_path(recipe, name, method)
        path.parent.mkdir(parents=True, exist_ok=True)
        middle(image, SIDE).save(path)

    def _crop_path(self, recipe: str, name: str, method: str) -> Path:
        return self.out / "crops" / f"{name} {recipe} {method.replace('/', '_')}.png"


def degraded_photo(path: Path, recipe: str) -> tuple[Image.Image, Image.Image, int]:
    """A crop of a clean photo, what the recipe leaves of it, and the seed, which its name gives.

    Raises:
        XPSRError: the photo cannot be read or is too small.
    """
    photo = open_image(path).image
    size = min(512, min(photo.size) // 8 * 8)
    if size < 64:
        raise XPSRError("a side is shorter than 64 pixels")
    seed = pair_seed(path.name, 0, SEED)
    clean, low, _ = make_pair(photo, PairConfig(size=size, recipe=recipe), seed)
    return clean, low, seed


def middle(picture: Image.Image, side: int) -> Image.Image:
    """A square out of it; black where the picture is smaller."""
    left, top = ((length - side) // 2 for length in picture.size)
    return picture.crop((left, top, left + side, top + side))


def identity(pipe: xpsr.XPSRPipeline) -> dict[str, str]:
    """Whose scores a folder holds."""
    parts = (getattr(pipe, name) for name in ("vae", "text_encoder", "unet", "controlnet"))
    weights = (weight for part in parts for weight in part.state_dict().values())
    return {"model": pipe.label, "weights_sha256": weights_hash(weights)}


def holds_scores_of(pipe: xpsr.XPSRPipeline, out: Path) -> bool:
    """Whether the scores in a folder are this very model's."""
    return identity(pipe).items() <= read_json(out / RUN, DAMAGED).items()


def _same_run(path: Path, model: dict[str, str], photos: dict[str, Path], scored: set[str]) -> None:
    """Refuse to mix scores of two models, or of two photos of one name, in one table."""
    before = read_json(path, DAMAGED) if path.is_file() else model
    hashes = before.pop("photos", {})
    if before != model:
        raise XPSRError(f"{path.parent} holds scores of another model; choose another folder.")
    now = {name: file_hash(photo) for name, photo in photos.items()}
    for name in scored & now.keys():
        if hashes.get(name) != now[name]:
            raise XPSRError(
                f"The {name} whose scores are in {path.parent} is not known to be this picture;"
                " choose another folder."
            )
    write_whole(path, json.dumps({**model, "photos": hashes | now}, indent=1))


def summary(table: Table, recipes: list[str], settings: list[str]) -> Iterator[list[str]]:
    """Rows of the report, the title first: means of bicubic and restored, and how often better."""
    yield ["recipe", "setting", "pictures", *NAMES]
    for recipe in recipes:
        for setting in settings:
            count = len(table.column(recipe, setting, "psnr"))
            yield [recipe, setting, str(count), *(_cell(table, recipe, setting, n) for n in NAMES)]


def _cell(table: Table, recipe: str, setting: str, name: str) -> str:
    before, after = (table.column(recipe, method, name) for method in (BICUBIC, setting))
    shared = sorted(before.keys() & after.keys())
    if not shared:
        return "–"
    wins = sum(better(name, after[p], before[p]) for p in shared)
    means = (float(np.mean([column[p] for p in shared])) for column in (before, after))
    return "{:.3f} → {:.3f} ({}/{})".format(*means, wins, len(shared))


def as_markdown(rows: list[list[str]]) -> str:
    """A Markdown table; the first row is its title."""
    lines = [" | ".join(row) for row in rows]
    lines.insert(1, " | ".join("---" for _ in rows[0]))
    return "".join(f"| {line} |\n" for line in lines)


def main(
    images: Annotated[Path, typer.Option(help="Folder of clean photos, with its subfolders.")],
    out: Annotated[Path, typer.Option(help="Folder for scores.csv, summary.md, contact sheets.")],
    model: Annotated[str, typer.Option(help="mini, a folder or a hub id.")] = "mini",
    base: Annotated[str | None, typer.Option(help="Base of a model that needs one.")] = None,
    recipe: Annotated[
        list[str] | None, typer.Option(help="mild, paper or heavy; again for more. Default: all.")
    ] = None,
    setting: Annotated[
        list[str] | None, typer.Option(help="default or key=value,key=value; again for more.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only so many photos.")] = None,
) -> None:
    """Restore degraded photos and score them beside bicubic."""
    with sentences():
        recipes = recipe or ["mild", "paper", "heavy"]
        if unknown := [name for name in recipes if name not in RECIPES]:
            raise XPSRError(f"There is no recipe {unknown[0]!r}: choose from {', '.join(RECIPES)}.")
        settings = {text: read_setting(text) for text in setting or ["default"]}
        photos = named_photos(images, out, limit)
        with alone(out):
            who = describer_for(model, None)
            work = Examination(xpsr.load(model, base=base), settings, out, photos, who)
            left_out = examine(work, recipes)
            rows = list(summary(work.table, recipes, list(settings)))
            text = f"{EXPLAINED}\n\n{as_markdown(rows)}"
            (out / "summary.md").write_text(text, encoding="utf-8")
        typer.echo(text)
        if left_out:
            raise typer.Exit(SOME_LEFT_OUT)


def examine(work: Examination, recipes: list[str]) -> int:
    """Every photo with every recipe; how many could not be used, which are told and left out."""

    def every() -> Iterator[tuple[int, int, str | None]]:
        total = len(work.photos) * len(recipes)
        for done, (recipe, photo) in enumerate(product(recipes, work.photos), 1):
            complaint = None
            try:
                work.photo(photo, recipe)
            except XPSRError as error:
                complaint = f"{photo}: left out, {error}"
            yield done, total, complaint

    left_out = follow("photos", every())
    for recipe in recipes:
        work.sheet(recipe)
    return left_out


if __name__ == "__main__":
    typer.run(main)
