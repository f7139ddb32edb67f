"""The endpoints as tools: the real MCP client against `python app.py` with MCP."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import time
from ast import literal_eval
from pathlib import Path
from typing import Any

import httpx
import pytest
from loops import in_a_loop
from PIL import Image
from studio_server import Studio, free_port, save_tiny, start

from xpsr.image import pixel_sha256

mcp = pytest.importorskip("mcp", reason="the package mcp is not installed")

from mcp.client.streamable_http import streamable_http_client  # noqa: E402

QUICK = {"num_inference_steps": 2, "upscale": 2, "seed": 5}


@pytest.fixture(scope="module")
def studio(tiny_pipeline, tmp_path_factory) -> Studio:
    log = tmp_path_factory.mktemp("mcp") / "studio.log"
    running, process = start(save_tiny(tiny_pipeline), free_port(), log, GRADIO_MCP_SERVER="true")
    yield running
    process.kill()
    process.wait()


@pytest.fixture(scope="module")
def garden(picture, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("photo") / "my garden.png"
    picture(48, 33).save(path)
    return path


def data_address(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()


def uploaded(studio: Studio, path: Path) -> str:
    """What `gradio upload-mcp` does with a file, and the address that it returns."""
    with path.open("rb") as file:
        answer = httpx.post(f"{studio.url}/gradio_api/upload", files={"files": file})
    return f"{studio.url}/gradio_api/file={answer.json()[0]}"


async def asking(studio: Studio, *calls: tuple[str, dict], hear: Any = None) -> list:
    """The answers to some calls, in one session; with `hear`, progress is asked for."""
    address = f"{studio.url}/gradio_api/mcp/"
    async with (
        streamable_http_client(address) as (read, write, _),
        mcp.ClientSession(read, write) as session,
    ):
        await session.initialize()
        return [
            await session.call_tool(name, given, progress_callback=hear) for name, given in calls
        ]


def ask(studio: Studio, *calls: tuple[str, dict], told: list | None = None) -> list:
    """The same, from a test that is no coroutine."""

    async def hear(progress, total, message) -> None:
        told.append(message)

    return in_a_loop(asking(studio, *calls, hear=hear if told is not None else None))


def facts(answer) -> dict:
    assert not answer.isError, answer
    return literal_eval(answer.content[-1].text)


def test_every_tool_answers_to_pictures_of_both_forms(studio, garden):
    forms = (data_address(garden), uploaded(studio, garden))
    restored, *described = ask(
        studio,
        ("restore", {"image": forms[1], "prompt": "A garden.", **QUICK}),
        *(("describe", {"image": form}) for form in forms),
    )
    assert facts(described[0]) == facts(described[1])
    assert set(facts(described[0])) == {"high", "low", "source"}

    image, address, _ = restored.content  # the picture itself, where it is, what is known of it
    with Image.open(io.BytesIO(base64.b64decode(image.data))) as picture:
        assert picture.size == (96, 66)
        assert pixel_sha256(picture) == facts(restored)["sha256"]
    where = address.text.removeprefix("Image URL: ")
    assert httpx.get(where).headers["content-type"] == "image/png"

    (scored,) = ask(
        studio, ("score", {"image": forms[0], "reference": forms[1], "metrics": "ssim,piqe"})
    )
    assert facts(scored)["ssim"] == pytest.approx(1, abs=1e-4)
    # A result can be sent on as it is.
    (scored,) = ask(studio, ("score", {"image": where, "input": forms[0]}))
    assert facts(scored)["backprojection"] > 10


def test_who_asks_for_progress_gets_the_same_answer(studio, garden):
    told: list = []
    (restored,) = ask(studio, ("restore", {"image": data_address(garden), **QUICK}), told=told)
    assert [part.type for part in restored.content] == ["image", "text", "text"]
    assert "Processing" in told


def test_what_is_wrong_is_said_in_a_sentence(studio, garden, tmp_path):
    private = tmp_path / "private.png"
    private.write_bytes(garden.read_bytes())
    page = f"{studio.url}/gradio_api/file="
    wrong = {
        # Neither other servers of this machine nor its files are within reach.
        "anybody can open": f"http://127.0.0.1:{free_port()}/picture.png",
        "must be one": f"{page}{private}",
        "fetched": f"{page}/etc/passwd",
        "provide a url": str(private),
        "not a picture": "data:image/png;base64," + base64.b64encode(b"bread, milk").decode(),
    }
    answers = ask(studio, *(("describe", {"image": image}) for image in wrong.values()))
    answers += ask(studio, ("restore", {"image": data_address(garden), "upscale": 99}))
    for said, answer in zip((*wrong, "from 1 to 8"), answers, strict=True):
        (part,) = answer.content
        assert answer.isError and said in part.text, answer
        assert "Traceback" not in part.text


def test_a_run_ends_with_its_client_and_no_other_does(studio, picture, tmp_path):
    path = tmp_path / "wide.png"
    picture(64, 64).save(path)
    image = data_address(path)
    long = {"image": image, "upscale": 4, "num_inference_steps": 1000}

    async def leave(seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asking(studio, ("restore", long)), seconds)

    async def talk() -> list:
        stays = asyncio.create_task(
            asking(studio, ("restore", {**long, "num_inference_steps": 60}))
        )
        await asyncio.gather(leave(2), leave(2))  # while they wait behind it
        first = await stays
        await leave(3)
        began = time.monotonic()
        last = await asking(studio, ("restore", {"image": image, **QUICK}))
        assert time.monotonic() - began < 30
        return first + last

    assert not any(answer.isError for answer in in_a_loop(talk()))
