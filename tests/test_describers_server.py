"""The describer http(s)://…: a server on loopback that answers well, and in every bad way."""

from __future__ import annotations

import base64
import io
import itertools
import logging
import time

import numpy as np
import pytest
from describing_server import HIGH, LOW, Server, serving
from PIL import Image

from xpsr.errors import XPSRError
from xpsr.prompts.answers import Answers
from xpsr.prompts.batch import describe_many
from xpsr.prompts.describer import (
    DescriberUnavailableError,
    Description,
    make_describer,
    stream,
)
from xpsr.prompts.questions import QUESTIONS, check_answer

_fresh = itertools.count()


@pytest.fixture
def server():
    with serving() as one:
        yield one


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def fresh_picture(width: int = 40, height: int = 30) -> Image.Image:
    """Another picture each time, so that no answer is remembered from another test."""
    random = np.random.default_rng(next(_fresh))
    return Image.fromarray(random.integers(0, 255, (height, width, 3), dtype=np.uint8))


def refused(server: Server, options: str = "") -> str:
    with pytest.raises(XPSRError) as caught:
        make_describer(server.url + options).describe(fresh_picture())
    text = str(caught.value)
    assert text.endswith((".", "?")) or "It says:" in text, text
    assert 20 < len(text) < 400 and server.url in text
    for leak in ("Traceback", "Error(", "<html", "None", "httpx"):
        assert leak not in text
    return text


def test_both_questions_of_the_paper_are_asked_and_answered(server):
    found = make_describer(server.url).describe(fresh_picture())
    assert (found.high, found.low) == (HIGH, LOW)
    assert found.source == f"first at {server.url}" and not found.remembered
    questions = set()
    for request in server.asked:
        assert request["model"] == "first" and request["temperature"] == 0
        assert request["max_tokens"] == 175
        image, text = request["messages"][0]["content"]
        assert image["image_url"]["url"].startswith("data:image/png;base64,")
        questions.add(text["text"])
    assert questions == {QUESTIONS["paper"].high, QUESTIONS["paper"].low}


def test_options_reach_the_server(server):
    options = "?model=second&questions=q-instruct&max_new_tokens=40"
    make_describer(server.url + options).describe(fresh_picture())
    assert {request["model"] for request in server.asked} == {"second"}
    assert {request["max_tokens"] for request in server.asked} == {40}
    asked = {request["messages"][0]["content"][1]["text"] for request in server.asked}
    assert "Describe and evaluate the quality of the image." in asked


def test_the_path_of_the_interface_may_be_left_out(server):
    for address in (server.url.removesuffix("/v1"), server.url + "/chat/completions"):
        assert make_describer(address).describe(fresh_picture()).high == HIGH


def test_large_pictures_are_made_smaller_and_small_ones_are_sent_as_they_are(server):
    small = fresh_picture()
    describer = make_describer(server.url)
    describer.describe(small)
    describer.describe(fresh_picture(3000, 1500))
    sent = []
    for request in server.asked:
        url = request["messages"][0]["content"][0]["image_url"]["url"]
        with Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))) as image:
            sent.append(image.convert("RGB"))
    assert {image.size for image in sent} == {(40, 30), (1024, 512)}
    assert sent[0].tobytes() == small.tobytes()


def test_a_server_that_does_not_stream_will_do(server):
    server.mood = "whole"
    assert make_describer(server.url).describe(fresh_picture()).low == "An answer in one piece."


def test_a_passing_failure_is_tried_again(server):
    server.failures = 1
    assert make_describer(server.url).describe(fresh_picture()).high == HIGH
    assert len(server.asked) == 3


@pytest.mark.parametrize(
    ("mood", "said"),
    [
        ("unauthorised", "OPENAI_API_KEY"),
        ("cannot see", "cannot see"),
        ("excuses", "cannot see"),
        ("no such model", "knows no model"),
        ("overloaded", "too much to do"),
        ("broken", "error 502"),
        ("no models", "lists no model"),
        ("empty", "empty answer"),
        ("nothing", "nothing instead of JSON"),
        ("html", "web page"),
        ("models are rubbish", "web page"),
        ("not json", "no OpenAI-compatible server sends"),
        ("wrong schema", "JSON without"),
        ("wrong whole", "JSON without a text"),
        ("error in the stream", "broke off"),
        ("cut off", "breaks off"),
        ("cut in the middle", "broke off"),
        ("enormous", "more than 2,000 characters"),
        ("enormous line", "more than 4 MB"),
        ("compressed", "not asked for"),
        ("elsewhere", "another address"),
        ("error and well", "in place of an answer. It says: model not loaded"),
        ("hangs up", "hangs up"),
    ],
)
def test_every_fault_of_a_server_is_one_sentence(server, mood: str, said: str):
    server.mood = mood
    assert said in refused(server)


@pytest.mark.parametrize("mood", ["silent", "dripping", "silent in the middle", "dripping bytes"])
def test_a_slow_server_is_given_up(server, mood: str):
    server.mood = mood
    started = time.monotonic()
    assert "within 1 seconds" in refused(server, "?timeout=1&model=first")
    assert time.monotonic() - started < 6


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't see any image.",
        "I’m a text-based AI and cannot view images.",
        "As a language model, I can't see images.",
        "As an AI, I am not able to view pictures.",
        "It seems there is no image attached. Could you please upload it?",
        "It looks like you haven't attached an image.",
        "I don't have the ability to see pictures.",
        "Please provide the image so I can describe it.",
        "There is no image in your message.",
    ],
)
def test_excuses_are_no_descriptions(text: str):
    with pytest.raises(XPSRError, match="cannot see"):
        check_answer(text, "m")


@pytest.mark.parametrize(
    "text",
    [
        "It appears that there is no noise in the image.",
        "There is no sharpness; the picture looks blurred.",
        "The image shows a sorry sight: no picture hangs straight.",
        "I see an old photo of a bridge.",
        "It seems to be a photo of a cat.",
        "No noise, good light. The image is sharp.",
        "Please note the strong noise in this image.",
    ],
)
def test_descriptions_are_no_excuses(text: str):
    assert check_answer(text, "m") == text


def test_what_a_model_thinks_aloud_is_no_description():
    assert check_answer("<think>Two\nlines.</think>\nA bridge.", "m") == "A bridge."
    with pytest.raises(XPSRError, match="empty"):
        check_answer("<think>The picture, which has no end", "m")


def test_nobody_there():
    with serving() as server:
        address = server.url
    with pytest.raises(DescriberUnavailableError, match="cannot be reached"):
        make_describer(address).describe(fresh_picture())


def test_a_key_goes_to_the_server_and_nowhere_else(server, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-geheim")
    said = []
    for mood in ("unauthorised", "cannot see"):
        server.mood = mood
        said.append(refused(server, "?model=first"))
    server.mood = "well"
    said.append(repr(make_describer(server.url).describe(fresh_picture())))
    assert {h["authorization"] for h in server.headers} == {"Bearer sk-geheim"}
    assert "geheim" not in " ".join(said) + caplog.text


def test_an_account_inside_the_address_is_used_and_never_shown(server, caplog):
    caplog.set_level(logging.INFO)
    address = server.url.replace("http://", "http://anna:geheim@")
    describer = make_describer(address)
    said = [describer.name, repr(describer.describe(fresh_picture()))]
    expected = "Basic " + base64.b64encode(b"anna:geheim").decode()
    assert {h["authorization"] for h in server.headers} == {expected}
    server.mood = "cannot see"
    with pytest.raises(XPSRError) as caught:
        describer.describe(fresh_picture())
    assert "geheim" not in " ".join([*said, str(caught.value), caplog.text])


@pytest.mark.parametrize(
    "spec",
    [
        "http://",
        "http://host:port/v1",
        "http://anna:geheim@host:99999/v1",
        "http://host/v1?api_key=geheim",
        "http://host/v1?timeout=geheim",
        "http://host/v1?questions=geheim",
        "htp://anna:geheim@host/v1",
    ],
)
def test_addresses_that_cannot_be_are_refused_without_repeating_them(spec: str):
    with pytest.raises(XPSRError) as caught:
        make_describer(spec)
    assert str(caught.value).endswith(".") and "geheim" not in str(caught.value)


def test_the_same_picture_is_not_asked_about_twice(server):
    picture = fresh_picture()
    first = make_describer(server.url).describe(picture)
    asked = len(server.asked)
    again = make_describer(server.url).describe(picture.copy())
    assert again.remembered and (again.high, again.low) == (first.high, first.low)
    assert len(server.asked) == asked
    other = make_describer(server.url + "?questions=q-instruct").describe(picture)
    assert not other.remembered and len(server.asked) > asked


def test_answers_are_bounded_and_the_least_used_go_first(tmp_path):
    answers = Answers(entries=2)
    for name in ("a", "b"):
        answers.put(name, Description("high", name, "x"))
    assert answers.get("a") is not None
    answers.put("c", Description("high", "c", "x"))
    assert answers.get("b") is None and answers.get("a") and answers.get("c")


def test_answers_in_a_folder_outlive_the_process_and_damaged_ones_are_asked_again(tmp_path):
    said = Description("high", "low", "x")
    Answers(folder=tmp_path / "new").put("k", said)
    found = Answers(folder=tmp_path / "new").get("k")
    assert found is not None and found.remembered and found.high == "high"
    for damage in (b"", b"{", b"[]", b'{"high": 1, "low": 2, "source": 3}'):
        (tmp_path / "new" / "k.json").write_bytes(damage)
        assert Answers(folder=tmp_path / "new").get("k") is None
    (tmp_path / "theirs").touch()  # whoever shares the folder can read them, as any other file
    modes = {(tmp_path / name).stat().st_mode for name in ("new/k.json", "theirs")}
    assert len(modes) == 1
    bounded = Answers(folder=tmp_path / "few", files=3)
    bounded._written = 97
    for index in range(4):
        bounded.put(str(index), said)
    assert len(list((tmp_path / "few").glob("*.json"))) == 3


def test_an_answer_grows_and_can_be_stopped(server):
    server.mood = "dripping"
    texts = stream(make_describer(server.url), fresh_picture())
    next(texts)
    while server.at_once < 2:
        next(texts)
    texts.close()
    end = time.monotonic() + 5
    while server.at_once and time.monotonic() < end:
        time.sleep(0.02)
    assert server.at_once == 0  # the connections were closed, 30 seconds too early


def test_four_at_once_are_faster_than_one(server):
    server.seconds = 0.15
    took = []
    for concurrency in (1, 4):
        server.most_at_once = 0
        pictures = [(index, fresh_picture()) for index in range(8)]
        started = time.monotonic()
        describer = make_describer(server.url)
        found = list(describe_many(describer, pictures, concurrency))
        took.append(time.monotonic() - started)
        assert [name for name, _ in found] == list(range(8))
        assert all(isinstance(text, Description) for _, text in found)
        assert server.most_at_once == concurrency
    assert took[1] < 0.6 * took[0], took


def test_a_lost_server_is_not_asked_for_every_picture():
    with serving() as server:
        address = server.url
    started = time.monotonic()
    items = ((index, fresh_picture()) for index in range(50))
    found = list(describe_many(make_describer(address), items))
    assert len(found) == 50
    assert all(isinstance(error, DescriberUnavailableError) for _, error in found)
    assert time.monotonic() - started < 20
