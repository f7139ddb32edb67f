"""A describer that asks a model: it writes while you watch, can be stopped, and remembers."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from dataclasses import dataclass, field

from PIL import Image

from xpsr.background import in_background
from xpsr.prompts.answers import Answers, shared_answers
from xpsr.prompts.description import Description
from xpsr.prompts.questions import Questions, check_answer

TICK = 0.15  # seconds between two looks at what has been written


@dataclass
class Draft:
    """The two answers as far as they are written; filled by one thread, read by another."""

    texts: list[str] = field(default_factory=lambda: ["", ""])


@dataclass(eq=False)
class Job:
    """A picture to be described: `draft` fills up until it is `done`, or `stopped` is set."""

    image: Image.Image
    draft: Draft
    stopped: threading.Event
    done: bool = False
    error: Exception | None = None


class Writer(ABC):
    """What LLaVA in this process and a server have in common.

    Attributes:
        name: who is asked, as the user reads it.
        concurrency: how many questions or pictures are worked on at once.
    """

    name: str
    concurrency: int = 1

    def __init__(self, questions: Questions, answers: Answers | None = None) -> None:
        self.questions = questions
        self.answers = answers if answers is not None else shared_answers()

    @abstractmethod
    def identity(self) -> str:
        """Everything besides the picture that an answer depends on: model, revision, questions."""

    @abstractmethod
    def begin(self, image: Image.Image, draft: Draft, stopped: threading.Event) -> Future[None]:
        """Start writing into `draft`; the future ends when both answers are whole."""

    def describe(self, image: Image.Image) -> Description:
        """Describe a picture; raises XPSRError where that fails."""
        *_, last = self.stream(image)
        return last

    def stream(self, image: Image.Image) -> Iterator[Description]:
        """Yield the texts every `TICK` seconds, and at last the whole.

        Raises:
            XPSRError: the model or the server cannot do it; the sentence says what to do.
        """
        # In the background as well: to learn the model, a server or the hub may have to be asked.
        identity = in_background(self.identity, "describe")
        while not wait([identity], timeout=TICK).done:
            yield Description("", "", self.name)
        key = self.answers.key(image, identity.result())
        known = self.answers.get(key)
        if known is not None:
            yield known
            return
        draft, stopped = Draft(), threading.Event()
        future = self.begin(image, draft, stopped)
        try:
            while not wait([future], timeout=TICK).done:
                yield Description(draft.texts[0], draft.texts[1], self.name)
            future.result()
        finally:
            stopped.set()
            future.cancel()
        high, low = (check_answer(text, self.name) for text in draft.texts)
        description = Description(high, low, self.name)
        self.answers.put(key, description)
        yield description

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Inside, what was loaded stays loaded."""
        yield
