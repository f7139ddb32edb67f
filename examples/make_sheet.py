"""Makes examples/sheet.jpg: what the embedded model does to the example pictures, side by side.

    pip install scikit-image
    python -m examples.make_sheet

From top to bottom: enlarged by bicubic, restored with the texts of the measured describer, and the
photo that was damaged (see make_pictures.py). The crops of a picture show the same place.
"""

from argparse import ArgumentParser
from pathlib import Path

import skimage.data
from PIL import Image

import xpsr
from examples.make_pictures import DAMAGES, FOLDER, Damage
from xpsr.prompts.describer import make_describer

SHEET = Path(__file__).parent / "sheet.jpg"
SIDE = 256
SAID = __doc__.split("\n")[0]


def original(plan: Damage, size: tuple[int, int]) -> Image.Image:
    """The part of the photo that was damaged, at the size of the result."""
    photo = Image.fromarray(getattr(skimage.data, plan.photo)()).convert("RGB").crop(plan.box)
    return photo.resize(size, Image.Resampling.LANCZOS)


def middle(picture: Image.Image) -> Image.Image:
    left, top = ((side - SIDE) // 2 for side in picture.size)
    return picture.crop((left, top, left + SIDE, top + SIDE))


def main() -> None:
    """Restore the pictures and write the sheet."""
    ArgumentParser(prog="python -m examples.make_sheet", description=SAID).parse_args()
    pipe, describer = xpsr.load("mini"), make_describer("measured")
    canvas = Image.new("RGB", (len(DAMAGES) * SIDE, 3 * SIDE))
    for column, (name, plan) in enumerate(DAMAGES.items()):
        (path,) = FOLDER.glob(f"{name}.*")
        with Image.open(path) as file:
            low = file.convert("RGB")
        said = describer.describe(low)
        result = pipe(low, said.high, said.low).images[0]
        enlarged = low.resize(result.size, Image.Resampling.BICUBIC)
        for row, picture in enumerate((enlarged, result, original(plan, result.size))):
            canvas.paste(middle(picture), (column * SIDE, row * SIDE))
    canvas.save(SHEET, quality=90)
    print(f"{SHEET.name}: {canvas.width} x {canvas.height}, {SHEET.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
