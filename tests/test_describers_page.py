"""Describing on the page: it streams, can be stopped, and a failure leaves both boxes alone."""

from __future__ import annotations

from pathlib import Path

import gradio as gr
import numpy as np
import pytest
from describing_server import HIGH, LOW, serving
from PIL import Image

from studio import words
from studio.actions import DESCRIPTION, Actions
from studio.engine import Engine, EngineOptions
from studio.outputs import Outputs
from studio.services import Services
from studio.shelf import Shelf

BEFORE = ("My own words.", "And these.")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with serving() as one:
        yield one


@pytest.fixture
def actions(server, tmp_path) -> Actions:
    return actions_with(server.url, tmp_path)


def actions_with(describer: str, folder: Path) -> Actions:
    engine = Engine(EngineOptions(describer=describer))
    return Actions(Services(engine, Outputs(folder / "outputs", Shelf())))


@pytest.fixture
def payload(tmp_path: Path) -> dict[str, str]:
    path = tmp_path / "photo.png"
    pixels = np.random.default_rng().integers(0, 255, (30, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return {"path": str(path)}


class Page:
    """The components that describing changes."""

    def __init__(self) -> None:
        self.values = dict(zip(DESCRIPTION, (*BEFORE, "", ("", ""), None, None), strict=True))

    def take(self, values: tuple) -> None:
        for name, value in zip(DESCRIPTION, values, strict=True):
            if value != gr.skip():
                self.values[name] = value

    @property
    def texts(self) -> tuple[str, str]:
        return self.values["prompt"], self.values["lowlevel_prompt"]

    @property
    def idle(self) -> bool:
        describe, stop = self.values["describe"], self.values["stop_describing"]
        assert describe["visible"] != stop["visible"]
        return describe["visible"]


def begun(actions: Actions) -> Page:
    page = Page()
    before, *values = actions.begin_describing(*BEFORE)
    assert before == BEFORE
    page.take(tuple(values))
    assert not page.idle and page.texts == BEFORE
    return page


def test_both_boxes_are_filled_and_the_describer_is_named(actions, payload, server):
    page = begun(actions)
    for values in actions.describe(payload, BEFORE, ("", "")):
        page.take(values)
    assert page.texts == (HIGH, LOW) and page.values["written"] != ("", "") and page.idle
    assert f"first at {server.url}" in page.values["picture_note"]
    assert server.url in actions.introduce() and "--describer" in actions.introduce()


def test_a_second_time_costs_nothing_and_says_so(actions, payload, server):
    list(actions.describe(payload, BEFORE, ("", "")))
    asked = len(server.asked)
    page = begun(actions)
    for values in actions.describe(payload, BEFORE, ("", "")):
        page.take(values)
    assert len(server.asked) == asked and page.texts == (HIGH, LOW)
    assert "was not asked again" in page.values["picture_note"]


@pytest.mark.parametrize(
    "mood", ["unauthorised", "html", "empty", "cut off", "error in the stream", "enormous"]
)
def test_a_failure_is_a_sentence_and_both_boxes_are_as_they_were(actions, payload, server, mood):
    server.mood = mood
    page = begun(actions)
    for values in actions.describe(payload, BEFORE, ("", "")):
        page.take(values)
    assert page.texts == BEFORE and page.idle
    assert 'role="alert"' in page.values["picture_note"]
    assert "Traceback" not in page.values["picture_note"]
    assert page.values["written"] == ("", "")


def test_no_picture_is_a_sentence_too(actions):
    page = begun(actions)
    for values in actions.describe(None, BEFORE, ("", "")):
        page.take(values)
    assert page.texts == BEFORE and page.idle
    assert words.NO_PICTURE in page.values["picture_note"]


def test_stopping_ends_the_requests_and_brings_the_texts_back(actions, payload, server):
    server.mood = "dripping"
    page = begun(actions)
    run = actions.describe(payload, BEFORE, ("", ""))
    while server.at_once < 2:
        page.take(next(run))
    run.close()  # what Gradio does when Stop is pressed
    page.take(actions.describing_stopped(BEFORE))
    assert page.texts == BEFORE and page.idle
    assert words.DESCRIBING_STOPPED in page.values["picture_note"]


def test_a_crowd_is_told_to_come_back(actions):
    note = begun(actions).values["picture_note"]
    page = Page()
    page.take(actions.describing_stopped(BEFORE, note))
    assert words.REFUSED in page.values["picture_note"] and page.texts == BEFORE


def test_auto_says_what_it_chose_and_how_to_change_it(monkeypatch, tmp_path):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    line = actions_with("auto", tmp_path).introduce()
    assert "no GPU" in line and "measured" in line and "--describer llava" in line
