"""Which pictures a row is about: names stay when the files behind them are replaced."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from PIL import Image

from xpsr.errors import XPSRError
from xpsr.image import open_image, pixel_sha256

if TYPE_CHECKING:
    from xpsr.evaluation.pairs import Pair


def identity(low: Image.Image, high: Image.Image | None) -> dict[str, str | None]:
    """What a row keeps of its two pictures: their pixels' hashes."""
    return {
        "input_sha256": pixel_sha256(low),
        "reference_sha256": None if high is None else pixel_sha256(high),
    }


class Present:
    """The pictures as they are now; each pair is read once."""

    def __init__(self) -> None:
        self._read: dict[Pair, dict[str, str | None] | None] = {}

    def are_of(self, row: Mapping[str, Any], pair: Pair) -> bool:
        """Whether a row was made of the pixels that a pair has now; an older row does not tell."""
        if pair not in self._read:
            self._read[pair] = _read(pair)
        found = self._read[pair]
        return found is not None and found == {name: row.get(name) for name in found}


def _read(pair: Pair) -> dict[str, str | None] | None:
    try:
        low, high = (open_image(path).image if path else None for path in (pair.low, pair.high))
    except XPSRError:
        return None  # told when its turn comes
    assert low is not None
    return identity(low, high)
