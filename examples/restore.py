"""Restores one picture with the embedded model; the two texts are measured, or yours.

python -m examples.restore [PICTURE] [WHAT IS IN IT] [HOW IT LOOKS]
"""

import sys
from pathlib import Path

import xpsr
from xpsr.image import open_image
from xpsr.prompts.describer import make_describer

picture = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "pictures" / "cat.png"
photo = open_image(picture)
said = make_describer("measured").describe(photo.image)
prompt = sys.argv[2] if len(sys.argv) > 2 else said.high
lowlevel_prompt = sys.argv[3] if len(sys.argv) > 3 else said.low
print(f"content: {prompt}\nquality: {lowlevel_prompt}", *photo.notes, sep="\n")

pipe = xpsr.load("mini")
out = pipe(photo.image, prompt=prompt, lowlevel_prompt=lowlevel_prompt, seed=7)

# The PNG carries its recipe: `python -m xpsr rerun` makes the same pixels from it again.
result = Path(f"{picture.stem}_restored.png")
xpsr.save_png(out.images[0], out.recipe, result)
print(f"saved: {result.resolve()}")
