"""For eyes, keyboards and screen readers: axe, the widths of devices, dark and light."""

from __future__ import annotations

import pytest
from browsing import NEEDS_BROWSER, WAIT_MS, expect

pytestmark = NEEDS_BROWSER
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")

# What Gradio's own components do and the page cannot change.
NOT_OURS = {
    "aria-allowed-attr", "aria-prohibited-attr", "nested-interactive",
    "scrollable-region-focusable", "image-alt",
}  # fmt: skip


def tabs(page) -> list[str]:
    names = page.locator("#tabs [role=tab]")
    return [name.strip() for name in names.all_inner_texts() if name.strip()]


def open_tab(page, name: str) -> None:
    page.locator("#tabs").get_by_role("tab", name=name, exact=True).first.click()


def unfold(page) -> None:
    for accordion in page.locator("button.label-wrap:visible").all():
        if "open" not in (accordion.get_attribute("class") or ""):
            accordion.click()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious(open_page, theme):
    page = open_page(theme=theme)
    names = tabs(page)
    assert names[0] == "Restore"
    found = []
    for name in names:
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


@pytest.mark.parametrize("width", [390, 768, 1280, 1920])
def test_nothing_sticks_out(open_page, width):
    page = open_page(width=width, height=900)
    for name in tabs(page):
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


def test_nothing_moves_for_those_who_asked_for_rest(open_page):
    page = open_page()
    moving = """() => [...document.querySelectorAll('.gradio-container *')].filter(one => {
        const style = getComputedStyle(one);
        return [style.animationDuration, style.transitionDuration]
            .some(times => times.split(',').some(time => parseFloat(time) > 0.05));
    }).length"""
    assert page.evaluate(moving) > 0  # it can fail
    page.emulate_media(reduced_motion="reduce")
    assert page.evaluate(moving) == 0
