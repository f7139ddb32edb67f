"""The Word maps tab: its handlers without a page, and one visit in Chromium."""

from __future__ import annotations

import re
from dataclasses import replace
from types import SimpleNamespace

import gradio as gr
import numpy as np
import pytest
from browsing import DONE, NEEDS_BROWSER, WAIT_MS, bring, expect, set_steps, text_box

from studio import words
from studio.job import Job
from studio.models.engine import Engine, EngineOptions
from studio.results.outputs import Outputs, Run
from studio.results.shelf import Shelf
from studio.services import Services
from studio.visit import Visit
from studio.word_maps import words as said
from studio.word_maps.actions import (
    FOR_TEXT,
    ONE_SCALE,
    OWN_RANGE,
    RECORDING,
    Recorded,
    WordMapActions,
)
from xpsr.prompts import Prompts
from xpsr.settings import Settings

HOSTILE = "<img src=x onerror=alert(1)>\nA cat, 猫."
PROMPTS = Prompts(prompt=HOSTILE, lowlevel_prompt="Blurry and noisy.")
SETTINGS = Settings(num_inference_steps=3, upscale=2, process_size=0)
VIEW = (-1, -1, OWN_RANGE, 0.7)


@pytest.fixture
def actions(tiny_pipeline, tmp_path, one_thread) -> WordMapActions:
    engine = Engine(EngineOptions())
    engine._pipeline = tiny_pipeline
    return WordMapActions(Services(engine, Outputs(tmp_path / "outputs", Shelf())))


@pytest.fixture
def run(actions, picture) -> Run:
    """A finished run, as the first tab leaves it."""
    image = picture(24, 20)
    *_, restored = actions.engine.stream(image, PROMPTS, SETTINGS)
    return actions.outputs.keep(image, restored, "garden")


def recording(actions: WordMapActions, run_id: str | None, visit: Visit | None = None) -> list:
    found = actions.record(visit or Visit(), run_id, Job())
    return [dict(zip(RECORDING, values, strict=True)) for values in found]


def shown(actions: WordMapActions, branch: str, recorded: Recorded, word: int, *view) -> dict:
    return dict(zip(FOR_TEXT, actions.show(branch, recorded, word, *(view or VIEW)), strict=True))


def test_a_run_is_recorded_step_by_step_and_stays_the_same(actions, run) -> None:
    _beginning, *steps, done = recording(actions, run.id)
    assert ["Step 1 of 3" in steps[0]["status"], len(steps)] == [True, 3]
    assert said.SAME in done["status"]
    assert said.BELOW.format(name="Example · garden") in done["status"]  # whatever is chosen next
    assert done["record"]["interactive"] and not done["stop"]["interactive"]
    assert [label for label, _ in done["steps"]["choices"]] == ["all", "1", "2", "3"]
    assert [value for _, value in done["layers"]["choices"]] == [-1, 8, 16, 32, 64]
    with np.load(done["download"]["value"]) as stored:
        assert set(stored) == {"high", "low", "about"}
    # Chosen by nobody: the one on the slider.
    *_, same = recording(actions, None, Visit([run.id], shown=run.id))
    assert said.SAME in same["status"] and "those of 1 · garden." in same["status"]


def test_maps_are_found_again_with_their_result(actions, run, picture, monkeypatch) -> None:
    def recalled(run_id: str | None) -> dict:
        return dict(zip(RECORDING, actions.recall(Visit([run.id]), run_id), strict=True))

    assert recalled(None)["recorded"] == recalled(run.id)["recorded"] == gr.skip()
    *_, done = recording(actions, run.id, Visit([run.id]))
    again = recalled(run.id)  # by another page, or the same one after a reload
    for name in ("status", "recorded", "panel", "steps", "layers", "download"):
        assert again[name] == done[name]
    assert again["record"] == gr.skip()  # another recording may be under way
    # Only the newest are kept.
    monkeypatch.setattr("studio.word_maps.actions.KEPT", 1)
    *_, restored = actions.engine.stream(picture(24, 20), PROMPTS, SETTINGS)
    newer = actions.outputs.keep(picture(24, 20), restored, "")
    recording(actions, newer.id)
    assert recalled(run.id)["recorded"] == gr.skip() != recalled(newer.id)["recorded"]


def test_other_pixels_are_said_with_the_reason(actions, run, monkeypatch) -> None:
    changes = {"output_sha256": "0" * 64, "threads": 77}
    other = replace(run, recipe=run.recipe.model_copy(update=changes))
    monkeypatch.setattr(actions.outputs, "find", lambda _: other)
    *_, done = recording(actions, run.id)
    assert "threads was 77 and is 1" in done["status"]
    other = replace(run, recipe=run.recipe.model_copy(update={"output_sha256": "0" * 64}))
    *_, done = recording(actions, run.id)
    assert said.OTHER_UNKNOWN in done["status"]


def test_what_cannot_be_recorded_is_said(actions) -> None:
    (nothing,) = recording(actions, None)
    assert said.NO_RUNS in nothing["status"]
    (gone,) = recording(actions, "20200101-000000-" + "a" * 22)
    assert "no longer there" in gone["status"] and gone["record"]["interactive"]


def test_a_model_of_one_text_shows_where_that_was_read(actions, run, tiny_seesr) -> None:
    actions.engine._pipeline = tiny_seesr
    *_, done = recording(actions, run.id)
    maps = done["recorded"]
    assert [choice["visible"] for choice in actions.choices(maps)] == [True, False]
    assert shown(actions, "high", maps, 0)["picture"]["visible"]
    other = shown(actions, "low", maps, 0)
    assert said.UNREAD in other["about"] and not other["picture"]["visible"]


def test_stop_frees_the_model(actions, run) -> None:
    def told(values: tuple) -> dict:
        return dict(zip(RECORDING, values, strict=True))

    job = told(actions.begin())["job"]
    going = actions.record(Visit(), run.id, job)
    next(going), next(going)
    assert actions.engine.running.locked()
    stopping = told(actions.stop(job))
    assert words.STOPPING in stopping["status"] and not stopping["stop"]["interactive"]
    assert told(actions.let_go(job))["status"] == gr.skip()
    *_, stopped = going
    assert "Nothing new was recorded" in told(stopped)["status"]  # nor was anything before
    assert said.STOPPED in told(stopped)["status"] and told(stopped)["record"]["interactive"]
    assert said.STOPPED in told(actions.let_go(job))["status"]  # Gradio may have lost the other
    *_, late = actions.record(Visit(), run.id, job)  # pressed twice
    assert said.STOPPED in told(late)["status"]
    assert not actions.engine.running.locked()
    # Without a word: refused if it never began, else stopped.
    job = told(actions.begin())["job"]
    assert words.REFUSED in told(actions.failed(job))["status"]
    job = told(actions.begin())["job"]
    actions.stop(job)
    assert said.STOPPED in told(actions.let_go(job))["status"]
    assert said.STOPPED in told(actions.failed(job))["status"]


def test_words_are_marked_pointed_at_and_drawn(actions, run) -> None:
    *_, done = recording(actions, run.id)
    recorded: Recorded = done["recorded"]
    high, low = actions.choices(recorded)
    assert high["choices"][high["value"]][0][0].isalnum()  # a word, not a sign
    pieces = recorded.maps.pieces("high")
    cat = [piece.text for piece in pieces].index("cat")
    found = shown(actions, "high", recorded, cat)
    marked = found["text"]
    assert "".join(text for text, _ in marked) == recorded.maps.texts["high"].sent
    assert recorded.maps.texts["high"].sent.startswith(HOSTILE)
    assert [text for text, mark in marked if mark] == ["cat"]
    index = [text for text, _ in marked].index("cat")
    assert actions.point_high(recorded, SimpleNamespace(index=index)) == cat
    blank = actions.point_high(recorded, SimpleNamespace(index=index - 1))
    assert blank == {"__type__": "update"}  # nothing is chosen by it
    assert found["picture"]["value"].size == recorded.image.size == (768, 640)
    assert "“cat” gets" in found["about"]
    image = [piece.text for piece in pieces].index("<")
    assert "<img" not in shown(actions, "high", recorded, image)["about"]
    assert [text for text, mark in shown(actions, "low", recorded, 99)["text"] if mark] == [
        low["choices"][0][0].split(" ")[0]
    ]


def test_the_view_changes_the_picture(actions, run) -> None:
    *_, done = recording(actions, run.id)
    pictures = [
        np.asarray(shown(actions, "low", done["recorded"], 0, *view)["picture"]["value"]).tobytes()
        for view in (
            VIEW,
            (0, -1, OWN_RANGE, 0.7),
            (-1, 8, OWN_RANGE, 0.7),
            (-1, -1, ONE_SCALE, 0.7),
            (-1, -1, OWN_RANGE, 0.2),
        )
    ]
    assert len(set(pictures)) == len(pictures)


def test_an_empty_text_is_said_to_be_empty(actions, picture) -> None:
    *_, restored = actions.engine.stream(picture(24, 20), Prompts(), SETTINGS)
    run = actions.outputs.keep(picture(24, 20), restored, "")
    *_, done = recording(actions, run.id)
    assert said.EMPTY in shown(actions, "low", done["recorded"], 0)["about"]
    assert actions.choices(done["recorded"])[1]["visible"] is False


def test_a_result_without_texts_is_not_made_again(actions, picture) -> None:
    prompts = Prompts(added_prompt="")
    *_, restored = actions.engine.stream(picture(24, 20), prompts, SETTINGS)
    run = actions.outputs.keep(picture(24, 20), restored, "")
    (told,) = recording(actions, run.id)
    assert said.NO_TEXTS in told["status"] and told["record"]["interactive"]


def test_results_that_can_be_chosen(actions, run) -> None:
    visit = Visit([run.id, "gone"], shown=run.id)
    choice, button, _ = actions.offer(visit, None, None)
    assert [value for _, value in choice["choices"]] == [run.id] and choice["value"] == run.id
    assert "garden" in choice["choices"][0][0] and button["interactive"]
    assert not actions.offer(Visit(), None, None)[1]["interactive"]


def test_what_is_on_the_slider_now_is_offered_until_the_visitor_chooses(actions, run, picture):
    *_, restored = actions.engine.stream(picture(24, 20), Prompts(), SETTINGS)
    newer = actions.outputs.keep(picture(24, 20), restored, "")
    visit = Visit([run.id, newer.id], shown=run.id)
    choice, _, first = actions.offer(visit, None, None)
    assert choice["value"] == first == run.id
    visit.shown = newer.id
    choice, _, first = actions.offer(visit, run.id, first)
    assert choice["value"] == first == newer.id
    assert actions.offer(visit, run.id, first)[0]["value"] == run.id


@NEEDS_BROWSER[0]
@NEEDS_BROWSER[1]
def test_a_visit(open_page, photo) -> None:
    page = open_page()
    bring(page, photo)
    text_box(page, "prompt").fill("A garden with a wall.")
    text_box(page, "lowlevel_prompt").fill("Blurry.")
    set_steps(page, 2)
    page.locator("#restore").click()
    expect(page.locator("#status .notice")).to_have_text(DONE, timeout=WAIT_MS)

    page.get_by_role("tab", name=said.TAB).click()
    expect(page.locator("#words-run input")).to_have_value("1 · garden · seed 0")
    expect(page.locator("#words-panel")).to_be_hidden()
    page.locator("#words-record").click()
    status = page.locator("#words-status")
    expect(status).to_contain_text(said.SAME, timeout=WAIT_MS)
    for branch in ("high", "low"):
        expect(page.locator(f"#words-{branch}-picture img")).to_be_visible()

    page.locator("#words-high-text").get_by_role("button", name="wall", exact=True).click()
    expect(page.locator("#words-high-word input")).to_have_value(
        re.compile(r"^wall · \d"), timeout=WAIT_MS
    )
    picture = page.locator("#words-high-picture img")
    expect(picture).to_have_attribute("alt", re.compile("“wall”"))
    expect(page.locator("#words-high-about")).to_contain_text("“wall” gets")
    expect(page.locator("#words-low-about")).to_contain_text("“Blurry” gets")
    before = picture.get_attribute("src")
    page.get_by_label(said.ONE_SCALE).click()
    expect(picture).not_to_have_attribute("src", before)
    expect(page.locator("#words-caution")).to_contain_text("Attention is not effect")
    page.reload()
    expect(page.locator("#prompt-meter")).to_contain_text("of 75", timeout=WAIT_MS)
    page.get_by_role("tab", name=said.TAB).click()
    expect(status).to_contain_text(said.SAME)
    expect(page.locator("#words-high-picture img")).to_be_visible()
    page.locator("#words-ablate").click()
    expect(page.locator("#ablate-plan input")).to_have_value(re.compile("^words"))
    expect(page.locator("#ablate-source input")).to_have_value(re.compile("garden"))
    expect(page.locator("#ablate-parts")).to_contain_text("Blurry")
