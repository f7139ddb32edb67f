"""Every describer by its name: a picture goes in, two texts and their origin come out."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from PIL import Image

from xpsr.errors import XPSRError
from xpsr.prompts.description import DescriberUnavailableError, Description
from xpsr.prompts.options import split_options

__all__ = [
    "Describer",
    "DescriberUnavailableError",
    "Description",
    "held",
    "make_describer",
    "stream",
]


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
            "tags:FOLDER": the content as tags, by SeeSR's tagger; see `xpsr.prompts.tags`.
            "llava", "llava:HUB_ID", "llava:FOLDER": a LLaVA in this process.
            "http://…", "https://…": a server with the OpenAI interface.
            The last three take options, as in "llava?bits=4&questions=q-instruct"; see `OPTIONS` in
            `xpsr.prompts.tags`, `xpsr.prompts.llava` and `xpsr.prompts.server`.

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
    place, options = split_options(spec)
    if place == "tags" or place.startswith("tags:"):
        from xpsr.prompts.tags import TagsDescriber

        return TagsDescriber.from_options(place.partition(":")[2], options)
    if place == "llava" or place.startswith("llava:"):
        from xpsr.prompts.llava import LlavaDescriber

        return LlavaDescriber.from_options(place.partition(":")[2], options)
    if place.lower().startswith(("http://", "https://")):
        from xpsr.prompts.server import ServerDescriber

        return ServerDescriber.from_options(place, options)
    # An address may hold a password: only what looks like a name is repeated.
    called = f' called "{spec}"' if spec.replace("-", "").isalnum() else " of that name"
    raise XPSRError(
        f"There is no describer{called}: use measured, dalpsr, auto, tags:FOLDER, llava, "
        "llava:HUB_ID, llava:FOLDER, or the http(s) address of a vision server."
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
