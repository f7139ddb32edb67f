"""The one owner of the models: loads them once, when first needed; one run at a time."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from xpsr.errors import XPSRError
from xpsr.settings import PRESETS

if TYPE_CHECKING:
    from PIL import Image
    from typing_extensions import TypeIs

    from xpsr.pipeline import Restored, Step, XPSRPipeline
    from xpsr.prompts import Prompts
    from xpsr.prompts.describer import Describer, Description
    from xpsr.prompts.text import EncoderTexts
    from xpsr.settings import Settings

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EngineOptions:
    """Which models to use: what `xpsr.load` and `make_describer` take."""

    model: str = "mini"
    base: str | None = None
    describer: str = "measured"
    device: str | None = None
    dtype: str | None = None


class Engine:
    """Models behind locks: for loading, for running, for describing.

    Nothing is loaded before the first call that needs it, or before `warm_up`.
    """

    def __init__(self, options: EngineOptions) -> None:
        self.options = options
        self._pipeline: XPSRPipeline | None = None
        self._describer: Describer | None = None
        self._why: str | None = None
        self._loading = threading.Lock()
        # A plain lock: a generator that is closed early is finished by another thread than the
        # one that began it, and only a plain lock may be released there.
        self._running = threading.Lock()
        # Another one, so that describing does not wait for somebody else's long run. It guards the
        # making only: a describer takes care of its own turns.
        self._introducing = threading.Lock()

    @property
    def ready(self) -> bool:
        return self._pipeline is not None

    def pipeline(self) -> XPSRPipeline:
        """The pipeline, loaded now if it is not yet there.

        Raises:
            XPSRError: it cannot be loaded; the next call tries again.
        """
        with self._loading:
            if self._pipeline is None:
                self._pipeline = _load(self.options)
            return self._pipeline

    def warm_up(self) -> threading.Thread:
        """Load in the background, so that the page opens at once. Failures show at first use."""

        def load() -> None:
            try:
                self.pipeline()
            except XPSRError as error:
                log.warning("%s", error)

        thread = threading.Thread(target=load, name="load the model", daemon=True)
        thread.start()
        return thread

    def default_preset(self) -> str:
        """The preset made for this model, told without loading any weights."""
        if self._pipeline is not None:
            return self._pipeline.config["default_preset"]
        if self.options.model == "mini":
            return "mini"
        index = Path(self.options.model) / "model_index.json"
        try:
            preset = json.loads(index.read_text(encoding="utf-8")).get("default_preset")
        except (OSError, ValueError, AttributeError):
            preset = None
        return preset if preset in PRESETS else "official"

    def describer(self) -> tuple[Describer, str | None]:
        """Who describes, and where "auto" chose, why; nothing is loaded or asked.

        Raises:
            XPSRError: there is no such describer.
        """
        from xpsr.prompts.describer import make_describer

        with self._introducing:
            if self._describer is None:
                spec = self.options.describer
                if spec == "auto":
                    from xpsr.prompts.auto import choose

                    choice = choose()
                    spec, self._why = choice.spec, choice.reason
                self._describer = make_describer(spec)
            return self._describer, self._why

    def describing(self, image: Image.Image) -> Iterator[Description]:
        """Two texts about a picture while they are written; the last item is the whole.

        Closing the iterator stops the describer.
        """
        from xpsr.prompts.describer import Description, stream
        from xpsr.prompts.writer import TICK

        describer, _ = self.describer()
        if hasattr(describer, "stream"):
            # Both bring large libraries along, whose imports must not meet.
            while not self._loading.acquire(timeout=TICK):
                yield Description("", "", describer.name)
            self._loading.release()
        yield from stream(describer, image)

    def describe(self, image: Image.Image) -> Description:
        """Two texts about a picture, by the describer of the options."""
        *_, last = self.describing(image)
        return last

    def stream(
        self, image: Image.Image, prompts: Prompts, settings: Settings
    ) -> Iterator[Step | Restored]:
        """Restore a picture step by step; closing the iterator stops after the present step."""
        pipeline = self.pipeline()
        with self._running:
            yield from pipeline.stream(image, prompts, settings)

    def preview(self, step: Step) -> Image.Image:
        return self.pipeline().preview(step)

    def assemble(self, prompts: Prompts, settings: Settings) -> EncoderTexts:
        """The texts exactly as the model's tokenizer gets them, and what is read of each."""
        from xpsr.prompts.text import assemble

        return assemble(prompts, settings, self.pipeline().tokenizer)


def is_result(item: Step | Restored) -> TypeIs[Restored]:
    """Whether an item of `Engine.stream` is the last one."""
    # Only here, where the model is loaded: two threads that import diffusers for the first time
    # at once get in each other's way.
    from xpsr.pipeline import Restored

    return isinstance(item, Restored)


def _load(options: EngineOptions) -> XPSRPipeline:
    import xpsr

    try:
        return xpsr.load(
            options.model, base=options.base, device=options.device, dtype=options.dtype
        )
    except XPSRError:
        raise
    except Exception as error:
        log.exception("loading %s failed", options.model)
        raise XPSRError(
            f'The model "{options.model}" could not be loaded; the terminal in which the page was '
            "started shows why."
        ) from error
