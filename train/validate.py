"""Clean photos → degraded → restored → scored beside bicubic:

python -m train.validate --images DIR --out DIR [--model mini] [--recipe mild --recipe paper …]

Every degradation is seeded by the photo's name, so two models are judged on the same pictures. The
figures of the embedded model's card come from here.
"""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from PIL import Image
from rich.console import Console
from rich.table import Table

import xpsr
from train.prepare import SUFFIXES, PrepareConfig, make_pair, pair_seed
from xpsr.errors import XPSRError
from xpsr.image import open_image, resize
from xpsr.metrics import METRICS, score
from xpsr.prompts.measured import MeasuredDescriber

DEFAULT_METRICS = ("psnr", "ssim", "gmsd", "piqe", "backprojection")
SEED = 20_240_305  # of the degradations; apart from every training seed


def restored_pairs(
    pipe: xpsr.XPSRPipeline, photos: list[Path], recipe: str, settings: dict[str, Any]
) -> Iterator[tuple[str, Image.Image, Image.Image, Image.Image, Image.Image]]:
    """(name, clean, low-quality, bicubic, restored) for each photo."""
    describer = MeasuredDescriber()
    for path in photos:
        photo = open_image(path).image
        side = min(512, min(photo.size) // 8 * 8)
        config = PrepareConfig(size=side, recipe=recipe)
        clean, low, _ = make_pair(photo, config, pair_seed(path.name, 0, SEED))
        text = describer.describe(low)
        restored = pipe(low, prompt=text.high, lowlevel_prompt=text.low, **settings).images[0]
        yield path.stem, clean, low, resize(low, clean.size), restored


def high_frequency(image: Image.Image) -> float:
    """Energy above half of the low-resolution picture's Nyquist frequency, of the luma."""
    luma = np.asarray(image.convert("L"), dtype=np.float64)
    spectrum = np.abs(np.fft.fft2(luma - luma.mean())) ** 2
    y, x = (np.abs(np.fft.fftfreq(side))[:, None] for side in luma.shape)
    return float(spectrum[np.hypot(y, x.T) > 1 / 8].mean())


def rows_for(name: str, recipe: str, pictures: tuple[Image.Image, ...]) -> list[dict[str, Any]]:
    """One row for bicubic and one for the restored picture."""
    clean, low, bicubic, restored = pictures
    truth = high_frequency(clean)
    rows = []
    for method, image in (("bicubic", bicubic), ("restored", restored)):
        scores = score(image, reference=clean, input=low, metrics=DEFAULT_METRICS)
        values = {metric: found.value for metric, found in scores.items()}
        values["detail"] = high_frequency(image) / truth
        rows.append({"picture": name, "recipe": recipe, "method": method, **values})
    return rows


def sheet(pictures: list[tuple[Image.Image, ...]], path: Path, side: int = 256) -> None:
    """Contact sheet: a row a picture, its middle: clean, bicubic, restored."""
    canvas = Image.new("RGB", (side * 3, side * len(pictures)))
    for row, (clean, _, bicubic, restored) in enumerate(pictures):
        for column, image in enumerate((clean, bicubic, restored)):
            left, top = ((s - side) // 2 for s in image.size)
            crop = image.crop((left, top, left + side, top + side))
            canvas.paste(crop, (column * side, row * side))
    canvas.save(path)


def summary(rows: list[dict[str, Any]]) -> Table:
    """Means of both methods, and on how many pictures the restored one is better."""
    table = Table(title="mean bicubic → mean restored (better on)")
    names = [*DEFAULT_METRICS, "detail"]
    for title in ("recipe", "pictures", *names):
        table.add_column(title)
    for recipe in dict.fromkeys(row["recipe"] for row in rows):
        of_recipe = [row for row in rows if row["recipe"] == recipe]
        before = [row for row in of_recipe if row["method"] == "bicubic"]
        after = [row for row in of_recipe if row["method"] == "restored"]
        cells = [_cell(name, before, after) for name in names]
        table.add_row(recipe, str(len(after)), *cells)
    return table


def _cell(name: str, before: list[dict], after: list[dict]) -> str:
    pairs = [(b[name], a[name]) for b, a in zip(before, after, strict=True)]
    if name == "detail":  # the original's is 1: nearer to it is better
        better = sum(abs(np.log(a)) < abs(np.log(b)) for b, a in pairs)
    elif METRICS[name].lower_better:
        better = sum(a < b for b, a in pairs)
    else:
        better = sum(a > b for b, a in pairs)
    b, a = np.mean(pairs, axis=0)
    return f"{b:.3f} → {a:.3f} ({better}/{len(pairs)})"


def main(
    images: Annotated[Path, typer.Option(help="Folder of clean photos.")],
    out: Annotated[Path, typer.Option(help="Folder for scores.csv and contact sheets.")],
    model: Annotated[str, typer.Option(help="mini, a folder or a hub id.")] = "mini",
    recipe: Annotated[list[str] | None, typer.Option(help="mild, paper or heavy.")] = None,
    preset: Annotated[str | None, typer.Option(help="Settings; default: the model's own.")] = None,
    steps: Annotated[int | None, typer.Option(help="num_inference_steps.")] = None,
    guidance_scale: Annotated[float | None, typer.Option()] = None,
    scheduler: Annotated[str | None, typer.Option()] = None,
    limit: Annotated[int | None, typer.Option(help="Only so many photos.")] = None,
) -> None:
    """Restore degraded photos and score them beside bicubic."""
    settings = {
        "preset": preset,
        "num_inference_steps": steps,
        "guidance_scale": guidance_scale,
        "scheduler": scheduler,
    }
    try:
        photos = sorted(p for p in images.iterdir() if p.suffix.lower() in SUFFIXES)[:limit]
        if not photos:
            raise XPSRError(f"There are no pictures in {images}.")
        pipe = xpsr.load(model)
        out.mkdir(parents=True, exist_ok=True)
        rows = []
        for name in recipe or ["paper"]:
            pictures = []
            for stem, *found in restored_pairs(pipe, photos, name, settings):
                pictures.append(tuple(found))
                rows += rows_for(stem, name, pictures[-1])
            sheet(pictures, out / f"sheet_{name}.png")
        with (out / "scores.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, rows[0].keys())
            writer.writeheader()
            writer.writerows(rows)
        Console().print(summary(rows))
    except (XPSRError, OSError) as error:
        typer.echo(error, err=True)
        raise typer.Exit(2) from None


if __name__ == "__main__":
    typer.run(main)
