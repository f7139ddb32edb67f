"""What the page does with finished runs, in Chromium: strip, baseline, closer look, a reload."""

from __future__ import annotations

import re

from browsing import (
    DONE,
    NEEDS_BROWSER,
    WAIT_MS,
    bring,
    expect,
    expect_rest,
    restore,
    set_steps,
    text_box,
)

pytestmark = NEEDS_BROWSER


def picture_on_the(page, side: str):
    return page.locator("#comparison img").nth(("left", "right").index(side))


def test_runs_are_kept_compared_and_found_again_after_a_reload(open_page, photo):
    page = open_page()
    expect(page.locator("#greeting")).to_be_visible()
    page.locator("#hide-greeting").click()
    expect(page.locator("#greeting")).to_be_hidden()
    bring(page, photo)
    text_box(page, "prompt").fill("A garden.")
    set_steps(page, 1)
    restore(page)
    expect(picture_on_the(page, "right")).to_have_attribute("src", re.compile("/results/"))
    first = picture_on_the(page, "right").get_attribute("src")
    page.locator("#pin").click()
    expect(page.locator("#status")).to_contain_text("Pinned.")
    expect(page.locator("#pin")).to_have_text("Unpin")

    page.locator("#another").click()  # a new seed, and Restore
    expect(page.locator("#status")).not_to_contain_text("Pinned.")
    expect(page.locator("#status .notice")).to_have_text(DONE, timeout=WAIT_MS)
    thumbs = page.locator("#strip .thumbnail-item")
    expect(thumbs).to_have_count(2)
    expect(page.locator("#strip")).to_contain_text("pinned")
    expect(page.locator("#scores")).to_contain_text("Pinned:")
    expect(picture_on_the(page, "right")).not_to_have_attribute("src", first)
    page.get_by_label("the pinned result").click()
    expect(picture_on_the(page, "left")).to_have_attribute("src", first)

    slider = page.get_by_label("range slider for Steps")
    slider.focus()
    for _ in range(30):
        page.keyboard.press("ArrowRight")
    expect(slider).to_have_value("31")
    page.keyboard.press("Home")
    expect_rest(page)

    thumbs.nth(1).click()  # the older one
    expect(page.locator("#status")).to_contain_text("Result 1 of garden")
    expect(picture_on_the(page, "right")).to_have_attribute("src", first)
    thumbs.nth(0).click()
    expect(page.locator("#status")).to_contain_text("Result 2 of garden")

    text_box(page, "lowlevel_prompt").fill("Seen through glass.")
    expect(page.locator("#lowlevel_prompt-chips")).to_contain_text("typed")
    page.wait_for_timeout(500)  # the browser has been told
    page.reload()
    expect(page.locator("#status")).to_contain_text("as you left them", timeout=WAIT_MS)
    expect(text_box(page, "prompt")).to_have_value("A garden.")
    expect(text_box(page, "lowlevel_prompt")).to_have_value("Seen through glass.")
    expect(thumbs).to_have_count(2)
    expect(page.locator("#pin")).to_have_text("Pin as baseline")  # the other one is pinned
    expect(page.locator("#scores")).to_contain_text("Pinned:")
    expect(page.locator("#picture img")).to_be_visible()
    expect(page.locator("#greeting")).to_be_hidden()
    restore(page)  # with the picture that came back
    expect(thumbs).to_have_count(3)
    page.locator("#advanced > button").click()
    page.locator("#preset input").click()
    page.get_by_role("option", name="faithful").click()
    expect(page.get_by_label("number input for Steps")).to_have_value("1")
    page.locator("#another").click()
    expect(page.locator("#status")).to_contain_text("every seed gives the same picture")
    expect_rest(page)
    expect(thumbs).to_have_count(3)


def test_a_closer_look(open_page):
    page = open_page()
    page.locator("#closer > button").click()
    overview, after = page.locator("#closer-overview img"), page.locator("#closer-after img")
    expect(overview).to_be_visible()
    difference = page.locator("#closer-difference img")
    expect(difference).to_be_visible()
    before, drawn = after.get_attribute("src"), difference.get_attribute("src")
    overview.click(position={"x": 20, "y": 20})
    expect(after).not_to_have_attribute("src", before)
    across = page.get_by_label("number input for From left to right")
    assert int(across.input_value()) < 25
    page.get_by_label("number input for From left to right").fill("90")
    page.keyboard.press("Tab")
    # Not scaled: 1:1 is one pixel of the page for one of the file.
    expect(after).to_have_js_property("naturalWidth", 480)
    assert after.bounding_box()["width"] == 480
    unscaled = after.get_attribute("src")
    page.get_by_label("4:1").click()
    # The overview is drawn anew along with it; until then a click there could be lost.
    expect(after).not_to_have_attribute("src", unscaled)
    expect(difference).to_have_attribute("src", drawn)  # another place changes nothing there
    page.get_by_label("number input for Strengthen").fill("16")
    page.keyboard.press("Tab")
    expect(difference).not_to_have_attribute("src", drawn)
    # Whole pictures are seen as a whole, and where one is clicked is known all the same.
    page.set_viewport_size({"width": 1280, "height": 500})
    for whole in (overview, difference):
        assert whole.bounding_box()["height"] <= 0.72 * 500 + 1
    box = overview.bounding_box()
    overview.click(position={"x": box["width"] / 2 + box["height"] / 4, "y": box["height"] / 2})
    expect(across).to_have_value(re.compile("^(68|69|70)$"))  # of a picture of 4 to 3


def test_the_true_picture_switches_its_scores_on(open_page, photo, picture, tmp_path):
    page = open_page()
    bring(page, photo)
    set_steps(page, 1)
    restore(page)
    page.locator("#more-scores > button").click()
    true = tmp_path / "true.png"
    picture(256, 192).save(true)
    page.locator("#reference input[type=file]").set_input_files(true)
    expect(page.locator("#reference img")).to_be_visible()
    stop = page.locator("#stop-scoring")
    stop.evaluate(
        "stop => { window.offered = []; new MutationObserver(() => window.offered.push("
        "!stop.disabled)).observe(stop, {attributes: true}); }"
    )
    expect(stop).to_be_disabled()
    page.locator("#score-now").click()
    expect(page.locator("#score-note")).to_contain_text("Scored.", timeout=WAIT_MS)
    expect(stop).to_be_disabled()
    assert page.evaluate("window.offered.includes(true)")  # while there was something to stop
    row = page.locator("#scores tr", has_text=re.compile("^SSIM"))
    expect(row).to_contain_text(re.compile(r"better|worse"))


def test_on_a_phone_what_restore_begins_comes_into_view_and_nothing_sticks_out(open_page, photo):
    page = open_page(width=390, height=700)
    bring(page, photo)
    page.locator("#describe").click()
    expect(text_box(page, "prompt")).not_to_have_value("")
    expect(page.locator("#status")).not_to_be_in_viewport()
    page.locator("#restore").click()
    expect(page.locator("#status")).to_be_in_viewport()
    expect(page.locator("#status .notice")).to_have_text(DONE, timeout=WAIT_MS)
    expect(page.locator("#comparison img").nth(1)).to_be_in_viewport()

    expect(page.locator("#scores table")).to_be_visible()
    for accordion in page.locator("button.label-wrap").all():
        if "open" not in accordion.get_attribute("class"):
            accordion.click()
    widths = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    assert widths[0] <= widths[1]
