"""The page as a visitor uses it, in Chromium."""

from __future__ import annotations

import re
import time

from bad_files import make_bad_files
from browsing import (
    DONE,
    NEEDS_BROWSER,
    WAIT_MS,
    bring,
    drop,
    expect,
    expect_rest,
    set_steps,
    step_of,
    text_box,
)
from PIL import Image

from xpsr.prompts.sentences import split_sentences
from xpsr.recipe import read_recipe

pytestmark = NEEDS_BROWSER

PASTE = """(bytes) => {
  const clipboardData = new DataTransfer();
  clipboardData.items.add(new File([new Uint8Array(bytes)], 'image.png', {type: 'image/png'}));
  document.body.dispatchEvent(
    new ClipboardEvent('paste', {clipboardData, bubbles: true, cancelable: true}));
}"""
PASTED_TEXT = """() => {
  const clipboardData = new DataTransfer();
  clipboardData.setData('text/plain', 'a word');
  const event = new ClipboardEvent('paste', {clipboardData, bubbles: true, cancelable: true});
  document.activeElement.dispatchEvent(event);
  return event.defaultPrevented;
}"""
DROPPED_OWN = """() => {
  const dataTransfer = new DataTransfer();
  dataTransfer.items.add(new File(['...'], 'after.png', {type: 'image/png'}));
  dataTransfer.setData('text/html', '<img src="after.png">');
  const event = new DragEvent('drop', {dataTransfer, bubbles: true, cancelable: true});
  document.querySelector('#comparison').dispatchEvent(event);
  return event.defaultPrevented;
}"""


def test_from_a_photo_to_the_download(open_page, photo, tmp_path):
    page = open_page()
    bring(page, photo)
    expect(page.locator("#picture-note")).to_contain_text("64 × 48 pixels")
    expect(page.locator("#size-note .quiet")).to_be_visible()
    expect(page.locator("#size-note")).to_contain_text("256 × 192 pixels")

    page.locator("#describe").click()
    expect(text_box(page, "prompt")).not_to_have_value("")
    low = text_box(page, "lowlevel_prompt")
    expect(low).not_to_have_value("")
    sentences = split_sentences(low.input_value())
    sentences[1] = sentences[1].replace(sentences[1].split()[-1], "purple.")  # one word of it
    low.fill("".join(sentences) + " It is a scan.")
    for kind in ("measured", "edited", "typed"):
        expect(page.locator("#lowlevel_prompt-chips")).to_contain_text(kind)
    expect(page.locator("#lowlevel_prompt-meter")).to_contain_text(re.compile(r"\d+ of 75"))

    set_steps(page, 3)
    page.locator("#restore").click()
    expect(page.locator("#status .notice")).to_have_text(DONE, timeout=WAIT_MS)
    images = page.locator("#comparison img")
    expect(images).to_have_count(2)
    for image in images.all():
        expect(image).to_be_visible()
        assert image.evaluate("image => [image.naturalWidth, image.naturalHeight]") == [256, 192]
    expect(page.locator("#scores")).to_contain_text(re.compile("better|worse|no change"))

    slider = page.get_by_label("range slider for Move the divider")
    for _ in range(5):
        slider.press("ArrowRight")
    # 50 % and five steps of one per cent, as far as pixels allow
    moved = re.compile(r"clip-path: inset\(0px 0px 0px 5(4\.9|5)\d*%\)")
    expect(images.nth(1)).to_have_attribute("style", moved)
    box = page.locator("#comparison").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 0.55 * box["width"], box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.8 * box["width"], box["y"] + box["height"] / 2, steps=4)
    page.mouse.up()
    expect(slider).to_have_value("80")
    slider.press("ArrowRight")
    expect(images.nth(1)).to_have_attribute("style", re.compile(r"inset\(0px 0px 0px 8[01]"))

    with page.expect_download() as download:
        page.locator("#download").click()
    saved = tmp_path / download.value.suggested_filename
    download.value.save_as(saved)
    with Image.open(saved) as result:
        assert (result.format, result.size) == ("PNG", (256, 192))
    recipe = read_recipe(saved)
    assert recipe.prompts.lowlevel_prompt.endswith("It is a scan.")
    assert recipe.settings.num_inference_steps == 3
    kinds = [sentence.origin.kind for sentence in recipe.sentences("lowlevel_prompt")]
    others = ["measured"] * (len(sentences) - 2)
    assert kinds == ["measured", "edited", *others, "typed"]


def test_a_picture_that_is_too_large_is_enlarged_as_far_as_possible_by_a_press(open_page, tmp_path):
    page = open_page()
    Image.new("RGB", (3000, 2400), "gray").save(tmp_path / "phone.png")
    bring(page, tmp_path / "phone.png")
    expect(page.locator("#size-note .bad")).to_contain_text("“Enlarge” can be 2 at most")
    page.locator("#largest").get_by_text("Enlarge 2 times").click()
    expect(page.locator("#size-note .quiet")).to_contain_text("6000 × 4800 pixels")
    expect(page.locator("#largest")).to_be_hidden()


def test_who_wrote_what_the_tools_beside_it_and_what_is_not_read(open_page, photo):
    page = open_page()
    bring(page, photo)
    low, chips = text_box(page, "lowlevel_prompt"), page.locator("#lowlevel_prompt-chips")
    undo = page.locator("#lowlevel_prompt-undo")
    page.locator("#describe").click()
    expect(chips).to_contain_text("measured")
    expect(chips).not_to_contain_text("typed")
    expect(undo).to_be_hidden()
    described = low.input_value()

    low.fill(described + " Seen through glass.")
    expect(chips).to_contain_text("typed")
    undo.focus()
    page.keyboard.press("Enter")
    expect(low).to_have_value(described)
    expect(undo).to_be_hidden()

    button, place = page.locator("#opposite"), page.locator("#opposite").bounding_box()
    page.evaluate("document.querySelector('#lowlevel_prompt-chips .chips').remove()")
    assert button.bounding_box()["x"] == place["x"]  # as while the model is being loaded
    button.click()
    expect(low).not_to_have_value(described)
    expect(chips).to_contain_text("edited")
    page.locator("#wording > button").click()
    expect(page.locator("#exact-low .exact")).to_have_text(low.input_value())
    expect(page.locator("#wording .changes ins").first).to_be_visible()

    low.fill("A cat.")
    page.locator("#opposite").click()
    expect(page.locator("#text-note [role=alert]")).to_contain_text("no opposite")
    expect(low).to_have_value("A cat.")

    text_box(page, "prompt").fill("<b>word</b> " + "word " * 90)
    expect(page.locator("#prompt-meter .cut")).to_contain_text("word word")
    expect(page.locator("#prompt-meter b")).to_have_count(0)


def test_stop_keeps_the_words_and_the_earlier_result(open_page, photo):
    page = open_page()
    bring(page, photo)
    text_box(page, "prompt").fill("My own words.")
    set_steps(page, 2)
    page.locator("#restore").click()
    expect(page.locator("#status .notice")).to_have_text(DONE, timeout=WAIT_MS)
    earlier = page.locator("#comparison img").nth(1).get_attribute("src")

    page.get_by_label("number input for Steps").fill("100")
    page.locator("#restore").click()
    expect(page.locator("#status")).to_contain_text("Step", timeout=WAIT_MS)
    expect(page.locator("#preview img")).to_be_visible()
    expect(page.locator("#comparison")).to_be_hidden()
    page.locator("#stop").click()
    expect(page.locator("#status")).to_contain_text("Stopped.")
    expect(page.locator("#preview")).to_be_hidden()
    expect(page.locator("#comparison img").nth(1)).to_be_visible()
    expect(page.locator("#restore")).to_be_enabled()
    expect(text_box(page, "prompt")).to_have_value("My own words.")
    expect(page.get_by_label("number input for Steps")).to_have_value("100")
    page.wait_for_timeout(500)  # nothing of the stopped run may arrive late
    expect(page.locator("#status")).to_contain_text("Stopped.")
    assert page.locator("#comparison img").nth(1).get_attribute("src") == earlier

    # As soon as the page offers it, the next run is taken on.
    page.get_by_label("number input for Steps").fill("100")
    page.locator("#restore").click()
    expect(page.locator("#status")).to_contain_text("Step", timeout=WAIT_MS)
    page.locator("#stop").click()
    expect(page.locator("#restore")).to_be_enabled()
    page.get_by_label("number input for Steps").fill("1")
    page.locator("#restore").click()
    expect(page.locator("#status .notice")).to_have_text(DONE, timeout=WAIT_MS)


def test_stop_in_the_moment_that_it_can_be_pressed(open_page, photo):
    """Gradio does not know of the run by then, and two presses on Restore are one run."""
    page = open_page()
    bring(page, photo)
    set_steps(page, 100)
    page.evaluate(
        """() => {
          const at = (id) => document.querySelector(id);
          at('#restore').click();
          at('#restore').click();
          const press = () => at('#stop').disabled ? setTimeout(press, 1) : at('#stop').click();
          press();
        }"""
    )
    expect(page.locator("#status")).to_contain_text("Stopped.")
    expect(page.locator("#restore")).to_be_enabled()
    set_steps_again(page, 1)
    page.locator("#restore").click()
    expect(page.locator("#status .notice")).to_have_text(DONE, timeout=WAIT_MS)
    expect(page.locator("#strip .thumbnail-item")).to_have_count(1)


def set_steps_again(page, steps: int) -> None:
    page.get_by_label("number input for Steps").fill(str(steps))
    page.keyboard.press("Tab")


def test_visitors_do_not_see_each_other_and_one_who_leaves_keeps_nobody_waiting(
    open_page, photo, picture, tmp_path
):
    picture(112, 112).save(larger := tmp_path / "larger.png")
    leaver = open_page()
    bring(leaver, larger)
    text_box(leaver, "prompt").fill("A secret.")
    expect(leaver.locator("#picture-note")).to_contain_text("pixels")
    page = open_page()
    expect(text_box(page, "prompt")).to_have_value("")
    assert "A secret." not in page.content()
    expect(page.locator("#picture input[type=file]")).to_have_count(1)

    set_steps(leaver, 100)
    bring(page, photo)
    set_steps(page, 1)
    leaver.locator("#restore").click()
    first, started = step_of(leaver, r"\d+"), time.monotonic()
    later = step_of(leaver, r"([4-9]|\d\d)")
    left = (100 - later) * (time.monotonic() - started) / max(later - first, 1)
    leaver.context.close()
    page.locator("#restore").click()
    half = 5 + left / 2  # of the time that the steps which are left would have taken
    expect(page.locator("#status .notice")).to_have_text(DONE, timeout=1000 * half)


def test_the_preset_tells_whether_the_settings_are_still_its_own(open_page):
    page = open_page()
    note = page.locator("#preset-note")
    set_steps(page, 7)
    expect(note).to_contain_text("those of “mini” any more")
    page.reload()
    page.locator("#advanced > button").click()
    expect(note).to_contain_text("those of “mini” any more")
    page.locator("#preset input").click()
    page.get_by_role("option", name="fast").click()
    expect(page.get_by_label("number input for Steps")).to_have_value("10")
    expect(note.locator(".quiet")).to_have_count(0)
    expect_rest(page)


def test_what_is_no_picture_is_refused_and_others_are_dropped_or_pasted(
    open_page, picture, tmp_path
):
    page = open_page()
    text_box(page, "prompt").fill("Mine.")
    bring(page, make_bad_files(tmp_path)["truncated"])
    note = page.locator("#picture-note [role=alert] .bad")
    expect(note).to_have_text(re.compile(r"truncated\.png.{10,200}\.\s*$"))
    expect(page.locator("#picture input[type=file]")).to_have_count(1)  # ready for another one
    expect(text_box(page, "prompt")).to_have_value("Mine.")
    page.locator("#restore").click()
    expect(page.locator("#status [role=alert]")).to_contain_text("Choose a picture first")
    expect(page.locator("#restore")).to_be_enabled()

    note = page.locator("#picture-note")
    for width, where in ((36, "#comparison"), (40, "#picture"), (44, "#picture"), (48, None)):
        picture(width, 32).save(path := tmp_path / f"{width}.png")
        if where:
            drop(page, where, path)
        else:
            page.evaluate(PASTE, [*path.read_bytes()])
        expect(note).to_contain_text(f"{width} × 32 pixels", timeout=WAIT_MS)
        expect(page.locator("#picture img")).to_have_count(1)
    # A text is pasted where it is wanted, and is no picture.
    text_box(page, "prompt").focus()
    assert not page.evaluate(PASTED_TEXT)
    # Nor is one of the page's own, which was dragged by mistake, a new one.
    assert not page.evaluate(DROPPED_OWN)
    expect(note).to_contain_text("48 × 32 pixels")
    # Nor does one that is dropped on another tab take the place of the page.
    page.get_by_role("tab", name="Compare").click()
    drop(page, "#tab-compare", path)
    page.wait_for_timeout(500)
    assert len(page.context.pages) == 1 and page.get_by_role("tab", name="Compare").is_visible()
    expect(note).to_contain_text("48 × 32 pixels")
