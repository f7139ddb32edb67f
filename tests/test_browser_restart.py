"""The server is killed in the middle of a run, and started again while the page is open."""

from __future__ import annotations

import re

import pytest
from browsing import DONE, NEEDS_BROWSER, WAIT_MS, bring, expect, set_steps, text_box
from studio_server import free_port, save_tiny, start

pytestmark = [*NEEDS_BROWSER, pytest.mark.slow]


def test_a_killed_server_loses_nothing(browser, tiny_pipeline, photo, tmp_path):
    model, port, log = save_tiny(tiny_pipeline), free_port(), tmp_path / "log"
    kept = {"XPSR_OUTPUTS": str(tmp_path / "outputs")}
    studio, process = start(model, port, log, **kept)
    page = browser.new_context().new_page()
    page.set_default_timeout(WAIT_MS)
    page.goto(studio.url)
    expect(page.locator("#prompt-meter")).to_contain_text("of 75", timeout=WAIT_MS)
    bring(page, photo)
    text_box(page, "prompt").fill("A garden behind a wall.")
    set_steps(page, 1)
    page.locator("#restore").click()
    expect(page.locator("#restore")).to_be_disabled()
    expect(page.locator("#status .notice")).to_have_text(DONE, timeout=WAIT_MS)

    page.get_by_label("number input for Steps").fill("500")
    page.locator("#restore").click()
    expect(page.locator("#status")).to_contain_text(re.compile("Step [1-9]"), timeout=WAIT_MS)
    process.kill()
    process.wait()
    studio, process = start(model, port, log, **kept)

    # The page notices by itself, and comes back as it was.
    expect(page.locator("#status")).to_contain_text("as you left them", timeout=WAIT_MS)
    expect(text_box(page, "prompt")).to_have_value("A garden behind a wall.")
    expect(page.locator("#strip .thumbnail-item")).to_have_count(1)
    set_steps(page, 1)
    page.locator("#restore").click()
    expect(page.locator("#status .notice")).to_have_text(DONE, timeout=WAIT_MS)
    expect(page.locator("#strip .thumbnail-item")).to_have_count(2)
    page.context.close()
    process.kill()
