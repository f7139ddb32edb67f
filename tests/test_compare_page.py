"""Two runs beside each other: what the Compare tab says of them."""

from __future__ import annotations

import re

import gradio as gr
import pytest
from made_runs import keep_run
from PIL import Image

from studio.compare import words as words_compare
from studio.compare.actions import NO_PAIR, VIEW, Compare
from studio.models.engine import Engine, EngineOptions
from studio.results import changes_markup, words
from studio.results.difference import change_size, open_rgb
from studio.results.outputs import Outputs
from studio.results.run_list import offered, preset_of
from studio.results.shelf import Shelf
from studio.services import Services
from studio.visit import Visit
from xpsr.prompts import PROMPT_NAMES, Prompts
from xpsr.recipe import Versions
from xpsr.settings import PRESETS, Settings


@pytest.fixture
def outputs(tmp_path) -> Outputs:
    return Outputs(tmp_path / "outputs", Shelf())


@pytest.fixture
def compare(outputs) -> Compare:
    return Compare(Services(Engine(EngineOptions()), outputs))


def seen(values: tuple) -> dict:
    return dict(zip(VIEW, values, strict=True))


def test_only_what_changed_is_told(compare, outputs, picture):
    before = picture(24, 16)
    a = keep_run(outputs, before, prompts=Prompts(prompt="A red garden.", lowlevel_prompt="Soft."))
    b = keep_run(
        outputs,
        before,
        shade=12,
        prompts=Prompts(prompt="A <b>blue</b> garden.", lowlevel_prompt="Soft."),
        settings=Settings(seed=5, start="noise"),
        versions=Versions.here().model_copy(update={"torch": "9.9"}),
    )
    view = seen(compare.swap((b.id, a.id), Visit([a.id, b.id])))
    assert view["pair"] == (a.id, b.id)
    assert "<del>red </del>" in view["texts"] and "&lt;b&gt;" in view["texts"]
    assert "<b>" not in view["texts"] and view["texts"].count("<section>") == 1
    assert "“What is wrong with it”" in view["texts"]
    rows = view["settings"]
    for said in ("Seed", "noise alone", "Version of torch", "9.9"):
        assert said in rows
    assert "Steps" not in rows and "Model" not in rows
    assert view["slider"]["value"] == (str(a.after), str(b.after))
    assert view["start"]["interactive"]
    assert re.search(r"1[12]\.\d\d of 255 grey levels", compare.measure((a.id, b.id)))


def test_the_map_is_drawn_when_it_is_looked_at(compare, outputs, picture):
    a, b = (keep_run(outputs, picture(24, 16), shade) for shade in (0, 12))
    view = seen(compare.swap((b.id, a.id), Visit([a.id, b.id])))
    assert view["map"] is None and compare.draw(view["pair"], 8, False) == gr.skip()
    with Image.open(compare.draw(view["pair"], 8, True)) as image:
        assert image.getpixel((5, 5)) == (96, 96, 96)  # 12 levels brighter, eight times as strong
    other = keep_run(outputs, picture(24, 16), upscale=3)
    assert compare.draw((a.id, other.id), 8, True) == gr.skip()
    assert compare.draw(NO_PAIR, 8, True) == gr.skip()


def test_another_input_or_size_is_said(compare, outputs, picture):
    a = keep_run(outputs, picture(24, 16))
    b = keep_run(outputs, picture(16, 24), upscale=3)
    view = seen(compare.swap((b.id, a.id), Visit([a.id, b.id])))
    assert words_compare.OTHER_INPUT in view["note"]
    assert "A has 48 × 32 pixels and B 48 × 72" in view["note"]
    assert not view["over"]["visible"] and view["beside"]["visible"]
    assert (view["side_a"], view["side_b"]) == (str(a.after), str(b.after))
    assert not view["start"]["interactive"]
    assert compare.measure((a.id, b.id)) == ""
    same = seen(compare.swap((a.id, a.id), Visit([a.id])))
    assert words_compare.SAME_RUN in same["note"]


def test_the_first_pair_and_pairs_from_elsewhere(compare, outputs, picture):
    runs = [keep_run(outputs, picture(24, 16), shade) for shade in range(4)]
    visit = Visit([run.id for run in runs])
    view = seen(compare.enter(visit, NO_PAIR, None, None))
    assert view["pair"] == (runs[2].id, runs[3].id)
    assert view["strip_a"] == view["strip_b"] | {"selected_index": 1}
    assert view["strip_a"] is not view["strip_b"]  # Gradio takes them apart
    visit.pinned = runs[0].id
    assert seen(compare.enter(visit, NO_PAIR, None, None))["pair"] == (runs[0].id, runs[3].id)
    for number in range(3):  # single results, as of a batch: the pair of one picture says more
        visit.add(keep_run(outputs, picture(30 + number, 16)).id)
    assert seen(compare.enter(visit, NO_PAIR, None, None))["pair"] == (runs[0].id, runs[3].id)
    del visit.runs[4:]
    pair, asked = (runs[2].id, runs[3].id), (runs[1].id, runs[0].id, "anew")
    for event in ("the tab opens", "somebody asks"):  # in whichever order they come
        view = seen(compare.enter(visit, pair, asked, None))
        assert (view["pair"], view["taken"]) == (asked[:2], asked), event
    assert seen(compare.enter(visit, pair, asked, asked))["pair"] == pair
    gone = seen(compare.swap(("no such run", runs[0].id), visit))
    assert "no longer there" in gone["note"]
    labels = list(offered(outputs, visit))
    assert (labels[0], labels[3]) == ("4 · garden · seed 0", "1 · garden · seed 0 · pinned")
    empty = seen(compare.enter(Visit(), NO_PAIR, None, None))
    assert words_compare.NONE_CHOSEN in empty["note"]


def test_only_a_pair_that_the_visitor_chose_outlasts_newer_results(compare, outputs, picture):
    runs = [keep_run(outputs, picture(24, 16), shade) for shade in range(4)]
    visit = Visit([run.id for run in runs[:2]])
    view = seen(compare.enter(visit, NO_PAIR, None, None, NO_PAIR))
    visit.add(runs[2].id)
    view = seen(compare.enter(visit, view["pair"], None, None, view["first"]))
    assert view["pair"] == (runs[1].id, runs[2].id)
    view = seen(compare.swap(view["pair"], visit))
    visit.add(runs[3].id)
    view = seen(compare.enter(visit, view["pair"], None, None, view["first"]))
    assert view["pair"] == (runs[2].id, runs[1].id)


def test_how_far_two_pictures_are_apart(tmp_path):
    one = Image.new("RGB", (40, 40), (10, 20, 30))
    path = tmp_path / "one.png"
    one.save(path)
    same = change_size(open_rgb(path), one)
    assert (same.grey_levels, same.gmsd.value) == (0.0, pytest.approx(0.0, abs=1e-6))
    assert change_size(one, Image.new("RGB", (40, 40), (13, 20, 30))).grey_levels == 1.0


@pytest.mark.parametrize("name", PROMPT_NAMES)
def test_texts_of_recipes_stay_text(name):
    hostile = "<img src=x onerror=alert(1)> \"'&"
    told = changes_markup.texts(Prompts(**{name: "calm"}), Prompts(**{name: hostile}), "m")
    assert "<img" not in told and "&lt;img" in told
    same = Prompts(**{name: hostile})
    assert changes_markup.texts(same, same, "m").count(words.TEXTS_SAME) == 1


def test_presets_are_recognised_whatever_the_seed():
    for name, settings in PRESETS.items():
        assert preset_of(settings.changed(seed=9, upscale=2)) == name
    assert preset_of(Settings(num_inference_steps=21)) is None
