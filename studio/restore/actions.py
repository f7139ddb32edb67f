"""What happens on the page. Handlers take and give plain values; the components are elsewhere.

A handler never raises: what it has to say goes into a notice, so that nothing on the page is lost
or covered by an error badge.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from xpsr.errors import XPSRError
from xpsr.image import pixel_sha256

from .. import markup, texts
from .. import words as page_words
from ..filling import fill
from ..form import FORM, MAIN_TEXTS, REST, preset_values, read_form
from ..incoming import open_picture, picture_title, sentence
from ..job import Job
from ..labels import as_labelled
from ..models.engine import is_result, is_step
from ..models.switching import check_model
from ..models.waiting import POLL_SECONDS, sign
from ..results import scores
from ..results.outputs import Run
from ..results.run_list import is_of
from ..services import Services
from ..texts import NOTHING_BROUGHT, Brought
from ..visit import Picture, Visit
from . import words
from .describing import Before, any_stays, left, replaced
from .mine import set_aside
from .showing import RESULT, STANDS, Face, done_line, idle, shown

PREVIEW_SIDE = 768  # pixels; one is sent after every step
# The components that another picture changes, and those that an example does.
ANOTHER_PICTURE = ("picture", "picture_note", *MAIN_TEXTS, "before", "written", "status")
EXAMPLE = ("picture", "picture_note", *MAIN_TEXTS, "before", "seed", "written", "own_texts",
           *RESULT)  # fmt: skip
PRESET = (*REST, "own_texts")


class Actions:
    """The handlers of one studio."""

    def __init__(self, services: Services) -> None:
        self.engine, self.outputs = services.engine, services.outputs
        self.face = Face(services.outputs)
        self.fetching = False  # whether a page that was opened loads the model
        self.not_coming: str | None = None  # why it could not be loaded

    async def greet(self) -> AsyncIterator[dict]:
        """Say that the model is on its way, and why when it is not coming.

        However many pages are opened meanwhile, they wait without a thread of their own, and what
        went wrong for one of them is told to all: only Restore tries once more.
        """
        if self.engine.ready:
            yield gr.skip()
            return
        yield gr.update(value=markup.notice(words.LOADING), visible=True)
        while not self.engine.ready and self.not_coming is None:
            if self.fetching or self.engine.loading.locked():
                await asyncio.sleep(POLL_SECONDS)
                continue
            self.fetching = True
            try:
                await asyncio.to_thread(self.engine.pipeline)
            except Exception as error:
                self.not_coming = sentence(error)
            finally:
                self.fetching = False
        if self.engine.ready:
            yield gr.update(visible=False)
        else:
            yield gr.update(value=markup.notice(self.not_coming or "", bad=True), visible=True)

    def receive(
        self,
        payload: Any,
        visit: Visit,
        high: str,
        low: str,
        written: Brought,
        before: Before | None,
    ) -> tuple:
        """A new picture: check it, and drop the texts that were written for another one.

        Those of a recipe stay for the picture that it was made from.
        """
        try:
            photo = open_picture(payload)
            picture = self._displayable(payload, photo.image)
            file = picture if isinstance(picture, str) else payload["path"]
            digest = pixel_sha256(photo.image)
            expected = digest == visit.expected
            visit.bring(Picture(picture_title(payload), digest, file, photo.image.size))
        except Exception as error:
            present = visit.picture.file
            there = Path(present).is_file()  # not once Gradio has swept it away
            said = f"{sentence(error)} {words.PICTURE_STAYS}" if there else sentence(error)
            picture, note = present if there else None, markup.notice(said, bad=True)
            return fill(ANOTHER_PICTURE, picture=picture, picture_note=note)
        said, changes = [page_words.picture(photo.image.size), *photo.notes], {}
        if not expected or before is not None:
            changes = left(high, low, written, before)
            said += [words.TEXT_STAYS] * any_stays(high, low, changes)
            changes["written"] = (*NOTHING_BROUGHT, *texts.further(written))
        status = f"{words.NEXT} {words.STILL_SHOWN}" if visit.shown else words.NEXT
        return fill(
            ANOTHER_PICTURE,
            picture=picture,
            picture_note=markup.notice(" ".join(said)),
            status=markup.notice(status),
            **changes,
        )

    def clear(self, visit: Visit) -> tuple[str, Any]:
        """The picture was taken away, and what is said of it goes with it: note and status."""
        visit.bring(Picture())
        visit.describing.stop()
        if visit.restoring.is_under_way:  # the run, which has its picture, tells of itself
            return "", gr.skip()
        return "", markup.notice(words.NO_PICTURE_NOW if visit.shown else words.STATUS_EMPTY)

    def _displayable(self, payload: dict, image: Any) -> Any:
        """The picture as browsers show it: a HEIC or TIFF file becomes a PNG."""
        from PIL import Image

        with Image.open(payload["path"]) as file:
            if file.format in ("PNG", "JPEG", "WEBP", "GIF", "BMP"):
                return gr.skip()
        path = self.outputs.shelf.new_folder() / "picture.png"
        image.save(path, compress_level=1)
        return str(path)

    def begin(self, visit: Visit) -> tuple:
        """At once after a click on Restore, before the run has its turn."""
        visit.restoring, visit.elsewhere = Job("waiting"), False
        return shown(
            status=markup.notice(page_words.WAITING),
            restore=gr.update(interactive=False),
            stop=gr.update(interactive=True),
        )

    def restore(
        self,
        payload: Any,
        visit: Visit,
        against: str,
        preset: str,
        learned: Sequence[str],
        brought: Brought,
        *values: Any,
    ) -> Iterator[tuple]:
        """One run, with something to show after every step."""
        job, visit.against = visit.restoring, against
        job.work()
        try:
            yield from self._restoring(payload, job, visit, preset, learned, brought, values)
        except Exception as error:
            yield idle(markup.notice(as_labelled(sentence(error)), bad=True))
        finally:
            job.end()

    def _restoring(
        self,
        payload: Any,
        job: Job,
        visit: Visit,
        preset: str,
        learned: Sequence[str],
        brought: Brought,
        values: Sequence[Any],
    ) -> Iterator[tuple]:
        if job.is_stopped:
            yield idle(markup.notice(words.STOPPED))
            return
        photo, title = open_picture(payload), visit.picture.title
        prompts, settings = read_form(preset, values)
        check_model(self.engine, visit, words.RESTORE)
        names = scores.shown_metrics(learned)
        yield shown(status=markup.notice(page_words.BEGINNING))
        for item in self.engine.stream(photo.image, prompts, settings):
            if not is_result(item):
                if job.is_stopped:
                    yield idle(markup.notice(words.STOPPED))
                    return
                if not is_step(item):
                    yield shown(status=markup.notice(sign(item)))
                    continue
                line = f"{sign(item)} · seed {settings.seed}"
                if visit.elsewhere:  # said with every step: one may have hidden what was opened
                    yield shown(status=markup.notice(line), **STANDS)
                else:
                    yield self._growing(line, item, photo.image.size)
                continue
            told = texts.with_origins(item, preset, brought)
            run = self.outputs.keep(photo.image, told, title)
            visit.add(run.id)
            beside = visit.elsewhere
            yield self._scoring(run, visit)
            run = self.outputs.add_scores(run, scores.compare(photo.image, item.image, names))
            yield self._done(run, visit, photo.notes, beside)

    def _scoring(self, run: Run, visit: Visit) -> tuple:
        status = markup.notice(words.SCORING)
        if visit.elsewhere:
            return shown(status=status, strip=self.face.strip(visit), **STANDS)
        visit.open(run.id)
        return shown(status=status, **STANDS | self.face.of(run, visit, visit.against))

    def _done(self, run: Run, visit: Visit, notes: Sequence[str], beside: bool) -> tuple:
        """The end of a run. What was opened meanwhile stays.

        `beside`: this run was never shown, so the line tells where it is.
        """
        line = done_line(run, notes)
        if visit.shown == run.id:
            return idle(markup.notice(line), scores=self.face.table(run, visit))
        if beside:
            return idle(markup.notice(f"{line} {words.done_beside(len(visit.runs))}"))
        return idle(gr.skip())

    def _growing(self, line: str, step: Any, size: tuple[int, int]) -> tuple:
        # The preview may be as small as the latent: shown in the shape of the picture.
        scale = PREVIEW_SIDE / max(size)
        wide, high = (max(1, round(side * scale)) for side in size)
        preview = scores.enlarge(self.engine.preview(step), (wide, high))
        return shown(
            status=markup.notice(line),
            preview=gr.update(value=preview, visible=True),
        )

    def stop(self, visit: Visit) -> None:
        """At once after a click on Stop; see `Job`."""
        visit.restoring.stop()

    def let_go(self, visit: Visit) -> tuple:
        """A moment after Stop: a run that still works tells by itself, any other one may be gone.

        Until it has let go of the step it was in, another run would be refused.
        """
        if visit.restoring.state != "stopped":
            return shown()
        return idle(markup.notice(words.STOPPED))

    def failed(self, visit: Visit) -> tuple:
        """The run ended without a word: it was stopped, or refused because too many wait."""
        refused = visit.restoring.fail()
        return idle(markup.notice(page_words.REFUSED if refused else words.STOPPED, bad=refused))

    def new_seed(self) -> int:
        return secrets.randbelow(2**32)

    def another(self, visit: Visit, start: str, scheduler: str) -> int:
        """A new seed, with which Restore is then pressed.

        Raises:
            gr.Error: there is no other version now; `why_not` tells it.
        """
        if self.why_not(visit, start, scheduler):
            raise gr.Error(visible=False, print_exception=False)
        return self.new_seed()

    def why_not(self, visit: Visit, start: str, scheduler: str) -> str:
        """What keeps another version from being made: a run, or a seed that decides nothing."""
        if visit.restoring.is_under_way:
            return markup.notice(words.STILL_AT_WORK)
        nothing_drawn = start == "lr_bare" and scheduler != "ddpm"
        return markup.notice(words.ONLY_VERSION) if nothing_drawn else ""

    def choose_preset(self, preset: str, visit: Visit, written: Brought, *values: Any) -> tuple:
        """The texts and settings a preset brings; the two main texts and the seed stay."""
        visit.set_for(self.engine.options.model)
        new, now = preset_values(preset), dict(zip(FORM, values, strict=True))
        return fill(PRESET, **new, own_texts=set_aside(visit, now, new, written))

    def tell_preset(self, preset: str, *values: Any) -> str:
        """Whether the settings have been changed since; seed and size are everybody's own."""
        try:
            _, settings = read_form(preset, values)
        except XPSRError:  # a number that is out of its range: told by Restore
            return ""
        left = words.PRESET_LEFT.format(preset=preset)
        return "" if is_of(settings, preset) else markup.quiet(left)

    def choose_example(
        self,
        event: gr.SelectData,
        visit: Visit,
        against: str,
        high: str,
        low: str,
        written: Brought,
        before: Before | None,
        seed: int | None = None,
    ) -> tuple:
        """An example was clicked."""
        # While a describer is at work, the texts before it count.
        was = before or Before(high, low, written)
        return self.open_example(event.index, visit, against, was, before, seed)

    def open_example(
        self,
        index: int,
        visit: Visit,
        against: str,
        was: Before,
        before: Before | None,
        seed: int | None = None,
    ) -> tuple:
        """An example with its picture, texts and result. `was`: the texts that it replaces."""
        try:
            run = list(self.outputs.examples.values())[index]
            face = self.face.of(run, visit, against)
        except (IndexError, TypeError, XPSRError) as error:
            said = str(error) if isinstance(error, XPSRError) else words.NO_EXAMPLE
            return fill(EXAMPLE, status=markup.notice(said, bad=True))
        visit.open(run.id)
        size = run.recipe.input_size
        visit.bring(Picture(run.title, run.recipe.input_sha256, str(run.picture), size))
        settings, brought = run.recipe.settings, texts.restored(run.recipe)[: len(MAIN_TEXTS)]
        high, low = map(texts.joined, brought)
        now = {**dict(zip(MAIN_TEXTS, was[:2], strict=True)), "seed": seed}
        new = {**dict(zip(MAIN_TEXTS, (high, low), strict=True)), "seed": settings.seed}
        return fill(
            EXAMPLE,
            picture=str(run.picture),
            picture_note=markup.notice(page_words.picture(size)),
            **replaced(high, low, brought, before),
            seed=settings.seed,
            written=brought,
            own_texts=set_aside(visit, now, new, was.written),
            status=markup.notice(words.example_open(run.title, settings.seed)),
            **STANDS | face,
        )
