"""What every describer has in common: a picture goes in, two texts and their origin come out."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import parse_qsl

from PIL import Image

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


class DescriberUnavailableError(XPSRError):
    """The describer as a whole cannot work, whatever the picture: there is no use in going on."""


class Describer(Protocol):
    """Anything that can put a picture into words.

    Those that ask a model are a `Writer` (writer.py): they stream, remember, and can be held.
    """

    @property
    def name(self) -> str:
        """What it is called beside its texts."""
        ...

    def describe(self, image: Image.Image) -> Description:
        """Describe a picture of at least 16 x 16 pixels; raises XPSRError where that fails."""
        ...


def make_describer(spec: str = "measured") -> Describer:
    """Build a describer from its name or address. Nothing is loaded or asked yet.

    Args:
        spec: one of
            "measured": statistics of the picture and a small estimator; no download.
            "dalpsr": the quality text in DaLPSR's form, by a small estimator that is part of xpsr.
            "auto": LLaVA where a GPU and its weights are, else measured.
            "llava", "llava:HUB_ID", "llava:FOLDER": a LLaVA in this process.
            "http://…", "https://…": a server with the OpenAI interface.
            The last two take options, as in "llava?bits=4&questions=q-instruct"; see
            `xpsr.prompts.llava.OPTIONS` and `xpsr.prompts.server.OPTIONS`.

    Raises:
        XPSRError: the name, the address or an option is unknown.
    """
    if spec == "measured":
        from xpsr.prompts.measured import MeasuredDescriber

        return MeasuredDescriber()
    if spec == "dalpsr":
        from xpsr.prompts.dalpsr import DalpsrDescriber

        return DalpsrDescriber()
    if spec == "auto":
        from xpsr.prompts.auto import choose

        return make_describer(choose().spec)
    place, options = _split(spec)
    if place == "llava" or place.startswith("llava:"):
        from xpsr.prompts.llava import LlavaDescriber

        return LlavaDescriber.from_options(place.partition(":")[2], options)
    if place.lower().startswith(("http://", "https://")):
        from xpsr.prompts.server import ServerDescriber

        return ServerDescriber.from_options(place, options)
    # An address may hold a password: only what looks like a name is repeated.
    called = f' called "{spec}"' if spec.replace("-", "").isalnum() else " of that name"
    raise XPSRError(
        f"There is no describer{called}: use measured, dalpsr, auto, llava, llava:HUB_ID, "
        "llava:FOLDER, or the http(s) address of a vision server."
    )


def stream(describer: Describer, image: Image.Image) -> Generator[Description, None, None]:
    """The texts while they are written; the last item is the whole.

    A describer that asks a model yields several times a second, changed or not, so that whoever
    listens can show the text and stop: closing the iterator ends the work.
    """
    writing = getattr(describer, "stream", None)
    if writing is None:
        yield describer.describe(image)
    else:
        yield from writing(image)


def held(describer: Describer) -> AbstractContextManager[object]:
    """Inside, a describer keeps its model loaded from one picture to the next."""
    hold = getattr(describer, "hold", None)
    return nullcontext() if hold is None else hold()


def _split(spec: str) -> tuple[str, dict[str, str]]:
    place, _, rest = spec.partition("?")
    return place, dict(parse_qsl(rest, keep_blank_values=True))


def check_options(options: dict[str, str], known: dict[str, str], whose: str) -> None:
    """Refuse options that do not exist. Values are never repeated: one may be a key."""
    for name in options:
        if name not in known:
            said = f'"{name}"' if name.isidentifier() else "of that name"
            raise XPSRError(f"{whose} has no option {said}; choose among {', '.join(known)}.")


def whole_number(options: dict[str, str], name: str, default: int, low: int, high: int) -> int:
    """An option that is a whole number from `low` to `high`."""
    text = options.get(name, str(default))
    if not (text.isascii() and text.isdecimal() and low <= int(text) <= high):
        raise XPSRError(f"The option {name} takes a whole number from {low} to {high}.")
    return int(text)
