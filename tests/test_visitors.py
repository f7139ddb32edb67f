"""Twelve visitors at once, of whom half press Stop: everybody gets what is theirs.

They talk to the queue as the page in a browser does.
"""

from __future__ import annotations

import asyncio
import io
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from inspect import signature
from types import SimpleNamespace
from typing import Any

import gradio as gr
import httpx
import pytest
from fastapi import Request
from gradio.data_classes import PredictBodyInternal
from gradio.server_messages import ProcessCompletedMessage
from loops import in_a_loop
from PIL import Image
from studio_server import Studio

from studio import queueing
from studio.api.endpoints import Endpoints
from studio.queueing import IN_ALL, OF_EVENT, OF_ONE, OF_QUEUE, look_after
from studio.triggers import QUEUE
from studio.words import TOO_MANY_OF_YOURS, TOO_MANY_WAIT
from xpsr.image import pixel_sha256

LONG, SHORT = 1000, 2  # steps
META = {"meta": {"_type": "gradio.FileData"}}
ARGUMENTS = [name for name in signature(Endpoints.restore).parameters if name != "self"]


@dataclass
class Visitor:
    """One browser: a picture of its own, and what it has heard so far."""

    web: httpx.AsyncClient
    restore: int  # the number of the endpoint in the page
    number: int
    picture: Image.Image
    steps: int
    ranks: list[int] = field(default_factory=list)  # places in the queue, as they were shown
    heard: dict[str, float] = field(default_factory=dict)  # when a kind of message first came
    output: dict[str, Any] = field(default_factory=dict)  # of the last message
    event: str = ""

    @property
    def session(self) -> str:
        return f"visitor{self.number}"

    async def join(self) -> httpx.Response:
        """Upload the picture and press Restore."""
        file = io.BytesIO()
        self.picture.save(file, "PNG")
        answer = await self.web.post("/upload", files={"files": ("it.png", file.getvalue())})
        given = {
            "image": {"path": answer.json()[0], **META},
            "num_inference_steps": self.steps,
            "upscale": 2,
            "seed": self.number,
        }
        body = {"data": [given.get(name) for name in ARGUMENTS], "fn_index": self.restore}
        joined = await self.web.post("/queue/join", json={**body, "session_hash": self.session})
        self.event = joined.json().get("event_id", "")
        return joined

    async def listen(self) -> AsyncIterator[str]:
        """The kinds of the messages, until the run has ended."""
        stream = self.web.stream("GET", "/queue/data", params={"session_hash": self.session})
        async with stream as answer:
            async for line in answer.aiter_lines():
                if not line.startswith("data: "):
                    continue
                message = json.loads(line.removeprefix("data: "))
                kind = message["msg"]
                self.heard.setdefault(kind, time.monotonic())
                if kind == "estimation":
                    self.ranks.append(message["rank"])
                self.output = message.get("output", self.output)
                yield kind
                if kind == "process_completed":
                    return

    async def stay(self) -> None:
        async for _ in self.listen():
            pass

    async def stop_when(self, kind: str) -> None:
        """Press Stop when such a message comes."""
        async for told in self.listen():
            if told == kind and "stopped" not in self.heard:
                self.heard["stopped"] = time.monotonic()
                await self.stop()

    async def stop(self) -> None:
        body = {"session_hash": self.session, "fn_index": self.restore, "event_id": self.event}
        assert (await self.web.post("/cancel", json=body)).status_code == 200


@pytest.fixture
def visit(studio: Studio, picture) -> Callable[..., Any]:
    """`visit(scenario)`: run it with `come(number, steps)`, which gives a visitor."""

    async def run(scenario) -> None:
        limits = httpx.Limits(max_connections=64)
        config = httpx.get(f"{studio.url}/config").json()
        restore = next(one["id"] for one in config["dependencies"] if one["api_name"] == "restore")
        address = f"{studio.url}/gradio_api"
        async with httpx.AsyncClient(base_url=address, limits=limits, timeout=120) as web:
            short = Visitor(web, restore, 99, picture(32, 32), SHORT)
            await short.join()
            await short.stay()  # the model is there from here
            await scenario(
                lambda number, steps: Visitor(web, restore, number, picture(32 + number, 40), steps)
            )

    return lambda scenario: in_a_loop(run(scenario))


def test_of_twelve_visitors_half_press_stop(visit):
    """Those of even numbers have long runs and press Stop: half at their first step, half while
    they wait."""

    async def scenario(come) -> None:
        visitors = [come(number, SHORT if number % 2 else LONG) for number in range(12)]
        begun = []
        for one in visitors:
            assert (await one.join()).status_code == 200
            ending = "process_generating" if one.number < 6 else "estimation"
            coming = one.stay() if one.number % 2 else one.stop_when(ending)
            begun.append(asyncio.create_task(coming))
        await asyncio.gather(*begun)
        check_places(visitors)
        check_results(visitors[1::2])
        check_stopped(visitors)

    visit(scenario)


def check_places(visitors: list[Visitor]) -> None:
    """Each saw a place in the queue, which then only fell; those who stayed saw the first one."""
    for one in visitors:
        assert one.ranks and one.ranks == sorted(one.ranks, reverse=True), one
        assert one.ranks[-1] == 0 or one.number in (6, 8, 10), one
    assert max(visitors[-1].ranks) >= 5


def check_results(stayed: list[Visitor]) -> None:
    for one in stayed:
        recipe = one.output["data"][1]["recipe"]
        assert recipe["settings"]["seed"] == one.number
        assert recipe["input_sha256"] == pixel_sha256(one.picture)
        assert recipe["output_size"] == [2 * side for side in one.picture.size]


def check_stopped(visitors: list[Visitor]) -> None:
    starts = {one.number: one.heard.get("process_starts") for one in visitors}
    for one in visitors[::2]:
        assert not one.output.get("data"), one  # no result
        if one.number >= 6:
            assert starts[one.number] is None  # it never took a turn
    step = min(
        one.heard["process_completed"] - starts[one.number] for one in visitors[1::2]
    )  # of the shortest whole run: two steps and what surrounds them
    for number in (0, 2, 4):
        freed = starts[number + 1] - visitors[number].heard["stopped"]
        assert freed < 1 + 2 * step, (number, freed, step)  # and not the other 999 steps


def test_who_finds_no_place_is_told_so_at_once_and_gets_in_later(visit):
    async def scenario(come) -> None:
        running = come(0, LONG)
        await running.join()
        listening = asyncio.create_task(running.stay())
        while "process_generating" not in running.heard:
            await asyncio.sleep(0.05)
        waiting = [come(number, SHORT) for number in range(1, IN_ALL + 1)]
        assert [(await one.join()).status_code for one in waiting] == [200] * IN_ALL
        late = come(IN_ALL + 1, SHORT)
        await late.join()
        await late.stay()
        assert late.output["error"] == TOO_MANY_WAIT.format(count=IN_ALL)
        # Whoever wants something quick does not find the door closed.
        called = await late.web.post("/call/count_tokens", json={"data": ["A cat.", "", "", ""]})
        told = await late.web.get(f"/call/count_tokens/{called.json()['event_id']}")
        assert "event: complete" in told.text and '"used": 3' in told.text
        await asyncio.gather(*(one.stop() for one in waiting), running.stop())
        await listening
        assert (await late.join()).status_code == 200
        await late.stay()
        check_results([late])

    visit(scenario)


@pytest.fixture
def demo() -> gr.Blocks:
    with gr.Blocks() as demo:
        gr.Button().click(print, concurrency_id=QUEUE, concurrency_limit=1)
    return demo.queue()


@pytest.mark.parametrize("name", OF_QUEUE)
def test_a_gradio_whose_queue_has_changed_is_told_of_at_the_start(demo, name):
    kept = {one: getattr(demo._queue, one) for one in OF_QUEUE if one != name}
    changed: Any = SimpleNamespace(**kept)
    with pytest.raises(RuntimeError, match=f"Gradio, {gr.__version__}, .*{name}"):
        look_after(changed)


@pytest.mark.parametrize("name", OF_EVENT)
def test_so_is_one_whose_events_have_changed(demo, name, monkeypatch):
    kept = {one: "" for one in OF_EVENT if one != name}
    monkeypatch.setattr(queueing, "Event", lambda *_: SimpleNamespace(**kept))
    with pytest.raises(RuntimeError, match=name):
        look_after(demo._queue)


def test_an_empty_queue_rests(demo, monkeypatch):
    look_after(demo._queue)
    slept: list[float] = []
    sleep = asyncio.sleep

    async def count(seconds: float) -> None:
        slept.append(seconds)
        await sleep(seconds)

    monkeypatch.setattr("gradio.queueing.asyncio.sleep", count)

    async def scenario() -> None:
        demo._queue.start()
        await sleep(0.5)
        demo._queue.close()
        await sleep(0.2)

    in_a_loop(scenario())
    assert 5 < len(slept) < 80  # Gradio's own pace is some hundreds


def test_one_visitor_does_not_take_all_places(demo):
    look_after(demo._queue)

    async def come(session: str) -> list[Any]:
        body = PredictBodyInternal(fn_index=0, data=[], session_hash=session, request=None)
        await demo._queue.push(body, Request({"type": "http"}), None)
        heard = demo._queue.pending_messages_per_session[session]
        told = [heard.get_nowait() for _ in range(heard.qsize())]
        return [one for one in told if isinstance(one, ProcessCompletedMessage)]

    async def scenario() -> None:
        for _ in range(OF_ONE):
            assert await come("greedy") == []
        (refused,) = await come("greedy")
        assert refused.output["error"] == TOO_MANY_OF_YOURS.format(count=OF_ONE)
        assert not refused.success
        assert await come("other") == []
        assert len(demo._queue) == OF_ONE + 1

    in_a_loop(scenario())
