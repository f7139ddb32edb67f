"""The Batch tab in Chromium: live lines, Stop and going on, another visitor in between, the ZIP."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import pytest
from browsing import NEEDS_BROWSER, WAIT_MS, drop, expect, expect_rest, set_steps
from gradio_client import Client, handle_file

pytestmark = NEEDS_BROWSER


@pytest.mark.slow
def test_a_batch_with_a_stop_and_another_visitor(open_page, studio, picture, tmp_path) -> None:
    files: list[Path] = []
    for index in range(4):
        files.append(tmp_path / f"street {index}.png")
        picture(40 + index, 32).save(files[-1])
    files.append(tmp_path / "notes.txt")
    files[-1].write_text("no picture")

    page = open_page()
    set_steps(page, 20)
    other = Client(studio.url, verbose=False)
    page.get_by_role("tab", name="Batch").click()
    page.locator("#batch-files input[type=file]").set_input_files(files)
    status, start = page.locator("#batch-status"), page.locator("#batch-start")
    table = page.locator("#batch-table")
    expect(status).to_contain_text("1 file cannot be used", timeout=WAIT_MS)
    expect(table.locator(".failed")).to_contain_text("notes.txt")

    start.click()
    expect(table).to_contain_text(re.compile(r"step \d+ of 20"), timeout=WAIT_MS)
    # Another visitor does not wait for the whole batch.
    quick = {"num_inference_steps": 1, "upscale": 1, "api_name": "/restore"}
    other.predict(image=handle_file(files[0]), **quick)
    expect(status).to_contain_text(re.compile(r"[0-3] of 5 done"))

    page.locator("#batch-stop").click()
    stopped = re.compile(r"Stopped\. \d finished pictures? kept, (\d) still waiting")
    expect(status).to_contain_text(stopped, timeout=WAIT_MS)
    page.wait_for_timeout(2_000)  # a step that was on its way may be told once more
    expect(status).to_contain_text(stopped, timeout=WAIT_MS)
    left = int(stopped.search(status.inner_text())[1])
    assert left >= 1
    expect(table.locator("tbody button")).to_have_count(4 - left)
    expect(start).to_contain_text("Continue")
    start.click()
    expect(status).to_contain_text("4 pictures restored, 1 failed", timeout=WAIT_MS)

    table.locator("tbody button").nth(1).click()
    expect(page.locator("#batch-caption")).to_contain_text("street 1")
    after = page.locator("#batch-comparison img").nth(1)
    expect(after).to_be_visible()
    expect(after).to_have_js_property("naturalWidth", 4 * 41)
    expect_rest(page)

    with page.expect_download() as download:
        page.locator("#batch-zip").click()
    saved = tmp_path / "saved.zip"
    download.value.save_as(saved)
    with zipfile.ZipFile(saved) as archive:
        names = {f"street {index}.{kind}" for index in range(4) for kind in ("png", "json")}
        assert set(archive.namelist()) == {*names, "scores.csv"}

    page.get_by_role("tab", name="Restore").click()
    expect(page.locator("#strip img")).to_have_count(4)


def test_a_folder_a_reload_and_the_way_to_compare(open_page, picture, tmp_path) -> None:
    inner = tmp_path / "holiday" / "sea"
    inner.mkdir(parents=True)
    for index in range(3):
        picture(40 + index, 32).save((inner if index else inner.parent) / f"wave {index}.png")
    (inner / ".hidden.png").write_bytes(b"left by a system")
    (inner / "notes.txt").write_text("no picture")

    page = open_page()
    set_steps(page, 15)
    page.get_by_role("tab", name="Batch").click()
    status, table = page.locator("#batch-status"), page.locator("#batch-table")
    drop(page, "#batch-start", inner.parent)  # anywhere on the tab
    expect(status).to_contain_text("3 pictures", timeout=WAIT_MS)
    expect(table.locator("tbody tr")).to_have_count(4)
    expect(page.locator("#batch-zip")).to_be_hidden()
    page.locator("#batch-start").click()
    expect(status).to_contain_text(re.compile("[12] of 4 done"), timeout=WAIT_MS)
    page.wait_for_timeout(300)  # the browser has been told

    page.reload()
    expect(page.locator("#prompt-meter")).to_contain_text("of 75", timeout=WAIT_MS)
    page.get_by_role("tab", name="Batch").click()
    expect(status).to_contain_text("found again. It stopped because the page was closed")
    expect(table.locator("tbody tr")).to_have_count(4)
    expect(table.locator(".failed")).to_contain_text("notes.txt")
    expect(page.locator("#batch-retry")).to_be_hidden()  # it would never be a picture
    expect(page.locator("#batch-start")).to_contain_text("Continue")
    page.locator("#batch-start").click()
    expect(status).to_contain_text("3 pictures restored, 1 failed", timeout=WAIT_MS)
    saved = tmp_path / "saved.zip"
    with page.expect_download() as download:
        page.locator("#batch-zip").click()
    download.value.save_as(saved)
    with zipfile.ZipFile(saved) as archive:
        assert sum(name.endswith(".png") for name in archive.namelist()) == 3

    table.get_by_role("button", name="wave 1.png").click()
    expect(page.locator("#batch-caption")).to_contain_text("wave 1")
    divider = page.get_by_label("range slider for Move the divider of the batch")
    divider.focus()
    page.keyboard.press("Home")
    after = page.locator("#batch-comparison img").nth(1)
    expect(after).to_have_attribute(
        "style", re.compile(r"clip-path: inset\(0px 0px 0px 0(\.0\d*)?%\)")
    )
    page.locator("#batch-compare").click()
    expect(page.locator("#compare-note")).to_contain_text(re.compile(r"B: \d · wave 1"))


def test_more_files_than_a_batch_holds_are_not_even_sent(open_page, picture, tmp_path) -> None:
    inner = tmp_path / "holiday" / "sea"
    inner.mkdir(parents=True)
    picture(40, 32).save(first := inner / "wave 0.png")
    for index in range(1, 101):
        (inner / f"wave {index}.png").write_bytes(first.read_bytes())
    page = open_page()
    sent: list[str] = []
    page.on("request", lambda one: sent.append(one.url) if "/upload?" in one.url else None)
    page.get_by_role("tab", name="Batch").click()
    status, lines = page.locator("#batch-status"), page.locator("#batch-table tbody tr")
    refused = "These are more than 100 files"
    drop(page, "#batch-files", inner.parent)
    expect(status).to_contain_text(refused)
    assert not sent
    (inner / "wave 100.png").rename(inner / ".hidden.png")  # which does not count
    drop(page, "#batch-files", inner.parent)
    expect(status).to_contain_text("100 pictures", timeout=WAIT_MS)
    (inner / ".hidden.png").rename(inner / "wave 100.png")
    before = len(sent)
    page.locator("#tab-batch input[webkitdirectory]").set_input_files(inner)
    expect(status).to_contain_text(refused)
    expect(status).to_contain_text("Until then the batch stays as it is.")
    expect(lines).to_have_count(100)
    assert len(sent) == before
