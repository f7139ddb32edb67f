"""The server is killed in the middle of runs, and started again while the pages are open."""

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


def _restore(page, steps: str):
    page.get_by_label("number input for Steps").fill(steps)
    page.locator("#restore").click()


def _ablate(page):
    """Begin an ablation; once some cells are seen the browser knows of more than one."""
    page.get_by_role("tab", name="Ablate").click()
    page.get_by_label("number input for Seeds").fill("2")
    page.locator("#ablate-levels").click()
    expect(page.locator("#ablate-cost")).to_contain_text("8 cells", timeout=WAIT_MS)
    page.locator("#ablate-start").click()
    expect(page.locator("#ablate-grid img").nth(2)).to_be_visible(timeout=WAIT_MS)


def test_a_killed_server_loses_nothing(browser, tiny_pipeline, photo, tmp_path):
    """Two visitors, in the middle of a picture and of an ablation, which take turns."""
    begin = partial(_begin, save_tiny(tiny_pipeline), free_port(), tmp_path)
    process, url = begin()
    page, ablating = _prepared(browser, url, photo), _prepared(browser, url, photo)
    set_steps(page, 1)
    page.locator("#restore").click()
    expect(page.locator("#status .notice")).to_have_text(DONE, timeout=WAIT_MS)
    text_box(ablating, "lowlevel_prompt").fill("Blurred, with noise.")
    _ablate(ablating)
    _restore(page, "500")
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

    # The ablation goes on.
    text = text_box(ablating, "lowlevel_prompt")
    expect(text).to_have_value("Blurred, with noise.", timeout=WAIT_MS)
    expect(ablating.locator("#strip .thumbnail-item").nth(1)).to_be_attached(timeout=WAIT_MS)
    ablating.get_by_role("tab", name="Restore").click()
    bring(ablating, photo)
    ablating.get_by_role("tab", name="Ablate").click()
    finished = re.compile(r"8 cells, [2-7] of them equal to others or finished before")
    expect(ablating.locator("#ablate-cost")).to_contain_text(finished, timeout=WAIT_MS)
    ablating.locator("#ablate-start").click()
    status = ablating.locator("#ablate-status")
    expect(status).to_contain_text("Done: all 8 cells", timeout=2 * WAIT_MS)
    for one in (page, ablating):
        one.context.close()
    process.kill()
