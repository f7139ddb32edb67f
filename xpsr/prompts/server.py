"""A vision model behind the OpenAI interface: vLLM, SGLang, Ollama, llama.cpp, transformers."""

from __future__ import annotations

import asyncio
import base64
import io
import os
import threading
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import astuple
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit, urlunsplit

from PIL import Image

from xpsr.errors import XPSRError
from xpsr.prompts import MAX_CHARACTERS
from xpsr.prompts.answers import Answers
from xpsr.prompts.options import check_options, whole_number
from xpsr.prompts.questions import MAX_NEW_TOKENS, QUESTIONS, choose_questions
from xpsr.prompts.writer import Draft, Writer

if TYPE_CHECKING:
    from openai import AsyncOpenAI

MAX_SIDE = 1024  # pixels; what is sent stays below 5 MB, and no model looks more closely
KEY = "OPENAI_API_KEY"
OPTIONS = {
    "model": "one of the server's models; default the first one it lists",
    "questions": f"{' or '.join(QUESTIONS)}; default paper",
    "max_new_tokens": f"the longest answer, in tokens; default {MAX_NEW_TOKENS}",
    "timeout": "seconds that one answer may take; default 120",
    "concurrency": "how many questions are under way at once; default 4",
}


class ServerDescriber(Writer):
    """Describes by asking a server, both questions at the same time.

    Args:
        address: http(s)://HOST:PORT/v1; the path may be left out. NAME:PASSWORD@ before the host
            is sent as basic authentication and never shown. A key comes from OPENAI_API_KEY.
        model: one of its models; None for the first one it lists.
        questions: "paper" or "q-instruct".
        max_new_tokens: the longest answer.
        timeout: seconds that one answer may take, with all its tries.
        concurrency: how many questions are under way at once.
    """

    def __init__(
        self,
        address: str,
        *,
        model: str | None = None,
        questions: str = "paper",
        max_new_tokens: int = MAX_NEW_TOKENS,
        timeout: float = 120,
        concurrency: int = 4,
        answers: Answers | None = None,
    ) -> None:
        super().__init__(choose_questions(questions), answers)
        self.address, self._account = _read_address(address)
        self.model, self.max_new_tokens, self.timeout = model, max_new_tokens, timeout
        self.concurrency = concurrency
        self._lock = threading.RLock()

    @classmethod
    def from_options(cls, address: str, options: dict[str, str]) -> ServerDescriber:
        """From "http://HOST/v1?name=value"; raises XPSRError for what is unknown."""
        whose = f"A server (a key belongs into the environment variable {KEY})"
        check_options(options, OPTIONS, whose)
        return cls(
            address,
            model=options.get("model") or None,
            questions=options.get("questions", "paper"),
            max_new_tokens=whole_number(options, "max_new_tokens", MAX_NEW_TOKENS, 1, 4096),
            timeout=whole_number(options, "timeout", 120, 1, 3600),
            concurrency=whole_number(options, "concurrency", 4, 1, 256),
        )

    @property
    def name(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        return f"{self.model} at {self.address}" if self.model else self.address

    def identity(self) -> str:
        asked = (*astuple(self.questions), str(self.max_new_tokens))
        return "\n".join(("server", self.address, self._choose_model(), *asked))

    def begin(self, image: Image.Image, draft: Draft, stopped: threading.Event) -> Future[None]:
        return self._run(self._ask_both(_data_url(image), draft))

    def _choose_model(self) -> str:
        """The model that is asked: the named one, or the first of the server's list."""
        with self._lock:
            if self.model is None:
                self.model = self._run(self._first_model()).result()
        return self.model

    # Everything below runs in the one event loop of this describer --------------------------------

    @cached_property
    def _loop(self) -> asyncio.AbstractEventLoop:
        loop = asyncio.new_event_loop()
        threading.Thread(target=loop.run_forever, name="ask the server", daemon=True).start()
        return loop

    def _run(self, work: Any) -> Future[Any]:
        with self._lock:
            loop = self._loop
        return asyncio.run_coroutine_threadsafe(work, loop)

    @cached_property
    def _turns(self) -> asyncio.Semaphore:
        return asyncio.Semaphore(self.concurrency)

    @cached_property
    def _client(self) -> AsyncOpenAI:
        from xpsr.prompts.server_answers import make_client

        return make_client(self.address, self._key, self._account, self.timeout)

    @property
    def _key(self) -> str | None:
        return os.environ.get(KEY) or None

    def _plainly(self) -> AbstractAsyncContextManager[None]:
        from xpsr.prompts.server_answers import plainly

        account = (self._account or "").partition(":")
        secrets = [text for text in (self._key, account[0], account[2]) if text]
        return plainly(self.address, self.model, self.timeout, secrets)

    async def _first_model(self) -> str:
        from xpsr.prompts.server_answers import list_models

        async with self._plainly():
            names = await asyncio.wait_for(list_models(self._client), self.timeout)
        if not names:
            raise XPSRError(
                f"The vision server at {self.address} lists no model; name one with ?model=NAME."
            )
        return names[0]

    async def _ask_both(self, picture: str, draft: Draft) -> None:
        tasks = [
            asyncio.create_task(self._ask(question, picture, draft, index))
            for index, question in enumerate((self.questions.high, self.questions.low))
        ]
        try:
            await asyncio.gather(*tasks)
        finally:  # one failed, or somebody pressed Stop: the other is of no use
            for task in tasks:
                task.cancel()

    async def _ask(self, question: str, picture: str, draft: Draft, index: int) -> None:
        async with self._turns, self._plainly():
            await asyncio.wait_for(self._fill(question, picture, draft, index), self.timeout)

    async def _fill(self, question: str, picture: str, draft: Draft, index: int) -> None:
        from xpsr.prompts.server_answers import answer

        request = {
            "model": self.model,
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "image_url", "image_url": {"url": picture}},
                        {"type": "text", "text": question},
                    ],
                }
            ],
            "max_tokens": self.max_new_tokens,
            "temperature": 0,
        }
        async with aclosing(answer(self._client, request)) as pieces:
            async for piece in pieces:
                draft.texts[index] += piece
                if len(draft.texts[index]) > 2 * MAX_CHARACTERS:
                    return  # no description; the check of the answer says so


def _read_address(address: str) -> tuple[str, str | None]:
    """The address without what is secret in it, and NAME:PASSWORD; XPSRError if it is none."""
    try:
        parts = urlsplit(address)
        port, host = parts.port, parts.hostname
    except ValueError:
        host = port = None
    if not host or parts.fragment:
        raise XPSRError(
            "The address of the vision server cannot be read; write it like "
            "http://localhost:8000/v1, with options behind a question mark."
        )
    place = f"[{host}]" if ":" in host else host
    path = parts.path.rstrip("/").removesuffix("/chat/completions") or "/v1"
    shown = urlunsplit((parts.scheme, place + (f":{port}" if port else ""), path, "", ""))
    account = parts.netloc.rpartition("@")[0]
    return shown, unquote(account) or None


def _data_url(image: Image.Image) -> str:
    """The picture as a PNG inside an address; lossless, so that only its own faults are seen."""
    small = image.convert("RGB")
    if max(small.size) > MAX_SIDE:
        small.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    small.save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
