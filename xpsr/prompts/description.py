"""What a describer gives, and what it raises where it cannot work at all."""

from dataclasses import dataclass

from xpsr.errors import XPSRError


@dataclass(frozen=True)
class Description:
    """Two texts about one low-quality picture.

    Args:
        high: what is in the picture (content, colours, layout).
        low: how the picture looks technically (blur, noise, compression, light, colour).
        source: who wrote them, for example "measured"; shown to the user beside the texts.
        remembered: True if nobody was asked again: the same picture was described before.
    """

    high: str
    low: str
    source: str
    remembered: bool = False

    @property
    def texts(self) -> dict[str, str]:
        """The two by their names among the texts of a run."""
        return {"prompt": self.high, "lowlevel_prompt": self.low}


class DescriberUnavailableError(XPSRError):
    """The describer as a whole cannot work, whatever the picture: there is no use in going on."""
