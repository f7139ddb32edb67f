"""Restores one picture with the embedded model; the two texts are measured, or yours.

python -m examples.restore [PICTURE] [WHAT IS IN IT] [HOW IT LOOKS]
"""

import sys
from argparse import ArgumentParser
from pathlib import Path

import xpsr
from xpsr.image import open_image
from xpsr.prompts.describer import make_describer

CAT = Path(__file__).parent / "pictures" / "cat.png"


def restore(picture: Path, content: str | None, quality: str | None) -> Path:
    """Restore a picture into the present folder; returns the file."""
    photo = open_image(picture)
    said = make_describer("measured").describe(photo.image)
    prompt = said.high if content is None else content
    lowlevel_prompt = said.low if quality is None else quality
    print(f"content: {prompt}\nquality: {lowlevel_prompt}", *photo.notes, sep="\n")

    pipe = xpsr.load("mini")
    out = pipe(photo.image, prompt=prompt, lowlevel_prompt=lowlevel_prompt, seed=7)

    # The PNG carries its recipe: `python -m xpsr rerun` makes the same pixels from it again.
    result = Path(f"{picture.stem}_restored.png")
    xpsr.save_png(out.images[0], out.recipe, result)
    return result.resolve()


def main() -> None:
    """Read the command line and restore."""
    said = __doc__.split("\n")[0]
    options = ArgumentParser(prog="python -m examples.restore", description=said)
    options.add_argument("picture", nargs="?", type=Path, default=CAT, help="default: a cat")
    options.add_argument("content", nargs="?", help="what is in it; default: measured")
    options.add_argument("quality", nargs="?", help="how it looks; default: measured")
    given = options.parse_args()
    try:
        print(f"saved: {restore(given.picture, given.content, given.quality)}")
    except xpsr.XPSRError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
