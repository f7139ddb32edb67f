"""Photos → training pairs: python -m train.prepare --images DIR --out DIR [--config FILE]

Each photo gives `variants` crops; each crop is degraded with a seed of its own and described. One
line of manifest.jsonl a pair, written after its files, so a run that was stopped goes on where it
was and every pair can be made again from its line.
"""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
import typer
import yaml
from PIL import Image
from pydantic import Field, ValidationError, field_validator
from rich.progress import Progress

from train.config import Strict
from train.degrade import RECIPES, degrade
from xpsr.errors import XPSRError
from xpsr.image import open_image
from xpsr.prompts.measured import MeasuredDescriber

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"}
MANIFEST = "manifest.jsonl"
RecipeName = Literal["paper", "mild", "heavy"]


class PrepareConfig(Strict):
    """What is made of each photo.

    Attributes:
        variants: pairs a photo.
        size: side of the high-resolution crop in pixels.
        upscale: how much smaller the low-resolution side is.
        recipe: ranges of the degradation: paper, mild or heavy; or the share of each in the pairs.
        seed: with the photo's name and the variant, the seed of a pair.
    """

    variants: int = Field(1, ge=1)
    size: int = Field(512, ge=64)
    upscale: int = Field(4, ge=1)
    recipe: RecipeName | dict[RecipeName, float] = "paper"
    seed: int = 0

    @field_validator("recipe")
    @classmethod
    def _some_share(cls, recipe: str | dict[str, float]) -> str | dict[str, float]:
        if isinstance(recipe, dict) and not (
            all(share >= 0 for share in recipe.values()) and sum(recipe.values()) > 0
        ):
            raise ValueError("give each recipe a share of 0 or more, and one of them more than 0")
        return recipe

    def draw_recipe(self, random: np.random.Generator) -> str:
        """The recipe of one pair; a single recipe costs no draw."""
        if isinstance(self.recipe, str):
            return self.recipe
        shares = np.array(list(self.recipe.values()))
        return str(random.choice(list(self.recipe), p=shares / shares.sum()))


def make_pair(photo: Image.Image, config: PrepareConfig, seed: int) -> tuple:
    """One crop and its degraded side: (HR picture, LR picture, every parameter drawn)."""
    random = np.random.default_rng(seed)
    size = config.size
    left = int(random.integers(0, photo.width - size + 1))
    top = int(random.integers(0, photo.height - size + 1))
    hr = photo.crop((left, top, left + size, top + size))
    pixels = torch.from_numpy(np.array(hr)).permute(2, 0, 1).float() / 255
    recipe = config.draw_recipe(random)
    lr, drawn = degrade(pixels, RECIPES[recipe], random, config.upscale)
    lr_pixels = (lr * 255).round().byte().permute(1, 2, 0).numpy()
    return hr, Image.fromarray(lr_pixels), {"recipe": recipe, "left": left, "top": top, **drawn}


def pair_seed(name: str, variant: int, seed: int) -> int:
    """A seed that depends on nothing but the pair: not on order, not on other photos."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{name}/{variant}".encode()).digest()[:8], "big")


def prepare(
    images: Path, out: Path, config: PrepareConfig
) -> Iterator[tuple[int, int, str | None]]:
    """Make every missing pair; yields (done, total, complaint about a photo or None)."""
    photos = sorted(p for p in images.rglob("*") if p.suffix.lower() in SUFFIXES)
    if not photos:
        raise XPSRError(f"There are no pictures in {images}.")
    done = {line["id"] for line in read_manifest(out)} if (out / MANIFEST).exists() else set()
    describer = MeasuredDescriber()
    for folder in ("HR", "LR"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    _end_last_line(out / MANIFEST)
    with (out / MANIFEST).open("a", encoding="utf-8") as manifest:
        for index, path in enumerate(photos):
            complaint = None
            name = path.relative_to(images).as_posix()
            key = hashlib.sha256(name.encode()).hexdigest()[:12]
            missing = [v for v in range(config.variants) if f"{key}_{v:03d}" not in done]
            try:
                photo = open_image(path).image if missing else None
            except XPSRError as error:
                yield index + 1, len(photos), f"{name}: {error}"
                continue
            if photo is not None and min(photo.size) < config.size:
                complaint = f"{name}: skipped, a side is shorter than {config.size} pixels"
                missing = []
            for variant in missing:
                seed = pair_seed(name, variant, config.seed)
                hr, lr, drawn = make_pair(photo, config, seed)
                pair = f"{key}_{variant:03d}"
                hr.save(out / "HR" / f"{pair}.png")
                lr.save(out / "LR" / f"{pair}.png")
                text = describer.describe(lr)
                line = {
                    "id": pair,
                    "photo": name,
                    "seed": seed,
                    "recipe": drawn.pop("recipe"),
                    "prompt": text.high,
                    "lowlevel_prompt": text.low,
                    "describer": text.source,
                    "degradation": drawn,
                }
                manifest.write(json.dumps(line, ensure_ascii=False) + "\n")
                manifest.flush()
            yield index + 1, len(photos), complaint


def _end_last_line(path: Path) -> None:
    """A stop in the middle of a line must not swallow the next one."""
    if path.exists() and not path.read_bytes().endswith(b"\n"):
        with path.open("ab") as file:
            file.write(b"\n")


def read_manifest(folder: Path) -> list[dict]:
    """Every complete line; a last line cut short by a stop is left out."""
    path = folder / MANIFEST
    if not path.is_file():
        raise XPSRError(f"{folder} holds no pairs: make them with python -m train.prepare.")
    lines = []
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(text))
        except ValueError:
            continue
    return lines


def main(
    images: Annotated[Path, typer.Option(help="Folder of photos, searched with its subfolders.")],
    out: Annotated[Path, typer.Option(help="Folder for the pairs.")],
    config: Annotated[Path | None, typer.Option(help="YAML file of options.")] = None,
) -> None:
    """Make training pairs of photos; run again to go on after a stop."""
    try:
        values = yaml.safe_load(config.read_text()) if config else {}
        options = PrepareConfig(**values)
        with Progress() as progress:
            task = progress.add_task("pairs", total=None)
            for done, total, complaint in prepare(images, out, options):
                progress.update(task, completed=done, total=total)
                if complaint:
                    progress.console.print(complaint)
        if not read_manifest(out):
            raise XPSRError("No photo could be used.")
    except (XPSRError, OSError, ValidationError, yaml.YAMLError) as error:
        typer.echo(error, err=True)
        raise typer.Exit(2) from None


if __name__ == "__main__":
    torch.set_num_threads(1)
    typer.run(main)
