"""The describer `tags`: the content as a list of tags, by the tagger that SeeSR was made with.

A tagger tells nothing of how good a picture looks, so the quality text is that of `measured`.
"""

from __future__ import annotations

import json
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

if TYPE_CHECKING:
    from xpsr.models import DAPEModel

FILES = ("ram_swin_large_14m.pth", "DAPE.pth")  # as the authors of SeeSR name them
OPTIONS = {"device": "cpu, cuda, cuda:N or mps; default cpu"}
WHERE = (
    f"It needs {FILES[0]} and {FILES[1]}, both linked from https://github.com/cswry/SeeSR, in one "
    'folder, or a SeeSR model that was converted here, with its folder "tagger"'
)
NO_ROOM = (
    "There is not enough memory for the tagger, which takes 2 GB while it is read: close other "
    "programs."
)


class TagsDescriber:
    """Content by SeeSR's tagger (RAM with DAPE), as "tag, tag, tag"; quality as `measured` says.

    The tagger is loaded when first needed, and stays.

    Args:
        folder: holds the authors' two files, in capitals or not; or is a converted SeeSR model, or
            the folder "tagger" of one.
        device: where it runs; on a CPU a picture takes seconds.

    Raises:
        DescriberUnavailableError: there is no tagger in the folder; says what is missing.
    """

    name = "tags"
    concurrency = 1  # one process and one model for all pictures

    def __init__(self, folder: str | Path, device: str = "cpu") -> None:
        self.device = device
        self._found = _find(folder)
        self._model: DAPEModel | None = None
        self._loading = threading.Lock()

    @classmethod
    def from_options(cls, folder: str, options: dict[str, str]) -> TagsDescriber:
        """From what stands in "tags:FOLDER?name=value"; raises XPSRError for what is unknown."""
        check_options(options, OPTIONS, "The describer tags")
        if not folder:
            raise DescriberUnavailableError(f"Name the tagger's folder, as tags:FOLDER. {WHERE}.")
        return cls(folder, **options)

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
        return Description(", ".join(tags), low, self.name)

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

        from xpsr.models import DAPEModel
        from xpsr.parts import read_part
        from xpsr.placement import choose_device

        try:
            device = choose_device(self.device)
            if len(self._found) == 1:
                model = read_part(self._found[0], DAPEModel, torch.float32)
            else:
                ram, dape = self._found
                model = DAPEModel.from_official(ram, dape)
        except XPSRError as error:  # whatever the picture
            raise DescriberUnavailableError(str(error)) from error
        model.to(device)  # pyright: ignore[reportArgumentType]
        return model


def _find(name: str | Path) -> tuple[Path, ...]:
    """The folder of a converted tagger, or the authors' two files."""
    try:
        folder = Path(name).expanduser()
        there = {path.name.lower(): path for path in folder.iterdir()}
    except (OSError, RuntimeError):  # "~" before a name nobody has here
        raise DescriberUnavailableError(
            f'There is no folder "{name}" for the describer tags. {WHERE}.'
        ) from None
    for place in (folder / "tagger", folder):
        if _is_tagger(place):
            return (place,)
    if missing := [file for file in FILES if file.lower() not in there]:
        raise DescriberUnavailableError(
            f"The describer tags finds no {' and no '.join(missing)} in {folder}. {WHERE}."
        )
    return tuple(there[file.lower()] for file in FILES)


def _is_tagger(folder: Path) -> bool:
    """Whether this is a converted tagger, by its configuration."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        return config["_class_name"] == "DAPEModel"
    except (OSError, ValueError, KeyError, TypeError):
        return False
