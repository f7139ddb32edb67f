"""Compare, the blind vote, and recipes that are brought back, in Chromium."""

from __future__ import annotations

import json
import re
from pathlib import Path

from browsing import (
    NEEDS_BROWSER,
    WAIT_MS,
    bring,
    expect,
    expect_rest,
    restore,
    set_steps,
    text_box,
)

from xpsr.recipe import read_recipe

pytestmark = NEEDS_BROWSER


def go_to(page, tab: str) -> None:
    page.get_by_role("tab", name=tab, exact=True).click()


def save(page, button: str, folder: Path) -> Path:
    with page.expect_download() as download:
        page.locator(button).click()
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path


def test_two_runs_are_compared_and_voted_on_blindly(open_page, photo, tmp_path):
    page = open_page()
    bring(page, photo)
    text_box(page, "prompt").fill("A red garden.")
    set_steps(page, 1)
    restore(page)
    text_box(page, "prompt").fill("A <b>blue</b> garden.")
    page.locator("#new-seed").click()
    restore(page)

    go_to(page, "Compare")
    note = page.locator("#compare-note")
    expect(note).to_contain_text(re.compile(r"A: 1 · garden · seed \d+ — B: 2 · garden"))
    expect(page.locator("#compare-slider img")).to_have_count(2)
    expect(page.locator("#compare-texts del")).to_have_text("red ")
    expect(page.locator("#compare-texts ins")).to_contain_text("<b>blue</b>")
    expect(page.locator("#compare-settings tbody th")).to_have_text(["Seed"])
    expect(page.locator("#compare-size")).to_contain_text("grey levels")
    page.get_by_label("range slider for Move the divider of the comparison").focus()
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    # Five per cent of the picture, of a frame that is wider than it.
    moved = re.compile(r"clip-path: inset\(0px 0px 0px 5[345](\.\d*)?%\)")
    expect(page.locator("#compare-slider img").nth(1)).to_have_attribute("style", moved)
    map_of = page.locator("#compare-map img")
    page.locator("#compare-difference > button").click()
    expect(map_of).to_be_visible()
    drawn = map_of.get_attribute("src")
    page.locator("#compare-swap").click()
    expect(note).to_contain_text("A: 2 · garden")
    expect(page.locator("#compare-texts ins")).to_have_text("red ")
    expect(map_of).not_to_have_attribute("src", drawn)  # of this pair, as it is still looked at
    page.locator("#compare-vote > button").click()
    page.locator("#compare-strip-b .thumbnail-item").nth(0).click()
    expect(note).to_contain_text("A and B are the same result.")
    expect(page.locator("#compare-start-vote")).to_be_disabled()
    page.locator("#compare-strip-b .thumbnail-item").nth(1).click()
    expect(note).to_contain_text("B: 1 · garden")

    page.locator("#compare-start-vote").click()
    panel = page.locator("#compare-voting")
    sources = set()
    for number in range(1, 4):
        expect(panel).to_contain_text(f"Comparison {number} ")
        expect(panel.locator("img")).to_have_count(2)
        images = [one.get_attribute("src") for one in panel.locator("img").all()]
        assert [src.rpartition("/")[2] for src in images] == ["left.png", "right.png"]
        sources.add(images[0])
        # Neither the pictures' addresses nor anything beside them tells a run.
        assert not re.search(r"seed|restored|\d{8}-\d{6}-", panel.inner_html())
        expect(page.locator("#compare-looking")).to_have_count(0)
        page.locator("#compare-tie" if number == 3 else "#compare-left-better").click()
    assert len(sources) == 3
    page.locator("#compare-reveal").click()
    expect(page.locator("#compare-result")).to_be_in_viewport()
    expect(page.locator("#compare-result")).to_contain_text("1 time no difference was seen")
    votes = json.loads(save(page, "#compare-save-json", tmp_path).read_text(encoding="utf-8"))
    assert [one["answer"] for one in votes["votes"]] == ["left", "left", "same"]
    assert votes["pairs"][0]["B"]["prompts"]["prompt"] == "A red garden."
    assert save(page, "#compare-save-csv", tmp_path).read_text().count("\n") == 4
    page.locator("#compare-back").click()
    expect(page.locator("#compare-slider img")).to_have_count(2)
    expect_rest(page)

    page.wait_for_timeout(300)  # the browser has been told
    page.reload()
    expect(page.locator("#prompt-meter")).to_contain_text("of 75", timeout=WAIT_MS)
    go_to(page, "Compare")  # the vote is unfolded, as there are answers
    expect(page.locator("#compare-kept")).to_contain_text("3 votes kept in this browser.")
    page.locator("#compare-resume").click()
    expect(page.locator("#compare-result")).to_contain_text("1 time no difference was seen")
    expect(page.locator("#compare-left")).to_be_hidden()  # nothing is asked now
    expect(page.locator("#compare-reveal")).to_be_disabled()
    assert len(json.loads(save(page, "#compare-save-json", tmp_path).read_text())["votes"]) == 3
    page.locator("#compare-back").click()

    for _ in range(2):  # the same pair once more, after another one was looked at
        go_to(page, "Recipes")
        page.locator("#recipes-list label").nth(1).click()
        page.locator("#recipes-compare").click()
        expect(note).to_be_visible()
        expect(note).to_contain_text(re.compile("A: 2 · garden .* B: 1 · garden"))
        page.locator("#compare-swap").click()
        expect(note).to_contain_text(re.compile("A: 1 · garden .* B: 2 · garden"))


def test_a_dropped_picture_first_shows_what_it_would_change(open_page, photo, tmp_path):
    page = open_page()
    bring(page, photo)
    text_box(page, "prompt").fill("A garden at noon.")
    set_steps(page, 1)
    restore(page)
    go_to(page, "Recipes")
    expect(page.locator("#recipes-list label")).to_contain_text([re.compile("1 · garden · seed")])
    saved = save(page, "#recipes-save-png", tmp_path)
    assert read_recipe(saved).prompts.prompt == "A garden at noon."
    expect(page.locator("#recipes-rerun textarea")).to_have_value(re.compile(saved.name))

    go_to(page, "Restore")
    text_box(page, "prompt").fill("A dog at night.")
    page.get_by_label("number input for Steps").fill("7")
    go_to(page, "Recipes")
    drop = page.locator("#recipes-drop input[type=file]")
    drop.set_input_files(saved)
    note, preview = page.locator("#recipes-note"), page.locator("#recipes-preview")
    expect(note).to_contain_text("It was made from the picture that is on the page.")
    expect(preview.locator("del")).to_have_text(["dog ", "night"])
    expect(preview.locator("tbody tr")).to_have_text([re.compile(r"Steps\s*7\s*1")])
    page.locator("#recipes-cancel").click()
    expect(note).to_contain_text("Nothing was changed.")
    expect(text_box(page, "prompt")).to_have_value("A dog at night.")
    drop.set_input_files(saved)  # the box is empty again, and the same may come once more
    expect(preview.locator("del")).to_have_text(["dog ", "night"])
    page.locator("#recipes-cancel").click()

    page.locator("#recipes-use").click()
    expect(preview.locator("del")).to_have_text(["dog ", "night"])
    page.locator("#recipes-apply").click()
    expect(text_box(page, "prompt")).to_be_visible()  # back on the first tab
    expect(text_box(page, "prompt")).to_have_value("A garden at noon.")
    expect(page.get_by_label("number input for Steps")).to_have_value("1")
    expect(page.locator("#prompt-chips")).to_contain_text("from a recipe")
    expect(page.locator("#status")).to_contain_text("All of the recipe is in the form now.")
    page.locator("#back-to-mine").click()
    expect(text_box(page, "prompt")).to_have_value("A dog at night.")
    expect(page.get_by_label("number input for Steps")).to_have_value("7")

    # The same picture dropped on the first tab is a picture, and offers its recipe.
    expect(page.locator("#offer")).to_have_count(0)
    bring(page, saved)
    expect(page.locator("#offer-note")).to_contain_text("This picture carries a recipe: model")
    page.locator("#offer-see").click()
    expect(note).to_contain_text("It was made from another picture than the one on the page.")
    expect(preview.locator("ins")).to_have_text(["garden ", "noon"])
    expect_rest(page)
    page.locator("#recipes-apply-texts").click()
    expect(text_box(page, "prompt")).to_have_value("A garden at noon.")
    bring(page, photo)
    expect(page.locator("#offer")).to_have_count(0)


def test_presets_stay_in_the_browser(open_page, tmp_path):
    page = open_page()
    set_steps(page, 9)
    go_to(page, "Recipes")
    page.locator("#recipes-preset-name textarea, #recipes-preset-name input").fill(
        "Calm <i>one</i>"
    )
    page.locator("#recipes-preset-save").click()
    note = page.locator("#recipes-preset-note")
    expect(note).to_contain_text("Saved “Calm <i>one</i>”.")
    saved = save(page, "#recipes-preset-export", tmp_path)
    assert json.loads(saved.read_text(encoding="utf-8"))["presets"][0]["name"] == "Calm <i>one</i>"

    page.reload()
    expect(page.locator("#prompt-meter")).to_contain_text("of 75", timeout=WAIT_MS)
    # It opens where it was left.
    expect(page.get_by_role("tab", name="Recipes")).to_have_attribute("aria-selected", "true")
    go_to(page, "Restore")
    set_steps(page, 3)
    go_to(page, "Recipes")
    expect(page.get_by_label("Your presets")).to_have_value("Calm <i>one</i>")
    page.locator("#recipes-preset-load").click()
    expect(note).to_contain_text("Loaded")
    go_to(page, "Restore")
    expect(page.get_by_label("number input for Steps")).to_have_value("9")

    page.get_by_label("number input for Steps").fill("4")
    page.locator("#own-preset input").click()  # the same on the first tab
    page.get_by_role("option", name="Calm <i>one</i>").click()
    expect(page.get_by_label("number input for Steps")).to_have_value("9")
    expect(page.locator("#status")).to_contain_text("Calm <i>one</i>")

    go_to(page, "Recipes")
    page.locator("#recipes-preset-delete").click()
    expect(note).to_contain_text("Deleted")
    page.locator("#recipes-preset-undo").click()
    expect(note).to_contain_text("Here again: “Calm <i>one</i>”.")
    page.locator("#recipes-preset-delete").click()
    expect(note).to_contain_text("Deleted")
    expect(page.locator("#own-preset")).to_have_count(0)
    page.locator("#recipes-presets input[type=file]").set_input_files(saved)
    expect(note).to_contain_text("1 preset added.")
