"""A visitor in Chromium: fixtures and gestures for the tests that drive the page.

The fixtures are known to every test, see conftest.py; a test file sets
`pytestmark = NEEDS_BROWSER`.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from studio_server import Studio, save_tiny, studio_for

try:
    from playwright.sync_api import expect, sync_playwright
except ImportError:
    expect = sync_playwright = None

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
NEEDS_BROWSER = [
    pytest.mark.browser,
    pytest.mark.skipif(
        expect is None or CHROMIUM is None,
        reason="no playwright or no chromium on this machine: no browser tests",
    ),
]
DONE = re.compile(r"^Done in .* · seed \d+\.")
WAIT_MS = 120_000  # a machine that is busy with other things


@pytest.fixture(scope="session")
def studio(tiny_pipeline) -> Studio:
    return studio_for(save_tiny(tiny_pipeline))


@pytest.fixture(scope="session")
def browser() -> Iterator:
    # Five seconds, the usual patience, are too few on a machine that is busy with other things.
    expect.set_options(timeout=30_000)
    with sync_playwright() as player:
        # Without a GPU its work is done by the processor, which has enough to do.
        arguments = ["--no-sandbox", "--disable-gpu"]
        browser = player.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


@contextmanager
def visits(browser, studio) -> Iterator:
    """Open the studio as a new visitor; what the page logs as an error fails the test."""
    contexts, errors = [], []

    def open_one(width: int = 1280, height: int = 900, theme: str = "light"):
        context = browser.new_context(viewport={"width": width, "height": height})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(WAIT_MS)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(f"{studio.url}/?__theme={theme}")
        # The meters come when the model has come.
        expect(page.locator("#prompt-meter")).to_contain_text("of 75", timeout=WAIT_MS)
        return page

    yield open_one
    for context in contexts:
        context.close()
    assert not errors


@pytest.fixture
def open_page(browser, studio) -> Iterator:
    with visits(browser, studio) as open_one:
        yield open_one


@pytest.fixture(scope="session")
def photo(picture, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("photo") / "garden.png"
    picture(64, 48).save(path)
    return path


def bring(page, path: Path) -> None:
    """Drop a picture and wait for what is said of it: a new one ends a description under way."""
    page.locator("#picture input[type=file]").set_input_files(path)
    expect(page.locator("#picture-note .notice")).not_to_be_empty()


def drop(page, where: str, path: Path) -> None:
    """As with the mouse, from a file manager."""
    box = page.locator(where).bounding_box()
    place = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
    brought = {"items": [], "files": [str(path)], "dragOperationsMask": 1}
    mouse = page.context.new_cdp_session(page)
    for kind in ("dragEnter", "dragOver", "drop"):
        mouse.send("Input.dispatchDragEvent", {"type": kind, **place, "data": brought})


def restore(page) -> None:
    page.locator("#restore").click()
    expect(page.locator("#restore")).to_be_disabled()
    expect(page.locator("#status .notice")).to_have_text(DONE, timeout=WAIT_MS)


def text_box(page, name: str):
    return page.locator(f"#{name} textarea")


def expect_rest(page) -> None:
    """What is under way ends, and from then on the server is left alone."""
    asked: list[str] = []

    def hear(request) -> None:
        asked.append(request.url)

    page.on("request", hear)
    for _ in range(20):
        asked.clear()
        page.wait_for_timeout(1_500)
        if not asked:
            break
    page.remove_listener("request", hear)
    assert not asked


def step_of(page, number: str) -> int:
    """Wait until the status tells of a step with such a number; returns the number."""
    status = page.locator("#status")
    expect(status).to_contain_text(re.compile(rf"Step {number} of"), timeout=WAIT_MS)
    return int(re.findall(r"Step (\d+) of", status.inner_text())[0])


def set_steps(page, steps: int) -> None:
    """Unfold Advanced and set the steps, seen by both halves of the control."""
    page.locator("#advanced > button").click()
    number, slider = (
        page.get_by_label(f"{kind} for Steps") for kind in ("number input", "range slider")
    )
    expect(slider).to_be_visible()
    # What is typed while it unfolds is lost, and nothing tells when that is over.
    for patience in (2_000, 2_000, 2_000, 30_000):
        number.fill(str(steps))
        number.press("Tab")
        try:
            expect(slider).to_have_value(str(steps), timeout=patience)
            break
        except AssertionError:
            if patience == 30_000:
                raise
