"""The server is killed in the middle of a run, and started again while the page is open."""

from __future__ import annotations

import re
from functools import partial

import pytest
from browsing import DONE, NEEDS_BROWSER, WAIT_MS, bring, expect, set_steps, text_box
from studio_server import free_port, save_tiny, start

pytestmark = [*NEEDS_BROWSER, pytest.mark.slow]


def _begin(model, port, folder):
    """A studio at the same port and with the same results each time."""
    kept = {"XPSR_OUTPUTS": str(folder / "outputs")}
    studio, process = start(model, port, folder / "log", **kept)
    return process, studio.url


def _prepared(browser, url, photo):
    """A page with a picture and a content text."""
    page = browser.new_context().new_page()
    page.set_default_timeout(WAIT_MS)
    page.goto(url)
    expect(page.locator("#prompt-meter")).to_contain_text("of 75", timeout=WAIT_MS)
    bring(page, photo)
    text_box(page, "prompt").fill("A garden behind a wall.")
    return page


def test_a_killed_server_loses_nothing(browser, tiny_pipeline, photo, tmp_path):
    begin = partial(_begin, save_tiny(tiny_pipeline), free_port(), tmp_path)
    process, url = begin()
    page = _prepared(browser, url, photo)
    set_steps(page, 1)
    page.locator("#restore").click()
    expect(page.locator("#restore")).to_be_disabled()
    expect(page.locator("#status .notice")).to_have_text(DONE, timeout=WAIT_MS)

    page.get_by_label("number input for Steps").fill("500")
    page.locator("#restore").click()
    expect(page.locator("#status")).to_contain_text(re.compile("Step [1-9]"), timeout=WAIT_MS)
    process.kill()
    process.wait()
    process, _ = begin()

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


def test_an_ablation_goes_on_after_its_server_was_killed(browser, tiny_pipeline, photo, tmp_path):
    begin = partial(_begin, save_tiny(tiny_pipeline), free_port(), tmp_path)
    process, url = begin()
    page = _prepared(browser, url, photo)
    text_box(page, "lowlevel_prompt").fill("Blurred, with noise.")
    set_steps(page, 8)
    page.get_by_role("tab", name="Ablate").click()
    page.locator("#ablate-levels").click()
    expect(page.locator("#ablate-cost")).to_contain_text("16 cells", timeout=WAIT_MS)
    page.locator("#ablate-start").click()
    cells = page.locator("#ablate-grid img")
    expect(cells.nth(2)).to_be_visible(timeout=WAIT_MS)
    process.kill()
    process.wait()
    process, _ = begin()

    expect(text_box(page, "lowlevel_prompt")).to_have_value("Blurred, with noise.", timeout=WAIT_MS)
    expect(page.locator("#strip .thumbnail-item").nth(2)).to_be_attached(timeout=WAIT_MS)
    page.get_by_role("tab", name="Restore").click()
    bring(page, photo)
    page.get_by_role("tab", name="Ablate").click()
    finished = re.compile(r"16 cells, ([3-9]|1\d) of them equal to others or finished before")
    expect(page.locator("#ablate-cost")).to_contain_text(finished, timeout=WAIT_MS)
    page.locator("#ablate-start").click()
    status = page.locator("#ablate-status")
    expect(status).to_contain_text("Done: all 16 cells", timeout=2 * WAIT_MS)
    page.context.close()
    process.kill()
