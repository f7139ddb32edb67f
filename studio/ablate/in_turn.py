"""The studio's pipeline for an ablation, used in turn with everybody else's runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..models.engine import Engine, is_result, is_step
from . import words

if TYPE_CHECKING:
    from PIL import Image

    from xpsr.prompts import Prompts
    from xpsr.settings import Settings
    from xpsr.shared import Shared


@dataclass(frozen=True)
class _NotYet:
    """Stands for a step while it is somebody else's turn, so that waiting can be stopped."""

    total: int
    index: int = -1


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
            for item in items:
                known = is_step(item) or is_result(item)
                yield item if known else _NotYet(settings.num_inference_steps)

    def surroundings(self) -> dict[str, Any]:
        return self.pipe.surroundings()
