"""The describer `tags`: the content as a list of tags, by the tagger that SeeSR was made with.

A tagger tells nothing of how good a picture looks, so the quality text is that of `measured`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import wait
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from xpsr.background import in_background
from xpsr.errors import XPSRError
from xpsr.prompts.description import DescriberUnavailableError, Description
from xpsr.prompts.measured import MeasuredDescriber
from xpsr.prompts.options import check_options
from xpsr.prompts.writer import TICK
from xpsr.tagger_files import find_tagger

if TYPE_CHECKING:
    from xpsr.models import DAPEModel

OPTIONS = {
    "device": "cpu, cuda, cuda:N or mps; default cpu",
    "lora": "yes or no; default yes",
}
NO_ROOM = (
    "There is not enough memory for the tagger, which takes 2 GB while it is read: close other "
    "programs."
)


class TagsDescriber:
    """Content by SeeSR's tagger (RAM with DAPE), as "tag, tag,"; quality as `measured` says.

    The tagger is loaded when first needed, and stays.

    Args:
        folder: holds the authors' two files, in capitals or not; or is a converted SeeSR model, or
            the folder "tagger" of one.
        device: where it runs; on a CPU a picture takes seconds.
        lora: whether DAPE's is there; plain RAM is for clean pictures, whose tags SeeSR learns by.

    Raises:
        DescriberUnavailableError: there is no tagger in the folder; says what is missing.
    """

    name = "tags"
    concurrency = 1  # one process and one model for all pictures

    def __init__(self, folder: str | Path, device: str = "cpu", lora: bool = True) -> None:
        self.device = device
        try:
            self._found = find_tagger(Path(folder).expanduser(), plain=not lora)
        except (XPSRError, RuntimeError) as error:  # RuntimeError: "~" before a name nobody has
            raise DescriberUnavailableError(f"The describer tags cannot work: {error}") from None
        self._model: DAPEModel | None = None
        self._loading = threading.Lock()

    @classmethod
    def from_options(cls, folder: str, options: dict[str, str]) -> TagsDescriber:
        """From what stands in "tags:FOLDER?name=value"; raises XPSRError for what is unknown."""
        check_options(options, OPTIONS, "The describer tags")
        if not folder:
            raise DescriberUnavailableError("Name the folder of SeeSR's tagger, as tags:FOLDER.")
        if (lora := options.get("lora", "yes")) not in ("yes", "no"):
            raise DescriberUnavailableError("The option lora takes yes or no.")
        return cls(folder, options.get("device", "cpu"), lora == "yes")

    def describe(self, image: Image.Image) -> Description:
        """Describe a picture of at least 16 x 16 pixels.

        Raises:
            XPSRError: it is smaller, or the tagger finds nothing in it that it is sure of.
            DescriberUnavailableError: the tagger cannot be loaded.
        """
        import torch

        from xpsr.placement import telling_of_memory

        low = MeasuredDescriber().describe(image).low
        model = self._load()
        with torch.inference_mode(), telling_of_memory(NO_ROOM):
            (tags,) = model.tags(model.embed(model.pixels(image)))
        if not tags:
            raise XPSRError(
                "The tagger is sure of nothing in this picture: write yourself what it shows, or "
                "use another describer."
            )
        # The last comma as in SeeSR's training, where more words follow.
        return Description(", ".join(tags) + ",", low, self.name)

    def stream(self, image: Image.Image) -> Iterator[Description]:
        """Nothing, several times a second, until there is the whole: loading takes a while, and
        whoever waits for it can stop."""
        work = in_background(lambda: self.describe(image), "describe")
        while not wait([work], timeout=TICK).done:
            yield Description("", "", self.name)
        yield work.result()

    def _load(self) -> DAPEModel:
        from xpsr.placement import telling_of_memory

        with self._loading, telling_of_memory(NO_ROOM):
            if self._model is None:
                self._model = self._read()
            return self._model

    def _read(self) -> DAPEModel:
        import torch

        from xpsr.parts import read_tagger
        from xpsr.placement import choose_device

        try:
            device = choose_device(self.device)
            model = read_tagger(self._found, torch.float32)
        except XPSRError as error:  # whatever the picture
            raise DescriberUnavailableError(str(error)) from error
        model.to(device)  # pyright: ignore[reportArgumentType]
        return model
