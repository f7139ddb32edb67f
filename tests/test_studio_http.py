"""What programs send over bare HTTP: whatever it is, one sentence comes back."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from studio_server import Studio

META = {"meta": {"_type": "gradio.FileData"}}
ENDPOINTS = ("describe", "restore", "score")


def answer(studio: Studio, endpoint: str, body: str) -> tuple[str, Any]:
    """How a call ended, and with what."""
    address = f"{studio.url}/gradio_api/call/{endpoint}"
    posted = httpx.post(address, content=body, headers={"content-type": "application/json"})
    assert posted.status_code == 200, posted.text
    told = httpx.get(f"{address}/{posted.json()['event_id']}", timeout=60).text.strip()
    event, data = told.split("\n\n")[-1].splitlines()
    return event.removeprefix("event: "), json.loads(data.removeprefix("data: "))


def call(studio: Studio, endpoint: str, *data: Any) -> tuple[str, Any]:
    return answer(studio, endpoint, json.dumps({"data": data}))


@pytest.fixture(scope="module")
def upload(studio, photo) -> str:
    """The path under which the server keeps an uploaded picture."""
    with photo.open("rb") as file:
        return httpx.post(f"{studio.url}/gradio_api/upload", files={"files": file}).json()[0]


def bad_pictures(upload: str, private: str) -> dict[str, Any]:
    address = f"data:image/png;base64,{base64.b64encode(b'bread').decode()}"
    far = "http://127.0.0.1:9/picture.png"
    return {
        "no picture": None,
        "nothing in it": {},
        "a number": 5,
        "a list": [upload],
        "yes": True,
        "a bare path": upload,
        "a bare data address": address,
        "a bare address": far,
        "a data address as path": {"path": address, **META},
        "a data address as url": {"url": address, **META},
        "an address as path": {"path": far, **META},
        "an address as url": {"url": far, **META},
        "the path is a number": {"path": 5, **META},
        "the path is a list": {"path": [upload], **META},
        "no path": {"path": None, **META},
        "the size is a word": {"path": upload, "size": "large", **META},
        "meta is a word": {"path": upload, "meta": "gradio.FileData"},
        "a file in a file": {"path": {"path": upload, **META}, **META},
        "a folder": {"path": str(Path(upload).parent), **META},
        "no such upload": {"path": f"{upload}.png", **META},
        "a zero byte": {"path": f"{upload}\0", **META},
        "half a letter": {"path": "\ud800", **META},
        "a very long path": {"path": "a" * 100_000, **META},
        # Nobody makes us read, and hand back in pieces, a picture that he did not bring himself.
        "a file of the machine": {"path": private, **META},
        "and without saying so": {"path": private},
        "and with an empty meta": {"path": private, "meta": {}},
        "and as an address": {"path": f"file://{private}", **META},
        "and as one of ours": {"path": f"http://x/gradio_api/file={private}", **META},
        "and from an upload": {"path": f"{upload}/../../../../..{private}", **META},
    }


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_what_is_no_uploaded_picture_gives_a_sentence(
    studio, endpoint, upload, picture, tmp_path, photo
):
    event, told = call(studio, "describe", {"path": upload, **META})
    assert event == "complete", (told, studio.log.read_text())
    private = tmp_path / "private.png"
    picture(32, 32).save(private)
    before = len(studio.log.read_text())
    for name, image in bad_pictures(upload, str(private)).items():
        rest = [None] * {"describe": 0, "restore": 22, "score": 3}[endpoint]
        event, told = call(studio, endpoint, image, *rest)
        assert event == "error", (name, told)
        said = told["error"]
        assert said and 20 < len(said) < 300 and said.endswith("."), (name, said)
        assert str(private) not in said and "Error" not in said, (name, said)
    assert "Traceback" not in studio.log.read_text()[before:]


def test_values_that_are_missing_give_a_sentence(studio):
    for endpoint in (*ENDPOINTS, "count_tokens"):
        event, told = call(studio, endpoint)
        assert event == "error" and "A value is missing" in told["error"]


def test_an_upload_is_known_by_the_address_that_it_has_here(studio, upload):
    image = {"path": f"{studio.url}/gradio_api/file={upload}", **META}
    event, (said,) = call(studio, "describe", image)
    assert event == "complete" and said["source"] == "measured"
