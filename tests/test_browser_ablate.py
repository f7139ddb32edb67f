"""The Ablate tab in Chromium: a plan, its cost, live cells, Stop, going on, and what was found."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from browsing import NEEDS_BROWSER, WAIT_MS, bring, expect, expect_rest, text_box

pytestmark = NEEDS_BROWSER


@pytest.mark.slow
def test_levels_with_a_stop_in_the_middle(open_page, photo: Path, tmp_path: Path) -> None:
    page = open_page()
    bring(page, photo)
    text_box(page, "prompt").fill("A garden <b>with</b> roses.")
    text_box(page, "lowlevel_prompt").fill("Blurred, with noise.")
    page.get_by_role("tab", name="Ablate").click()
    start, stop = page.locator("#ablate-start"), page.locator("#ablate-stop")
    cost, status = page.locator("#ablate-cost"), page.locator("#ablate-status")
    cells = page.locator("#ablate-grid img")

    page.locator("#ablate-sentences").click()
    expect(cost).to_contain_text(re.compile(r"12 cells: about .* measured"), timeout=WAIT_MS)
    page.get_by_label("number input for Seeds").fill("2")
    page.keyboard.press("Tab")
    expect(cost).to_contain_text("6 cells")
    parts = page.locator("#ablate-parts")
    expect(parts).to_contain_text("content sentence 1: A garden <b>with</b> roses.")
    parts.get_by_role("checkbox").first.uncheck()
    expect(cost).to_contain_text("4 cells")

    page.locator("#ablate-levels").click()
    expect(cost).to_contain_text("8 cells")
    expect(parts).to_be_hidden()
    start.click()
    expect(cells.nth(1)).to_be_visible(timeout=WAIT_MS)
    stop.click()
    expect(status).to_contain_text(re.compile(r"Stopped: \d+ of 8 cells are finished and kept"))
    expect(start).to_be_enabled()
    finished = int(re.findall(r"Stopped: (\d+)", status.inner_text())[0])
    expect(cells).to_have_count(finished)
    expect(cost).to_contain_text(f"8 cells, {finished} of them equal to others or finished before")

    # The page is loaded anew: it opens here, and with the same picture it goes on from there.
    page.reload()
    expect(page.get_by_role("tab", name="Ablate")).to_have_attribute("aria-selected", "true")
    expect(status).to_contain_text(f"Your last ablation (“levels”): {finished} of 8 cells")
    expect(text_box(page, "prompt")).to_have_value("A garden <b>with</b> roses.")
    expect(page.locator("#strip .thumbnail-item")).to_have_count(finished)
    bring(page, photo)
    page.get_by_role("tab", name="Ablate").click()
    expect(cost).to_contain_text(f"8 cells, {finished} of them equal to others or finished before")
    start.click()
    expect(status).to_contain_text("Done: all 8 cells", timeout=WAIT_MS)
    expect(cells).to_have_count(8)
    rows = page.locator("#ablate-effects tbody tr")
    expect(rows).to_have_count(6)
    expect(rows.first).to_contain_text("content only")
    expect_rest(page)
    with page.expect_download() as told:
        page.locator("#ablate-report").click()
    report = tmp_path / "report.html"
    told.value.save_as(report)
    assert "A garden &lt;b&gt;with&lt;/b&gt; roses." in report.read_text(encoding="utf-8")

    # The heads stay while the pictures are scrolled.
    scroll = page.locator("#ablate-grid .scroll")
    scroll.evaluate("one => one.scrollTop = 400")
    top = scroll.bounding_box()["y"]
    head = page.locator("#ablate-grid thead th").first.bounding_box()["y"]
    assert abs(head - top) < 3

    page.locator("#ablate-grid button").nth(5).click()
    expect(page.get_by_role("tab", name="Compare")).to_have_attribute("aria-selected", "true")

    page.get_by_role("tab", name="Restore").click()
    expect(page.locator("#strip .thumbnail-item")).to_have_count(8)
    page.locator("#strip .thumbnail-item").first.click()
    expect(page.locator("#status")).to_contain_text("Result 8 of garden")
