"""What is tied to what on the page, as `gr.Blocks` knows it: neither a browser nor a model."""

from __future__ import annotations

import inspect
import json
from collections import Counter
from typing import Any

import gradio as gr
import pytest

from studio import words as page_words
from studio.build import Where, build, serving
from studio.filling import fill
from studio.form import FORM, fill_form, read_form
from studio.models.choice import Permission
from studio.models.engine import Engine, EngineOptions
from studio.restore import words
from studio.restore.fitting import Fitting
from studio.theme import CSS
from studio.triggers import bring_into_view
from studio.visit import Picture, Visit
from xpsr.errors import XPSRError
from xpsr.prompts import Prompts
from xpsr.settings import Settings


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> gr.Blocks:
    return build(Engine(EngineOptions()), Where(str(tmp_path_factory.mktemp("outputs"))))


def events(demo: gr.Blocks, handler: str) -> list[Any]:
    """The events that call a handler, by its qualified name."""
    return [one for one in demo.fns.values() if getattr(one.fn, "__qualname__", "") == handler]


def behind(demo: gr.Blocks, handler: str) -> set[str]:
    """The handlers that are called after another one."""
    ids = {one._id for one in events(demo, handler)}
    return {
        getattr(one.fn, "__qualname__", "") for one in demo.fns.values() if one.trigger_after in ids
    }


def causes(demo: gr.Blocks, handler: str) -> set[tuple[str | None, str]]:
    """What a visitor does before a handler is called: id of the component, and event."""
    called = events(demo, handler)
    before = [demo.fns[one.trigger_after] for one in called if one.trigger_after is not None]
    targets = [target for one in (*called, *before) for target in one.targets]
    return {(demo.blocks[number].elem_id, event) for number, event in targets if number}


def test_an_error_that_nobody_but_gradio_tells_goes_through_its_queue(demo):
    """Of what passes the queue by, the browser gets it and shows nothing."""
    named = [one for one in demo.fns.values() if hasattr(one.fn, "__qualname__")]
    raising = [one for one in named if "plain_errors()" in inspect.getsource(one.fn)]
    names = {one.fn.__qualname__ for one in raising}
    assert {"RunActions.look", "RunActions.draw", "BlindVote.reveal", "BlindVote.resume"} <= names
    assert all(one.queue for one in raising)


def test_a_value_for_no_component_is_an_error():
    assert fill(("status", "stop"), stop=1) == (gr.skip(), 1)
    with pytest.raises(TypeError, match="stopp"):
        fill(("status", "stop"), stopp=1)


def test_no_two_events_wait_for_the_last_change_of_one_component(demo):
    """Once changes come fast, Gradio 6.31 lets them call each other without end."""
    waiting = Counter(
        target
        for one in demo.fns.values()
        if one.trigger_mode == "always_last"
        for target in one.targets
        if target[0] is not None and target[1] != "load"
    )
    assert waiting and max(waiting.values()) == 1


@pytest.mark.parametrize(
    "handler",
    ["MemoryActions.keep", "Actions.restore", "BatchActions.begin", "BatchActions.retry"],
)
def test_a_number_out_of_its_range_reaches_our_own_handler(demo, handler):
    found = events(demo, handler)
    assert found and not any(one.preprocess for one in found)


@pytest.mark.parametrize(
    "handler",
    ["receive", "clear", "choose_example", "begin", "restore", "failed", "stop"],
)
def test_the_browser_is_told_of_another_picture_and_of_a_run(demo, handler):
    assert behind(demo, f"Actions.{handler}") >= {"MemoryActions.keep"}


def test_who_has_to_wait_for_others_to_be_scored_is_told(demo):
    said = json.dumps(page_words.WAITING_TURN)[1:-1]
    (told,) = [one for one in demo.fns.values() if said in str(one.js)]
    assert {one.elem_id for one in told.outputs} == {"stop-scoring", "score-note"}


@pytest.mark.parametrize("end", ["run", "failed"])
def test_the_strip_shows_the_cells_of_an_ablation(demo, end):
    # … and the cost is that of what is left.
    assert behind(demo, f"RunningActions.{end}") >= {"Face.strip", "QuestionActions.count"}


@pytest.mark.parametrize("handler", ["receive", "clear", "choose_example"])
def test_whether_a_picture_can_be_enlarged_is_told_when_it_comes(demo, handler):
    assert behind(demo, f"Actions.{handler}") >= {"Fitting.check"}


def test_the_map_of_the_differences_is_made_for_another_run_or_gain_alone(demo):
    asked = {("closer", "expand"), ("closer-gain", "change"), ("comparison", "change")}
    assert causes(demo, "RunActions.draw") == asked
    assert ("closer", "expand") in causes(demo, "RunActions.look")


def test_seeds_are_counted_whoever_changed_them(demo):
    assert ("ablate-seeds", "change") in causes(demo, "QuestionActions.count")


def test_values_are_counted_also_where_they_are_pasted(demo):
    fields = ("ablate-values", "ablate-first-values", "ablate-second-values")
    assert {(field, "change") for field in fields} <= causes(demo, "QuestionActions.count")


def test_progress_is_shown_wherever_it_is_out_of_sight():
    looked = bring_into_view("#status")
    assert "bottom < 0" in looked and "top > innerHeight" in looked


def test_the_largest_upload_is_named():
    assert serving()["max_file_size"] == "100mb" and "100 MB" in words.PICTURE_DROP


def test_another_model_reads_the_texts_anew(tmp_path):
    mine = build(Engine(EngineOptions()), Where(str(tmp_path)), Permission(granted=True))
    assert "TextActions.read" in behind(mine, "FullActions.suit")


def test_a_built_in_preset_is_chosen_instead_of_ones_own(demo):
    page = {block.elem_id: number for number, block in demo.blocks.items() if block.elem_id}
    (cleared,) = (
        one
        for one in demo.fns.values()
        if (page["preset"], "input") in one.targets
        and [block.elem_id for block in one.outputs] == ["own-preset"]
    )
    assert cleared.fn() is None


def test_sliders_show_where_the_keyboard_is():
    assert "input[type=range]:focus-visible" in CSS


def test_values_are_named_as_on_the_page():
    form = fill_form(Prompts(), Settings())
    overlap, size = (FORM.index(name) for name in ("tile_overlap", "tile_size"))
    values = [*form[:size], 64, *form[size + 1 :]]
    with pytest.raises(XPSRError) as refused:
        read_form("official", values)
    assert f"“{words.OVERLAP}” is {form[overlap]}" in str(refused.value)
    assert f"“{words.TILE}”, which is 64" in str(refused.value)


def test_the_size_is_told_before_restore_and_why_it_is_too_large_in_the_words_of_the_page():
    visit, fitting = Visit(), Fitting(Engine(EngineOptions()))

    def said(**changes) -> str:
        settings = Settings.from_preset("mini").changed(**changes)
        above, beside, button = fitting.check(visit, "mini", *fill_form(Prompts(), settings))
        # Above the button it is told where to change that; beside the fields they are seen.
        assert words.SEE_ADVANCED in above or not visit.picture.size
        assert not beside or beside == above.replace(f" {words.SEE_ADVANCED}", "")
        # Where a smaller factor helps, a press chooses it.
        assert button["visible"] == ("can be" in above)
        if button["visible"]:
            assert button["value"] == words.enlarge(fitting.largest(visit))
        return above

    assert said(upscale=8) == ""  # no picture yet
    visit.bring(Picture("wide", "digest", "path", (4000, 3000)))
    assert "“Enlarge” can be 2 at most, or crop it" in said(upscale=8)
    assert fitting.largest(visit) == 2
    assert "Not enlarged: 4000 × 3000 pixels" in said(upscale=1)
    assert "Enlarged 2 times: 8000 × 6000 pixels" in said(upscale=2)
    visit.bring(Picture("thin", "digest", "path", (3000, 16)))
    assert "“Least working size, in pixels”" in said(upscale=1, process_size=4096)
    assert fitting.check(visit, "mini", *["x"] * len(FORM))[:2] == ("", "")
    fitting.engine = Engine(EngineOptions(most_work=1))
    assert "million pixels in 50 steps" in said(num_inference_steps=50, upscale=4)
