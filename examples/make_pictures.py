"""Makes examples/pictures: free photos, reduced and damaged as old or forwarded pictures are.

    pip install scikit-image
    python -m examples.make_pictures

The photos come with scikit-image; README.md beside this file names their authors and licences.
Every number below is fixed, so a second run writes the same files.
"""

from argparse import ArgumentParser
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image, ImageFilter

FOLDER = Path(__file__).parent / "pictures"

SAID = __doc__.split("\n")[0]


@dataclass(frozen=True)
class Damage:
    """What is done to one photo.

    Args:
        photo: name of the function in skimage.data.
        box: part of the photo that is used (left, top, right, bottom).
        width: of the low-quality picture, in pixels.
        blur: sigma in pixels of the low-quality picture.
        noise: sigma in grey levels of 255.
        quality: of the JPEG; None writes a PNG.
    """

    photo: str
    box: tuple[int, int, int, int]
    width: int
    blur: float
    noise: float
    quality: int | None


DAMAGES = {
    "astronaut": Damage("astronaut", (76, 0, 396, 320), 128, blur=0.5, noise=3, quality=45),
    "cat": Damage("chelsea", (60, 20, 420, 290), 128, blur=0.4, noise=11, quality=None),
    "coffee": Damage("coffee", (60, 0, 580, 400), 130, blur=0.7, noise=2, quality=30),
    "photographer": Damage("camera", (80, 30, 400, 350), 112, blur=1.1, noise=5, quality=None),
    "rocket": Damage("rocket", (200, 0, 520, 427), 108, blur=0.6, noise=6, quality=50),
}


def damage(plan: Damage, seed: int) -> Image.Image:
    """Reduce, blur and add noise; the JPEG comes with saving."""
    photo = Image.fromarray(getattr(skimage.data, plan.photo)()).convert("RGB").crop(plan.box)
    shrink = photo.width / plan.width
    blurred = photo.filter(ImageFilter.GaussianBlur(plan.blur * shrink))
    small = blurred.resize((plan.width, round(photo.height / shrink)), Image.Resampling.BICUBIC)
    grain = np.random.default_rng(seed).normal(0, plan.noise, (small.height, small.width, 3))
    noisy = np.asarray(small, dtype=np.float64) + grain
    return Image.fromarray(noisy.clip(0, 255).round().astype(np.uint8))


def main() -> None:
    """Write all pictures."""
    ArgumentParser(prog="python -m examples.make_pictures", description=SAID).parse_args()
    FOLDER.mkdir(exist_ok=True)
    for seed, (name, plan) in enumerate(DAMAGES.items()):
        picture = damage(plan, seed)
        if plan.quality is None:
            path = FOLDER / f"{name}.png"
            picture.save(path, optimize=True)
        else:
            path = FOLDER / f"{name}.jpg"
            picture.save(path, quality=plan.quality)
        print(f"{path.name}: {picture.width} x {picture.height}, {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
