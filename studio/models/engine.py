"""The one owner of the models: loads them once, when first needed; one run at a time."""

from __future__ import annotations

import logging
import threading
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from xpsr.errors import NotEnoughMemoryError, XPSRError

from .. import words
from . import zerogpu
from .room import give_back_memory, smaller_tiles, weight_bytes
from .waiting import SmallerTiles, Waiting, turn, unhurried
from .words import OWN_TAGGER
from .work import check_work

if TYPE_CHECKING:
    from PIL import Image
    from typing_extensions import TypeIs

    from xpsr.pipeline import Restored, XPSRPipeline
    from xpsr.prompts import Prompts
    from xpsr.prompts.describer import Describer, Description
    from xpsr.prompts.text import EncoderTexts
    from xpsr.sampling import Step, TileDone
    from xpsr.settings import Settings
    from xpsr.shared import Shared
    from xpsr.wordmaps import WordRecorder

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EngineOptions:
    """Which models to use: what `xpsr.load` and `make_describer` take.

    Attributes:
        most_work: of one run, see `check_work`.
    """

    model: str = "mini"
    base: str | None = None
    describer: str = "measured"
    device: str | None = None
    dtype: str | None = None
    most_work: float | None = None


class Engine:
    """Models behind locks: for loading, for running, for describing.

    Nothing is loaded before the first call that needs it, or before `warm_up`.
    """

    def __init__(self, options: EngineOptions) -> None:
        self.options = options
        self._pipeline: XPSRPipeline | None = None
        self._describer: Describer | None = None
        self._why: str | None = None
        self._own: dict[str, Describer] = {}  # that the models in use brought along
        self.loading = threading.Lock()
        # A plain lock: a generator that is closed early is finished by another thread than the
        # one that began it, and only a plain lock may be released there.
        self.running = threading.Lock()
        # Another one, so that describing does not wait for somebody else's long run. It guards the
        # making only: a describer takes care of its own turns.
        self._introducing = threading.Lock()
        self._work = zerogpu.on_gpu(self._steps, zerogpu.restore_seconds)
        self._write = zerogpu.on_gpu(self._words, zerogpu.describe_seconds)

    @property
    def ready(self) -> bool:
        return self._pipeline is not None

    @property
    def loaded(self) -> XPSRPipeline | None:
        """The pipeline if it is there already; nothing is loaded."""
        return self._pipeline

    def use(self, pipeline: XPSRPipeline | None, options: EngineOptions) -> None:
        """Another model from now on; see switching.py, which holds the locks meanwhile."""
        self._pipeline, self.options = pipeline, options

    def pipeline(self) -> XPSRPipeline:
        """The pipeline, loaded now if it is not yet there.

        Raises:
            XPSRError: it cannot be loaded; the next call tries again.
        """
        with self.loading:
            if self._pipeline is None:
                self._pipeline = load(self.options)
            return self._pipeline

    def warm_up(self) -> threading.Thread:
        """Load in the background, so that the page opens at once. Failures show at first use."""

        def work() -> None:
            try:
                self.pipeline()
            except XPSRError as error:
                log.warning("%s", error)

        thread = threading.Thread(target=work, name="load the model", daemon=True)
        thread.start()
        return thread

    def default_preset(self) -> str:
        """The preset made for this model, told without loading any weights."""
        if self._pipeline is not None:
            return self._pipeline.config["default_preset"]
        if self.options.model == "mini":
            return "mini"
        from xpsr.inspection import default_preset

        try:
            return default_preset(self.options.model, self.options.base)
        except XPSRError:  # told where the model is loaded
            return "official"

    @property
    def reads_one_text(self) -> bool:
        """Whether the model has no branch for the faults, as SeeSR's; told without weights."""
        if self._pipeline is None:
            return self.default_preset() in ("seesr", "seesr-turbo")
        return not self._pipeline.reads_lowlevel

    def describer(self) -> tuple[Describer, str | None]:
        """Who describes, and where "auto" chose, why; nothing is loaded or asked.

        Raises:
            XPSRError: there is no such describer.
        """
        from xpsr.prompts.describer import make_describer

        spec = self.options.describer
        with self._introducing:
            if spec == "auto" and (own := self._own_describer()):
                if own not in self._own:
                    self._own[own] = make_describer(own)
                return self._own[own], OWN_TAGGER
            if self._describer is None:
                if spec == "auto":
                    from xpsr.prompts.auto import choose

                    choice = choose()
                    spec, self._why = choice.spec, choice.reason
                self._describer = make_describer(spec)
            return self._describer, self._why

    def _own_describer(self) -> str | None:
        if not self.reads_one_text:
            return None
        from xpsr.inspection import fetched, own_describer

        try:
            place = fetched(self.options.model)
            return None if place is None else own_describer(place)
        except XPSRError:  # told where the model is loaded
            return None

    def describing(self, image: Image.Image) -> Generator[Description, None, None]:
        """Two texts about a picture while they are written; the last item is the whole.

        Closing the iterator stops the describer.
        """
        from xpsr.prompts.describer import Description

        describer, _ = self.describer()
        if hasattr(describer, "stream"):
            # Both bring large libraries along, whose imports must not meet.
            for _ in turn(self.loading):
                yield Description("", "", describer.name)
            self.loading.release()
        # Only a model in this process has something to release, and needs the GPU.
        work = self._write if hasattr(describer, "release") else self._words
        with closing(work(image)) as said:
            yield from said

    def _words(self, image: Image.Image) -> Generator[Description, None, None]:
        from xpsr.prompts.describer import stream

        yield from stream(self.describer()[0], image)

    def describe(self, image: Image.Image) -> Description:
        """Two texts about a picture, by the describer of the options."""
        *_, last = self.describing(image)
        return last

    def stream(
        self,
        image: Image.Image,
        prompts: Prompts,
        settings: Settings,
        recorder: WordRecorder | None = None,
        shared: Shared | None = None,
    ) -> Generator[Step | TileDone | Waiting | SmallerTiles | Restored, None, None]:
        """Restore a picture step by step; closing the iterator stops after the present tile.

        Where the memory does not suffice the run begins anew, once, in smaller tiles. What a
        `recorder` sees is in the result: the networks may run in another process.

        Raises:
            XPSRError: the picture cannot be used, or is more work than the page allows.
        """
        check_work(image.size, settings, self.options.most_work)
        yield from turn(self.loading)  # a run that waits for a model can be stopped, too
        self.loading.release()
        yield from turn(self.running)
        try:
            with closing(self._restoring(image, prompts, settings, recorder, shared)) as items:
                for item in unhurried(items):
                    if is_result(item):
                        result = item
                    else:
                        yield item
        finally:
            self.running.release()
        # Only now, when others can have their turn: it is still to be kept and scored.
        yield result

    def _restoring(
        self,
        image: Image.Image,
        prompts: Prompts,
        settings: Settings,
        recorder: WordRecorder | None,
        shared: Shared | None,
    ) -> Generator[Step | TileDone | SmallerTiles | Restored, None, None]:
        from xpsr.placement import free_bytes

        pipeline = self.pipeline()
        if free_bytes(pipeline.device) < weight_bytes(pipeline):
            self.release_describer()
        try:
            with closing(self._work(image, prompts, settings, recorder, shared)) as items:
                yield from items
            return
        except NotEnoughMemoryError:
            if (smaller := smaller_tiles(image, settings)) is None:
                raise
        # Out here, the first attempt and everything it held is gone.
        self.release_describer()
        give_back_memory()
        yield SmallerTiles(smaller.tile_size)
        try:
            with closing(self._work(image, prompts, smaller, recorder, None)) as items:
                for item in items:
                    yield _noted(item, words.WORKED_IN_TILES.format(size=smaller.tile_size))
        except NotEnoughMemoryError as error:
            raise XPSRError(words.NO_MEMORY.format(size=smaller.tile_size)) from error

    def _steps(
        self,
        image: Image.Image,
        prompts: Prompts,
        settings: Settings,
        recorder: WordRecorder | None,
        shared: Shared | None,
    ) -> Generator[Step | TileDone | Restored, None, None]:
        return self.pipeline().stream(image, prompts, settings, shared, recorder)

    def release_describer(self) -> None:
        """Let a describer that keeps its model loaded leave the memory, unless it is at work."""
        release = getattr(self._describer, "release", None)
        if release is not None:
            release()

    def preview(self, step: Step) -> Image.Image:
        """A quick picture of what the result is expected to be, after `step`."""
        assert step.preview is not None, "only steps of Engine.stream can be shown"
        return step.preview(step.predicted)

    def assemble(self, prompts: Prompts, settings: Settings) -> EncoderTexts:
        """The texts exactly as the model's tokenizer gets them, and what is read of each."""
        from xpsr.prompts.text import assemble

        return assemble(prompts, settings, self.pipeline().tokenizer)


def is_result(item: object) -> TypeIs[Restored]:
    """Whether an item of `Engine.stream` is the last one."""
    # By what it has: asking for its class would import diffusers, and two threads that do so for
    # the first time at once get in each other's way.
    return hasattr(item, "recipe")


def is_step(item: object) -> TypeIs[Step]:
    """Whether an item of `Engine.stream` is a step, and can be shown."""
    return hasattr(item, "predicted")


def is_progress(item: object) -> TypeIs[Step | TileDone]:
    """Whether an item of `Engine.stream` tells how far the run is."""
    return hasattr(item, "done")


def _noted(item: Step | TileDone | Restored, note: str) -> Step | TileDone | Restored:
    """A result with one more sentence about how it came to be; the rest stays as it is."""
    if not is_result(item):
        return item
    notes = (*item.notes, note)
    return replace(item, notes=notes, recipe=item.recipe.model_copy(update={"notes": notes}))


def load(options: EngineOptions) -> XPSRPipeline:
    """The pipeline of some options; raises XPSRError with a sentence for a visitor."""
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
