"""For eyes, keyboards and screen readers: axe, the widths of devices, dark and light."""

from __future__ import annotations

import re

import pytest
from browsing import NEEDS_BROWSER, WAIT_MS, expect, visits

from studio import words
from studio.tabs import TABS

pytestmark = NEEDS_BROWSER
NAMES = [words.TAB_RESTORE, *(tab.label for tab in TABS)]
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")

# What Gradio's own components do and the page cannot change.
NOT_OURS = {
    "aria-allowed-attr", "aria-prohibited-attr", "nested-interactive",
    "scrollable-region-focusable", "image-alt",
}  # fmt: skip


@pytest.fixture(scope="module")
def page(browser, studio):
    """One page for all that only look at it."""
    with visits(browser, studio) as open_one:
        yield open_one(width=390)


def open_tab(page, name: str) -> None:
    tabs = page.locator("#tabs")
    if tabs.get_by_role("tab", name=name, exact=True).count() == 0:  # no room for it on a phone
        page.get_by_label("More tabs").first.click()
        tabs.locator(".overflow-dropdown button", has_text=name).first.click()
    else:
        tabs.get_by_role("tab", name=name, exact=True).first.click()
    expect(page.get_by_role("tab", name=name, exact=True).first).to_have_attribute(
        "aria-selected", "true"
    )


def unfold(page) -> None:
    for accordion in page.locator("button.label-wrap:visible").all():
        if "open" not in (accordion.get_attribute("class") or ""):
            accordion.click()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious(page, theme):
    page.set_viewport_size({"width": 1280, "height": 900})
    page.evaluate("dark => document.body.classList.toggle('dark', dark)", theme == "dark")
    found = []
    for name in NAMES:
        open_tab(page, name)
        unfold(page)
        page.wait_for_timeout(300)  # what unfolds fades in, and pale text counts as pale
        found += [
            f"{name}: {one['id']}: {node['html'][:160]}"
            for one in axe.Axe().run(page).response["violations"]
            if one["impact"] in ("serious", "critical") and one["id"] not in NOT_OURS
            for node in one["nodes"]
        ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_name_of_the_open_tab_stands_out_from_the_page(page, theme):
    """axe does not judge it, because of the line that Gradio lays over it."""
    page.evaluate("dark => document.body.classList.toggle('dark', dark)", theme == "dark")
    page.wait_for_timeout(300)
    tab = page.locator("#tabs .tab-container .selected").first
    paper = "getComputedStyle(document.querySelector('gradio-app')).backgroundColor"
    shades = tab.evaluate(f"tab => [getComputedStyle(tab).color, {paper}]")
    dark, bright = sorted(_luminance(shade) for shade in shades)
    assert (bright + 0.05) / (dark + 0.05) >= 4.5, shades


def _luminance(shade: str) -> float:
    """Of a colour such as "rgb(15, 118, 110)", as the guidelines for web content have it."""
    parts = [int(part) / 255 for part in re.findall(r"\d+", shade)[:3]]
    linear = [((one + 0.055) / 1.055) ** 2.4 if one > 0.03928 else one / 12.92 for one in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_what_is_left_of_a_slider_does_not_shine_in_the_dark(page):
    page.evaluate("document.body.classList.add('dark')")
    shade = """slider => {
        slider.style.color = 'var(--neutral-200)';
        return getComputedStyle(slider).color;
    }"""
    assert _luminance(page.locator("input[type=range]").first.evaluate(shade)) < 0.2


def test_nothing_lies_over_the_sign_of_an_upload(page):
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_timeout(500)  # the tabs find their places
    open_tab(page, "Recipes")
    label, sign = (page.locator(f"#recipes-drop {one}").first for one in ("label", ".wrap svg"))
    box = label.bounding_box()
    assert box["y"] + box["height"] <= sign.bounding_box()["y"]


def test_on_a_phone_buttons_fill_their_line(page):
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_timeout(500)  # the tabs find their places
    open_tab(page, "Full quality")
    row = page.locator(".beside").last.bounding_box()
    boxes = [
        button.bounding_box() for button in page.locator(".beside").last.locator("button").all()
    ]
    assert len(boxes) == 4
    for box in boxes[1::2]:
        assert box["x"] + box["width"] == pytest.approx(row["x"] + row["width"], abs=1)
    assert all(box["x"] == pytest.approx(row["x"], abs=1) for box in boxes[::2])


def test_fields_in_one_line_end_on_one_line(page):
    page.set_viewport_size({"width": 1024, "height": 900})
    page.wait_for_timeout(500)  # the tabs find their places
    open_tab(page, "Full quality")
    for one, other in (("full-checkpoint", "full-base"), ("full-model", "full-model-base")):
        boxes = [page.locator(f"#{name} textarea").bounding_box() for name in (one, other)]
        assert boxes[0]["y"] == pytest.approx(boxes[1]["y"], abs=1)


@pytest.mark.parametrize("width", [390, 768, 1280, 1920])
def test_nothing_sticks_out(page, width):
    page.set_viewport_size({"width": width, "height": 900})
    page.wait_for_timeout(500)  # the tabs find their places
    for name in NAMES:
        open_tab(page, name)
        unfold(page)
        page.wait_for_timeout(200)
        inner, outer = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
        assert inner <= outer, name


def test_the_way_to_a_result_needs_no_mouse(open_page, photo):
    page = open_page()
    page.locator("#picture input[type=file]").set_input_files(photo)
    expect(page.locator("#picture-note")).to_contain_text("pixels")
    page.locator("#describe").focus()
    reached = []
    for _ in range(12):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.closest('[id]')?.id"))
        if reached[-1] == "restore":
            break
    assert reached[-1] == "restore", reached
    page.keyboard.press("Enter")
    expect(page.locator("#status .notice")).to_contain_text("Done in", timeout=WAIT_MS)


def test_nothing_moves_for_those_who_asked_for_rest(page):
    moving = """() => [...document.querySelectorAll('.gradio-container *')].filter(one => {
        const style = getComputedStyle(one);
        return [style.animationDuration, style.transitionDuration]
            .some(times => times.split(',').some(time => parseFloat(time) > 0.05));
    }).length"""
    assert page.evaluate(moving) > 0  # it can fail
    page.emulate_media(reduced_motion="reduce")
    assert page.evaluate(moving) == 0
