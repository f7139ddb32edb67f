"""What a picture shows as far as statistics can tell: colours, their places, light, detail."""

import colorsys
import itertools
from collections import Counter

import numpy as np
from PIL import Image

LUMA = np.array([0.299, 0.587, 0.114])
CELLS = 12  # colours are read from 12 x 12 means: noise and blocks average out
DETAIL = 48  # busy and plain parts are read at this size, below the scale of most degradations
PLACES = (
    ("top left", "top", "top right"),
    ("left", "centre", "right"),
    ("bottom left", "bottom", "bottom right"),
)
HUES = (
    (18, "red"),
    (42, "orange"),
    (70, "yellow"),
    (165, "green"),
    (195, "turquoise"),
    (255, "blue"),
    (290, "purple"),
    (340, "pink"),
    (361, "red"),
)


def sentences(image: Image.Image) -> str:
    """Content sentences for a picture (any mode, any size from 16 x 16)."""
    cells = _reduced(image, CELLS)
    luma = cells @ LUMA
    names = [[colour_name(cell) for cell in row] for row in cells]
    return " ".join(
        (
            f"A {_format(image)} picture in {_main_colours(names)}.",
            _bands(names),
            _light(luma),
            _detail(image),
        )
    )


def tone(image: Image.Image) -> tuple[float, float, float, float, float]:
    """Brightness, contrast, saturation, colour cast (all 0..1) and the hue of the cast (degrees).

    Read from means of small parts, so that noise does not pass for contrast or colour.
    """
    cells = _reduced(image, DETAIL)
    luma = cells @ LUMA
    low, high = np.quantile(luma, (0.05, 0.95))
    chroma = cells.max(axis=2) - cells.min(axis=2)
    # The least colourful third shows the colour of the light; black shows none.
    saturation = chroma / np.maximum(cells.max(axis=2), 0.02)
    greys = (saturation <= np.quantile(saturation, 0.35)) & (luma > 0.08)
    grey = cells[greys].mean(axis=0) if greys.any() else np.zeros(3)
    hue, cast, _ = colorsys.rgb_to_hsv(*grey)
    return (
        float(luma.mean()),
        float(high - low),
        float(chroma.mean()),
        float(cast),
        float(hue) * 360.0,
    )


def hue_name(degrees: float) -> str:
    """Plain name of a hue (0 red, 120 green, 240 blue)."""
    return next(name for limit, name in HUES if degrees % 360 < limit)


def colour_name(rgb: np.ndarray) -> str:
    """Plain name of one colour given as three values 0..1."""
    hue, saturation, value = colorsys.rgb_to_hsv(*(float(v) for v in rgb))
    luma = float(rgb @ LUMA)
    chroma = saturation * value
    if chroma < 0.09 or (saturation < 0.12):
        limits = ((0.1, "black"), (0.3, "dark grey"), (0.62, "grey"), (0.86, "light grey"))
        return next((name for limit, name in limits if luma < limit), "white")
    if value < 0.14:
        return "black"
    name = hue_name(hue * 360.0)
    if name in ("red", "orange", "yellow") and (value < 0.55 or saturation < 0.45):
        warm = "brown" if luma < 0.55 else "beige"
        return "dark brown" if warm == "brown" and luma < 0.25 else warm
    if luma < 0.25:
        return f"dark {name}"
    return f"light {name}" if luma > 0.68 and name not in ("yellow", "orange") else name


def _reduced(image: Image.Image, side: int) -> np.ndarray:
    small = image.convert("RGB").resize((side, side), Image.Resampling.BOX)
    return np.asarray(small, dtype=np.float64) / 255.0


def _format(image: Image.Image) -> str:
    ratio = image.width / image.height
    return "wide" if ratio > 1.1 else "tall" if ratio < 0.9 else "square"


def _main_colours(names: list[list[str]]) -> str:
    found = Counter(sorted(itertools.chain(*names)))  # sorted: ties must not depend on the place
    least = 0.08 * found.total()
    kept = [name for name, count in found.most_common(3) if count >= least]
    if not kept:
        return "many colours"
    return kept[0] if len(kept) == 1 else f"{', '.join(kept[:-1])} and {kept[-1]}"


def _bands(names: list[list[str]]) -> str:
    third = len(names) // 3
    parts = (names[:third], names[third : 2 * third], names[2 * third :])
    top, middle, bottom = (Counter(sorted(itertools.chain(*part))) for part in parts)
    first, second, last = (part.most_common(1)[0][0] for part in (top, middle, bottom))
    if first == second == last:
        return f"It is {first} all over."
    return f"The top is {first}, the middle {second}, the bottom {last}."


def _light(luma: np.ndarray) -> str:
    parts = _thirds(luma)
    if parts.max() - parts.min() < 0.08:
        return "The light is even."
    return f"It is brightest at the {_place(parts)} and darkest at the {_place(-parts)}."


def _detail(image: Image.Image) -> str:
    luma = _reduced(image, DETAIL) @ LUMA
    change = np.abs(np.diff(luma, axis=0))[:, :-1] + np.abs(np.diff(luma, axis=1))[:-1]
    parts = _thirds(change)
    amount = float(change.mean())
    word = "smooth" if amount < 0.035 else "moderately detailed" if amount < 0.09 else "detailed"
    if parts.max() < 1.6 * parts.min() + 0.01:
        return f"It is {word} everywhere."
    return f"It is {word}, busiest at the {_place(parts)} and plain at the {_place(-parts)}."


def _thirds(plane: np.ndarray) -> np.ndarray:
    rows = np.array_split(plane, 3, axis=0)
    return np.array([[part.mean() for part in np.array_split(row, 3, axis=1)] for row in rows])


def _place(parts: np.ndarray) -> str:
    row, col = np.unravel_index(int(parts.argmax()), parts.shape)
    return PLACES[row][col]
