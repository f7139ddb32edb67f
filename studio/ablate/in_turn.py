"""The studio's pipeline for an ablation, used in turn with everybody else's runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Any

from ..models.engine import Engine
from . import words

if TYPE_CHECKING:
    from PIL import Image

    from xpsr.prompts import Prompts
    from xpsr.settings import Settings
    from xpsr.shared import Shared


class InTurn:
    """What `xpsr.ablation.Experiment` needs of a pipeline; every cell is a turn of its own."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.pipe = engine, engine.pipeline()

    def stream(
        self, image: Image.Image, prompts: Prompts, settings: Settings, shared: Shared
    ) -> Iterator[Any]:
        from xpsr.ablation.run import CellsLostError

        if self.engine.pipeline() is not self.pipe:  # results of two models must not be mixed
            raise CellsLostError(words.MODEL_CHANGED)
        with closing(self.engine.stream(image, prompts, settings, shared=shared)) as items:
            yield from items  # also that it waits for its turn: so that waiting can be stopped

    def surroundings(self) -> dict[str, Any]:
        return self.pipe.surroundings()
