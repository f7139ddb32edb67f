"""What every describer has in common: a picture goes in, two texts and their origin come out."""

from dataclasses import dataclass
from typing import Protocol

from PIL import Image

from xpsr.errors import XPSRError


@dataclass(frozen=True)
class Description:
    """Two texts about one low-quality picture.

    Args:
        high: what is in the picture (content, colours, layout).
        low: how the picture looks technically (blur, noise, compression, light, colour).
        source: who wrote them, for example "measured"; shown to the user beside the texts.
    """

    high: str
    low: str
    source: str


class Describer(Protocol):
    """Anything that can put a picture into words."""

    name: str

    def describe(self, image: Image.Image) -> Description:
        """Describe a picture of at least 16 x 16 pixels; raises XPSRError where that fails."""
        ...


def make_describer(spec: str = "measured") -> Describer:
    """Build a describer from its short name.

    Args:
        spec: "measured" (statistics of the picture, no model). "llava" and http(s) addresses of a
            vision server are known names, but not in this version.

    Raises:
        XPSRError: the name is unknown, or that describer is not in this version.
    """
    if spec == "measured":
        from xpsr.prompts.measured import MeasuredDescriber

        return MeasuredDescriber()
    if spec == "llava" or spec.startswith(("http://", "https://")):
        raise XPSRError(
            f'Describing with "{spec}" is not in this version yet: use "measured", '
            "or write the two texts yourself."
        )
    raise XPSRError(f'There is no describer called "{spec}": use "measured".')
