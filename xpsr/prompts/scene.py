"""What a picture shows as far as statistics can tell: colours, their places, light, detail."""

import colorsys

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
    return " ".join(
        (
            f"A {_format(image)} picture in {_main_colours(cells)}.",
            _bands(cells),
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
    # The least colourful third shows the light's own colour; exclude black, which shows none.
    weight = (chroma <= np.quantile(chroma, 0.35)) & (luma > 0.08)
    grey = cells[weight].mean(axis=0) if weight.any() else np.zeros(3)
    hue, _, _ = colorsys.rgb_to_hsv(*grey)
    cast = float(grey.max() - grey.min())
    return float(luma.mean()), float(high - low), float(chroma.mean()), cast, float(hue) * 360.0


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


def _main_colours(cells: np.ndarray) -> str:
    names = [colour_name(cell) for cell in cells.reshape(-1, 3)]
    ranked = sorted(set(names), key=lambda name: (-names.count(name), name))
    kept = [name for name in ranked[:3] if names.count(name) >= 0.08 * len(names)]
    return kept[0] if len(kept) == 1 else f"{', '.join(kept[:-1])} and {kept[-1]}"


def _bands(cells: np.ndarray) -> str:
    third = len(cells) // 3
    names = []
    for start in (0, third, 2 * third):
        found = [colour_name(cell) for cell in cells[start : start + third].reshape(-1, 3)]
        names.append(max(sorted(set(found)), key=found.count))
    if len(set(names)) == 1:
        return f"It is {names[0]} all over."
    return f"The top is {names[0]}, the middle {names[1]}, the bottom {names[2]}."


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
