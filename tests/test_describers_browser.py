"""Describing in a real browser: stopping, typing right after, and servers that misbehave."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browsing import NEEDS_BROWSER, expect
from describing_server import HIGH, LOW, Server, serving
from PIL import Image

from studio.build import Where, build
from studio.build import serving as how
from studio.models.engine import Engine, EngineOptions

pytestmark = NEEDS_BROWSER
# Within the page: no patience of the driver lies between the drop and the press.
PRESS_AFTER_DROP = """delay =>
  document.querySelector('#picture input[type=file]').addEventListener('change', () =>
    setTimeout(() => document.querySelector('#describe').click(), delay), { once: true })"""
MINE = ("My own words.", "And these.")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with pytest.MonkeyPatch.context() as patch, serving() as one:
        patch.delenv("OPENAI_API_KEY", raising=False)
        yield one


@pytest.fixture(scope="module")
def address(server, tiny_pipeline, tmp_path_factory) -> Iterator[str]:
    engine = Engine(EngineOptions(describer=f"{server.url}?timeout=90&model=first"))
    engine._pipeline = tiny_pipeline
    demo = build(engine, Where(str(tmp_path_factory.mktemp("outputs"))))
    _, url, _ = demo.launch(prevent_thread_lock=True, quiet=True, **how())
    yield url
    demo.close()


@pytest.fixture
def page(browser, address, tmp_path: Path) -> Iterator[Any]:
    """The studio with a picture on it that nobody has described, and own words in both boxes."""
    expect.set_options(timeout=60_000)  # a machine that is busy with other things
    context = browser.new_context()
    page = context.new_page()
    page.goto(address)
    bring(page, tmp_path / "photo.png")
    for name, text in zip(("prompt", "lowlevel_prompt"), MINE, strict=True):
        box(page, name).fill(text)
    yield page
    context.close()


def drop(page: Any, path: Path) -> None:
    pixels = np.random.default_rng().integers(0, 255, (30, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    page.locator("#picture input[type=file]").set_input_files(path)


def bring(page: Any, path: Path) -> None:
    drop(page, path)
    expect(note(page)).to_contain_text("40 × 30 pixels")


def box(page: Any, name: str = "prompt") -> Any:
    return page.locator(f"#{name} textarea")


def note(page: Any) -> Any:
    return page.locator("#picture-note .notice")


def expect_texts(page: Any, high: str, low: str) -> None:
    expect(box(page)).to_have_value(high)
    expect(box(page, "lowlevel_prompt")).to_have_value(low)


def test_stop_brings_the_words_back_and_keeps_what_is_typed_after_it(page, server):
    server.mood = "word by word"
    page.locator("#describe").click()
    expect(box(page)).to_have_value(re.compile(r"^word word"))
    expect(box(page)).to_be_disabled()
    page.locator("#stop-describing").click()
    expect_texts(page, *MINE)
    box(page).fill("Typed at once.")
    expect(page.locator("#describe")).to_be_visible()
    page.wait_for_timeout(1000)  # nothing of the stopped run may arrive late
    expect_texts(page, "Typed at once.", MINE[1])
    expect(note(page)).to_have_text("Stopped. Both texts are as they were.")


def test_what_is_typed_right_after_a_remembered_answer_stays(page, server):
    server.mood = "well"
    page.locator("#describe").click()
    expect_texts(page, HIGH, LOW)
    box(page).fill(MINE[0])
    page.locator("#describe").click()
    expect(box(page)).to_have_value(HIGH)
    box(page).fill("Typed at once.")
    expect(note(page)).to_contain_text("was not asked again")
    page.wait_for_timeout(500)
    expect_texts(page, "Typed at once.", LOW)


def test_another_picture_ends_the_describing_of_the_first(page, server, tmp_path):
    server.mood = "word by word"
    page.locator("#describe").click()
    expect(box(page)).to_have_value(re.compile(r"^word word"))
    bring(page, tmp_path / "other.png")
    expect_texts(page, *MINE)
    expect(page.locator("#describe")).to_be_visible()
    expect(box(page)).to_be_enabled()


def test_servers_that_misbehave_cost_a_sentence_and_no_words(page, server):
    for mood in ("unauthorised", "cannot see", "html", "cut off", "elsewhere", "enormous line"):
        server.mood = mood
        page.locator("#describe").click()
        alert = page.locator("#picture-note [role=alert]")
        expect(alert).to_have_text(re.compile(r"^The vision server at .{20,300}\S$"))
        expect_texts(page, *MINE)
        expect(page.locator("#describe")).to_be_visible()
        page.locator("#picture-note").evaluate("note => note.querySelector('.bad').remove()")
    server.mood = "well"
    page.locator("#describe").click()
    expect_texts(page, HIGH, LOW)


def test_describe_pressed_in_the_moment_of_the_drop_is_honoured(page, server, tmp_path):
    server.mood, server.seconds = "well", 0.5
    try:
        for delay in (0, 5, 20, 80):  # milliseconds: while it is uploaded, and while it is checked
            page.get_by_label("Remove Image").click()
            for name in ("prompt", "lowlevel_prompt"):
                box(page, name).fill("")
            expect(page.locator("#picture .uploading, #picture img")).to_have_count(0)
            page.evaluate(PRESS_AFTER_DROP, delay)
            drop(page, tmp_path / "next.png")
            expect_texts(page, HIGH, LOW)
            expect(page.locator("#describe")).to_be_visible()
            expect(note(page)).to_contain_text("correct what is wrong")
    finally:
        server.seconds = 0
