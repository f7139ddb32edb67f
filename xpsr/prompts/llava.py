"""LLaVA in this process: transformers' own classes, both questions in one batch, greedy.

With `batch`, pictures that wait at the same time are put to the model together.
"""

from __future__ import annotations

import hashlib
import logging
import re
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import astuple, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from xpsr.background import in_background
from xpsr.prompts.answers import Answers
from xpsr.prompts.description import DescriberUnavailableError, Description
from xpsr.prompts.options import check_options, whole_number
from xpsr.prompts.questions import MAX_NEW_TOKENS, QUESTIONS, choose_questions
from xpsr.prompts.weights import fetch_all, fetch_config, find_commit
from xpsr.prompts.writer import Draft, Job, Writer

if TYPE_CHECKING:
    from transformers import PretrainedConfig

    from xpsr.prompts.llava_model import LlavaModel

logger = logging.getLogger(__name__)

MODEL = "llava-hf/llava-1.5-7b-hf"
REVISION = "b234b804b114d9e37bb655e11cbbb5f5e971b7a9"  # of MODEL
BITS = (4, 8, 16, 32)
OPTIONS = {
    "bits": "4, 8, 16 or 32 bits a weight; default 16",
    "questions": f"{' or '.join(QUESTIONS)}; default paper",
    "max_new_tokens": f"the longest answer, in tokens; default {MAX_NEW_TOKENS}",
    "device": "cpu, cuda, cuda:N or mps; default the best there is",
    "revision": "a commit, tag or branch of the hub",
    "batch": "how many pictures are described together where memory allows, 1 to 64; default 1",
    "keep": "yes leaves it loaded after use; default no",
}


class LlavaDescriber(Writer):
    """Describes by a LLaVA, or another model of transformers that answers about a picture.

    It is loaded when first needed and leaves the memory after each picture, so that a small GPU
    serves LLaVA and XPSR in turn; `hold()` and `keep` leave it where it is.

    Args:
        model: an id on the hub or a folder.
        bits: 4, 8, 16 or 32 a weight.
        questions: "paper" or "q-instruct".
        max_new_tokens: the longest answer.
        device: where it runs; None for the best there is.
        revision: of a hub id; None for `REVISION` of the default, or else main. What the
            cache of the hub has is used without asking whether there is something newer.
        batch: how many pictures are put to the model together; fewer where memory is short.
        keep: leave it loaded after use.
    """

    def __init__(
        self,
        model: str = MODEL,
        *,
        bits: int = 16,
        questions: str = "paper",
        max_new_tokens: int = MAX_NEW_TOKENS,
        device: str | None = None,
        revision: str | None = None,
        batch: int = 1,
        keep: bool = False,
        answers: Answers | None = None,
    ) -> None:
        super().__init__(choose_questions(questions), answers)
        self.folder = _folder(model)
        self.model = str(self.folder or model)
        self.bits, self.max_new_tokens, self.keep = bits, max_new_tokens, keep
        self.device, self.revision = device, revision
        self.name = self.folder.name if self.folder else model
        self.batch = batch
        # Half of those under way wait while the others are written, so that each batch is full.
        self.concurrency = 1 if batch == 1 else 2 * batch
        self._loaded: LlavaModel | None = None
        self._holders = 0
        self._waiting: list[Job] = []
        self._busy = threading.Lock()  # while something is written

    @classmethod
    def from_options(cls, model: str, options: dict[str, str]) -> LlavaDescriber:
        """From what stands in "llava:MODEL?name=value"; raises XPSRError for what is unknown."""
        check_options(options, OPTIONS, "The describer llava")
        bits = whole_number(options, "bits", 16, 4, 32)
        if bits not in BITS:
            raise DescriberUnavailableError("The option bits takes 4, 8, 16 or 32.")
        if options.get("keep", "no") not in ("yes", "no"):
            raise DescriberUnavailableError("The option keep takes yes or no.")
        return cls(
            model or MODEL,
            bits=bits,
            questions=options.get("questions", "paper"),
            max_new_tokens=whole_number(options, "max_new_tokens", MAX_NEW_TOKENS, 1, 1024),
            device=options.get("device"),
            revision=options.get("revision"),
            batch=whole_number(options, "batch", 1, 1, 64),
            keep=options.get("keep") == "yes",
        )

    @cached_property
    def config(self) -> PretrainedConfig:
        """The configuration of the model: a small file, enough to know what it will take.

        Raises:
            DescriberUnavailableError: it is neither here nor to be had.
        """
        from xpsr.prompts.llava_model import read_config

        return read_config(self.folder or fetch_config(self.model, self.commit), self.name)

    @property
    def commit(self) -> str:
        """The revision that is used: a commit of the hub, or a fingerprint of the folder."""
        if self.folder is None:
            return self._commit
        print_ = hashlib.sha256()
        for path in sorted(self.folder.iterdir()):
            status = path.stat()
            print_.update(f"{path.name} {status.st_size} {status.st_mtime_ns}\n".encode())
        return print_.hexdigest()

    @cached_property
    def _commit(self) -> str:
        if self.revision or self.model != MODEL:
            return find_commit(self.model, (self.revision or "main",))
        found = find_commit(MODEL, (REVISION, "main"))
        if found != REVISION:
            logger.warning("%s is used in revision %s, not in %s.", MODEL, found, REVISION)
        return found

    def identity(self) -> str:
        asked = (*astuple(self.questions), str(self.max_new_tokens))
        return "\n".join(("llava", self.model, self.commit, str(self.bits), *asked))

    def stream(self, image: Image.Image) -> Iterator[Description]:
        for description in super().stream(image):
            # In front of everything else, the reader wants to know which weights said that.
            commit = "" if self.folder else f"@{self.commit[:7]}"
            bits = "" if self.bits == 16 else f" in {self.bits} bits"
            yield replace(description, source=f"{self.name}{commit}{bits}")

    def begin(self, image: Image.Image, draft: Draft, stopped: threading.Event) -> Future[None]:
        job = Job(image, draft, stopped)
        self._waiting.append(job)
        return in_background(lambda: self._see_to(job), "describe")

    def _see_to(self, job: Job) -> None:
        """Describe one picture, unless another thread has done so along with its own."""
        with self._busy:
            try:
                if not (job.done or job.stopped.is_set()):
                    model = self._load()
                    others = [
                        o for o in [*self._waiting] if o is not job and not o.stopped.is_set()
                    ]
                    self._write(model, [job, *others][: self.batch])
            finally:
                if job in self._waiting:
                    self._waiting.remove(job)
                if not (self.keep or self._holders):
                    self._unload()
        if job.error is not None:
            raise job.error

    def _write(self, model: LlavaModel, jobs: list[Job]) -> None:
        """Describe pictures together; those that fail together are described apart."""
        from xpsr.prompts.llava_model import MemoryShortError

        for job in jobs:
            job.draft.texts[:] = ["", ""]
        try:
            model.write(jobs, self.questions)
        except Exception as error:
            if len(jobs) == 1:
                jobs[0].error = error
            else:
                half = len(jobs) // 2
                if isinstance(error, MemoryShortError):
                    self.batch = half
                    logger.warning("The memory is short: %d pictures together from now on.", half)
                self._write(model, jobs[:half])
                self._write(model, jobs[half:])
        for job in jobs:
            job.done = True
            if job in self._waiting:
                self._waiting.remove(job)

    @contextmanager
    def hold(self) -> Iterator[None]:
        self._holders += 1
        try:
            yield
        finally:
            self._holders -= 1
            # A picture that is still worked on sees to it by itself, when it is done.
            if not (self.keep or self._holders):
                self.release()

    def release(self) -> None:
        """Leave the memory now if no picture is being described, even if told to stay."""
        if self._busy.acquire(blocking=False):
            try:
                self._unload()
            finally:
                self._busy.release()

    def _load(self) -> LlavaModel:
        from xpsr.placement import choose_device, own_gpu
        from xpsr.prompts.footprint import check_room
        from xpsr.prompts.llava_model import LlavaModel

        if self._loaded is None:
            device = choose_device(self.device or own_gpu())
            fitting = check_room(self.name, self.config, self.bits, device)
            if fitting < self.batch:
                logger.warning("The memory suffices for %d pictures together.", fitting)
                self.batch = fitting
            folder = self.folder or fetch_all(self.model, self.commit)
            self._loaded = LlavaModel(folder, self.name, self.bits, device, self.max_new_tokens)
        return self._loaded

    def _unload(self) -> None:
        import gc

        import torch

        if self._loaded is None:
            return
        self._loaded = None
        gc.collect()  # the networks refer to themselves
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _folder(model: str) -> Path | None:
    """The folder that is meant, or None for an id of the hub."""
    with suppress(OSError, RuntimeError):  # a name too long, "~" before a name nobody has here
        path = Path(model).expanduser()
        if path.is_dir():
            return path.resolve()
    if re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", model, re.ASCII):
        return None
    raise DescriberUnavailableError(
        f'There is no folder "{model}", and it is no id of the hub such as {MODEL} either.'
    )
