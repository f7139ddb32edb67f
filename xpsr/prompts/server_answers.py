"""How a server's answers are read: streamed or whole, bounded, and every fault as a sentence."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import openai
from openai import AsyncOpenAI

from xpsr.errors import XPSRError
from xpsr.prompts.description import DescriberUnavailableError
from xpsr.prompts.questions import tidy

MAX_BYTES = 4 * 1024 * 1024  # a stream of 175 tokens is a fiftieth of it
CONNECT_SECONDS = 10.0
RETRIES = 2  # with growing pauses, by the client; refused connections, 429 and 5xx
logger = logging.getLogger(__name__)


class _RubbishError(Exception):
    """The server answered something else than the interface says; the text says what."""


class _ReportedError(Exception):
    """The server says that all is well, and in the answer that it is not; the text quotes it."""


class _Bounded(httpx2.AsyncByteStream):
    """The body of an answer that breaks off where it becomes enormous."""

    def __init__(self, body: httpx2.AsyncByteStream) -> None:
        self.body = body
        self.end = b""  # the last bytes, to tell a whole stream from one that was cut off

    async def __aiter__(self) -> AsyncIterator[bytes]:
        total = 0
        async for chunk in self.body:
            total += len(chunk)
            if total > MAX_BYTES:
                raise _RubbishError(f"more than {MAX_BYTES // 1024**2} MB")
            self.end = (self.end + chunk)[-32:]
            yield chunk

    async def aclose(self) -> None:
        await self.body.aclose()


async def _bound(response: httpx2.Response) -> None:
    if response.headers.get("content-encoding", "identity") != "identity":
        raise _RubbishError("compressed data that was not asked for")  # it may unpack to anything
    assert isinstance(response.stream, httpx2.AsyncByteStream)
    response.stream = _Bounded(response.stream)


def make_client(address: str, key: str | None, account: str | None, timeout: float) -> AsyncOpenAI:
    """A client for one server. `key` goes out as a bearer token, `account` as basic auth."""
    headers = {"Accept-Encoding": "identity"}
    if account:
        headers["Authorization"] = "Basic " + base64.b64encode(account.encode()).decode()
    wait = httpx2.Timeout(timeout, connect=min(CONNECT_SECONDS, timeout))
    return AsyncOpenAI(
        base_url=address,
        api_key=key or "none",  # servers of one's own want none, the client wants one
        max_retries=RETRIES,
        timeout=wait,
        default_headers=headers,
        http_client=openai.DefaultAsyncHttpxClient(
            timeout=wait, event_hooks={"response": [_bound]}, follow_redirects=False
        ),
    )


async def list_models(client: AsyncOpenAI) -> list[str]:
    """The names of the server's models, in its order."""
    raw = await client.models.with_raw_response.list()
    entries = _field(_read_json(raw.text), "data")
    if not isinstance(entries, list):
        raise _RubbishError("a list of models that is none")
    return [str(_field(entry, "id")) for entry in entries]


async def answer(client: AsyncOpenAI, request: dict[str, Any]) -> AsyncGenerator[str]:
    """Yield the answer to a question, piece by piece or, where the server does not stream, whole.

    Raises:
        _RubbishError: what came is no answer, or not all of it.
    """
    raw = await client.chat.completions.with_raw_response.create(**request, stream=True)
    response = raw.http_response
    try:
        if "event-stream" not in response.headers.get("content-type", ""):
            body = _read_json((await response.aread()).decode("utf-8", "replace"))
            yield _text(_field(_choice(body), "message"), needed=True)
            return
        whole = False
        async for chunk in raw.parse():
            choices = getattr(chunk, "choices", None)
            if choices == []:  # some servers send figures of use, or of content filters
                continue
            choice = _choice(chunk.to_dict())
            yield _text(_field(choice, "delta"), needed=False)
            whole = whole or choice.get("finish_reason") is not None
        if not whole and b"[DONE]" not in response.stream.end:
            raise _RubbishError("an answer that breaks off")
    finally:
        await response.aclose()


def _read_json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        kind = "a web page" if text.lstrip()[:1] == "<" else "something" if text else "nothing"
        raise _RubbishError(f"{kind} instead of JSON") from None


def _choice(body: Any) -> dict[str, Any]:
    if isinstance(body, dict) and body.get("error"):
        raise _ReportedError(_quoted(body))
    choices = _field(body, "choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise _RubbishError("JSON without an answer in it")
    return choices[0]


def _field(body: Any, name: str) -> Any:
    if not isinstance(body, dict) or name not in body:
        raise _RubbishError(f'JSON without "{name}"')
    return body[name]


def _text(message: Any, needed: bool) -> str:
    text = message.get("content") if isinstance(message, dict) else None
    if text is None and not needed:
        return ""  # the first piece often names the role alone
    if not isinstance(text, str):
        raise _RubbishError("JSON without a text in it")
    return text


@asynccontextmanager
async def plainly(
    address: str, model: str | None, timeout: float, secrets: Sequence[str]
) -> AsyncIterator[None]:
    """Turn whatever goes wrong between us and a server into one sentence, without the `secrets`.

    Raises:
        DescriberUnavailableError: nobody will get an answer from this server as it is.
        XPSRError: this question got none.
    """
    try:
        yield
    except (XPSRError, asyncio.CancelledError):
        raise
    except Exception as error:
        logger.debug("asking %s failed with %s", address, type(error).__name__)
        told = _sentence(error, f"The vision server at {address}", model, timeout)
        text = str(told)
        for secret in secrets:
            text = text.replace(secret, "…")
        # Nothing of the original goes along: a server may repeat the key it was sent.
        raise type(told)(text) from None


def _sentence(error: Exception, who: str, model: str | None, timeout: float) -> XPSRError:
    if isinstance(error, openai.APIStatusError):
        return _status_sentence(error, who, model)
    if isinstance(error, (TimeoutError, asyncio.TimeoutError, openai.APITimeoutError)):
        return XPSRError(
            f"{who} did not finish its answer within {timeout:g} seconds; try again, or allow it "
            "more with ?timeout=SECONDS."
        )
    if isinstance(error, _ReportedError):
        return XPSRError(f"{who} sent an error in place of an answer.{error}")
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, _RubbishError):
        cause = cause.__cause__ or cause.__context__
    if cause is not None:
        return XPSRError(f"{who} sent {cause}; is it an OpenAI-compatible server, and is it well?")
    if isinstance(error.__cause__, httpx2.RemoteProtocolError):
        return XPSRError(f"{who} hangs up or does not speak HTTP; is it the right address?")
    if isinstance(error, openai.APIConnectionError):
        return DescriberUnavailableError(
            f"{who} cannot be reached; start it, or correct the address."
        )
    if isinstance(error, (httpx2.TransportError, openai.APIError)):
        return XPSRError(f"{who} broke off in the middle of its answer; try again.")
    return XPSRError(f"{who} sent what no OpenAI-compatible server sends; is it one?")


def _status_sentence(error: openai.APIStatusError, who: str, model: str | None) -> XPSRError:
    status, said = error.status_code, _quoted(error.body)
    if 300 <= status < 400:
        return DescriberUnavailableError(
            f"{who} refers to another address (error {status}), to which the picture is not sent; "
            "give the right address yourself."
        )
    if status in (401, 403):
        return DescriberUnavailableError(
            f"{who} asks for a key or refuses the one it got; put the right one into the "
            "environment variable OPENAI_API_KEY."
        )
    if status == 404:
        called = f' called "{model}"' if model else ""
        return DescriberUnavailableError(
            f"{who} knows no model{called}, or has no OpenAI interface there (error 404); correct "
            "the address, or name another model with ?model=NAME."
        )
    if status == 429:
        return XPSRError(f"{who} has too much to do (error 429); try again later.")
    if status == 413:
        return XPSRError(f"{who} finds the picture too large (error 413); raise its limit.")
    if status in (400, 415, 422):
        return XPSRError(
            f"{who} does not take the picture or the question (error {status}); perhaps its model "
            f"cannot see: name another with ?model=NAME.{said}"
        )
    if status < 500:
        return XPSRError(f"{who} refused to answer (error {status}).{said}")
    return XPSRError(f"{who} failed by itself (error {status}); its own log says why.{said}")


def _quoted(body: Any) -> str:
    """What a server says about its error, if it says so in JSON: short, plain, without keys."""
    while isinstance(body, dict):
        body = body.get("error") or body.get("message") or body.get("detail")
    if not isinstance(body, str) or "<" in body:
        return ""
    words = [word for word in tidy(body).split() if len(word) < 40]  # keys are long
    return f" It says: {' '.join(words)[:160]}" if words else ""
