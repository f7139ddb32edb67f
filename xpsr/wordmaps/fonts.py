"""Which fonts of this machine have the signs of a text."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

DEFAULT = "DejaVu Sans"  # comes with matplotlib
PLACEHOLDERS = "Last Resort"  # has a box for every sign there is


def families_for(text: str) -> tuple[list[str], set[str]]:
    """Fonts that together have the signs of `text`, and the signs that no font here has.

    The default font comes first; others only as far as they are needed.
    """
    missing = {sign for sign in text if not (sign.isspace() or unicodedata.combining(sign))}
    families = []
    for name, path in _fonts():
        if not missing:
            break
        found = _signs_in(path, missing)
        if found:
            families.append(name)
            missing -= found
    return [DEFAULT, *(name for name in families if name != DEFAULT)], missing


def _fonts() -> Iterator[tuple[str, str]]:
    """(family, file) of every family, the default one first."""
    from matplotlib.font_manager import fontManager

    files = {
        font.name: font.fname
        # The last one of a family stays: the usual weight.
        for font in sorted(fontManager.ttflist, key=lambda one: one.weight == 400)
        if font.style == "normal" and not font.name.startswith(PLACEHOLDERS)
    }
    yield from sorted(files.items(), key=lambda one: (one[0] != DEFAULT, one[0]))


def _signs_in(path: str, signs: set[str]) -> set[str]:
    from matplotlib.font_manager import get_font

    try:
        font = get_font(path)
        return {sign for sign in signs if font.get_char_index(ord(sign))}
    except (OSError, RuntimeError):  # pictures for letters, as emoji have, cannot be drawn
        return set()
