"""The same picture twice, told to be in bad and in good condition: what does the text change?

python -m examples.two_prompts [PICTURE]
"""

import sys
from argparse import ArgumentParser
from pathlib import Path

from PIL import Image

import xpsr
from xpsr.image import open_image, resize
from xpsr.prompts.describer import make_describer

CAT = Path(__file__).parent / "pictures" / "cat.png"
BAD = (
    "The image is very blurry. There is strong noise. JPEG blocks are clearly visible. "
    "It is dark with low contrast. The colours are muted."
)
GOOD = (
    "The image is sharp. There is no noise. There are no JPEG blocks. "
    "It is normally bright with normal contrast. The colours are natural."
)


def compare(picture: Path) -> Path:
    """Lay the enlarged picture and both results side by side in the present folder; returns the
    file."""
    image = open_image(picture).image
    prompt = make_describer("measured").describe(image).high

    pipe = xpsr.load("mini")
    # Same seed, so that nothing but the quality text differs.
    bad, good = (
        pipe(image, prompt=prompt, lowlevel_prompt=text, seed=7).images[0] for text in (BAD, GOOD)
    )

    width, height = good.size
    sheet = Image.new("RGB", (3 * width, height))
    for index, part in enumerate((resize(image, good.size), bad, good)):
        sheet.paste(part, (index * width, 0))
    result = Path(f"{picture.stem}_two_prompts.png")
    sheet.save(result)
    return result.resolve()


def main() -> None:
    """Read the command line and compare."""
    said = __doc__.split("\n")[0]
    options = ArgumentParser(prog="python -m examples.two_prompts", description=said)
    options.add_argument("picture", nargs="?", type=Path, default=CAT, help="default: a cat")
    picture = options.parse_args().picture
    try:
        print(f"enlarged | told it is bad | told it is good: {compare(picture)}")
    except xpsr.XPSRError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
