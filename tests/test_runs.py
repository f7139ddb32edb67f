"""Finished runs on the page, while others are made: the strip, scores, what stands on the left."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import gradio as gr
import numpy as np
import pytest
from made_runs import keep_run, make_recipe
from PIL import Image

from studio import words as page_words
from studio.form import fill_form
from studio.models.engine import Engine, EngineOptions
from studio.models.waiting import sign
from studio.restore import words
from studio.restore.actions import Actions
from studio.restore.runs import RunActions
from studio.restore.showing import BICUBIC, PINNED, RESULT
from studio.results import scores
from studio.results.outputs import Outputs, Run
from studio.results.scores import Row
from studio.results.shelf import Shelf
from studio.services import Services
from studio.texts import NOTHING_BROUGHT
from studio.visit import Visit
from xpsr.metrics import Score
from xpsr.pipeline import Restored
from xpsr.prompts import Prompts
from xpsr.sampling import TileDone
from xpsr.settings import Settings


@pytest.fixture
def outputs(tmp_path) -> Outputs:
    return Outputs(tmp_path / "outputs", Shelf())


@pytest.fixture
def services(outputs) -> Services:
    return Services(Engine(EngineOptions()), outputs)


@pytest.fixture
def runs(services) -> RunActions:
    return RunActions(services)


def named(values: tuple) -> dict[str, Any]:
    """What a handler changes, by the names of the components."""
    return {name: value for name, value in zip(RESULT, values, strict=True) if value != gr.skip()}


def click(strip: dict, index: int) -> Any:
    """As the browser tells of a click: the place, and the picture as it was sent."""
    path, caption = strip["value"][index]
    value = {"image": {"path": path, "url": f"/gradio_api/file={path}"}, "caption": caption}
    return gr.SelectData(None, {"index": index, "value": value})


def make(outputs: Outputs, picture, count: int) -> tuple[list[Run], Visit]:
    made = [keep_run(outputs, picture(24, 16), shade) for shade in range(count)]
    return made, Visit([run.id for run in made], shown=made[-1].id)


def test_a_click_opens_what_was_clicked_whatever_has_been_made_since(runs, outputs, picture):
    (first, second), visit = make(outputs, picture, 2)
    strip = runs.face.strip(visit)
    visit.add_cell(keep_run(outputs, picture(24, 16), 9).id)  # by an ablation
    opened = named(runs.open(click(strip, 0), visit, BICUBIC))
    assert visit.shown == second.id and "Result 2 of garden" in opened["status"]
    assert "Recipes brings those of this result" in opened["status"]
    assert opened["download"]["value"] == str(second.after)
    assert len(opened["strip"]["value"]) == 3
    visit.runs.remove(first.id)  # pushed out by newer ones
    opened = named(runs.open(click(strip, 1), visit, BICUBIC))
    assert visit.shown == first.id and "Result of garden" in opened["status"]


def test_a_click_on_what_was_removed_says_so_and_it_leaves_the_strip(runs, outputs, picture):
    (_first, second), visit = make(outputs, picture, 2)
    strip = runs.face.strip(visit)
    outputs.limit = 1
    outputs.tidy(spare={second.id})
    told = named(runs.open(click(strip, 1), visit, BICUBIC))
    assert page_words.RUN_GONE in told["status"] and visit.shown == second.id
    assert [path for path, _ in told["strip"]["value"]] == [str(second.thumb)]
    assert named(runs.open(click(strip, 0), visit, BICUBIC)) and visit.shown == second.id
    for made_up in (None, {"image": None}, {"image": {"path": "/etc/passwd"}}):
        told = named(runs.open(SimpleNamespace(index=0, value=made_up), visit, BICUBIC))
        assert page_words.RUN_GONE in told["status"]


@pytest.fixture
def figures(monkeypatch) -> dict[str, float]:
    """The scores that are computed, by name; filled by a test."""
    found: dict[str, float] = {}
    monkeypatch.setattr(scores, "shown_metrics", lambda *_, **__: list(found))
    monkeypatch.setattr(
        scores,
        "compare",
        lambda before, after, names, true=None: [
            Row(name, Score(1.0), Score(found[name])) for name in names
        ],
    )
    return found


def test_scores_are_shown_with_the_result_they_belong_to(runs, outputs, picture, figures):
    (first, second), visit = make(outputs, picture, 2)
    figures["piqe"] = 77.77
    scoring = runs.score_more(visit, [], None)
    next(scoring)
    runs.open(click(runs.face.strip(visit), 1), visit, BICUBIC)
    *_, (table, note) = scoring
    assert visit.shown == first.id and table == gr.skip() and words.SCORED_ANOTHER in note
    assert not outputs.find(first.id).rows
    opened = named(runs.open(click(runs.face.strip(visit), 0), visit, BICUBIC))
    assert visit.shown == second.id and "77.77" in opened["scores"]
    *_, (table, note) = runs.score_more(visit, [], None)
    assert "77.77" in table and words.SCORED in note


def test_scores_that_were_found_before_stop_stay(runs, outputs, picture, figures):
    (run,), visit = make(outputs, picture, 1)
    figures.update({"piqe": 33.33, "ssim": 0.8})
    scoring = runs.score_more(visit, [], None)
    next(scoring)
    table, note = next(scoring)
    assert "33.33" in table and "2 of 2" in note
    scoring.close()
    assert [row.name for row in outputs.find(run.id).rows] == ["piqe"]


def test_further_scores_leave_the_earlier_ones(runs, outputs, picture, figures):
    (run,), visit = make(outputs, picture, 1)
    for found in ({"piqe": 11.11, "ssim": 0.9}, {"piqe": 22.22}):
        figures.clear()
        figures.update(found)
        *_, (table, _) = runs.score_more(visit, [], None)
    assert "22.22" in table and "0.9" in table and "11.11" not in table
    kept = {row.name: row.after.value for row in outputs.find(run.id).rows}
    assert kept == {"piqe": 22.22, "ssim": 0.9}


def restoring(services: Services, picture, tmp_path, visit: Visit, against: str = BICUBIC) -> Any:
    """A run whose model has one step and gives what it was given, enlarged."""
    actions, path = Actions(services), tmp_path / "garden.png"
    (before := picture(24, 16)).save(path)
    after = before.resize((48, 32))
    restored = Restored(after, make_recipe(before, after), 1.5, ())
    services.engine.stream = lambda *_, **__: iter([restored])  # pyright: ignore
    form = fill_form(Prompts(), Settings())
    given = {"path": str(path), "orig_name": path.name}
    return actions.restore(given, visit, against, "official", (), NOTHING_BROUGHT, *form)


def test_a_model_that_another_page_has_changed_is_told_before_the_run(
    services, picture, tmp_path, figures
):
    visit = Visit()
    visit.model = "owner/name"
    (last,) = restoring(services, picture, tmp_path, visit)
    said = named(last)["status"]
    assert "mini is in use now" in said and "those for owner/name" in said and not visit.runs
    assert visit.model == "owner/name"  # a reload must not take these settings for those of mini
    list(restoring(services, picture, tmp_path, visit))  # pressed once more
    assert len(visit.runs) == 1 and visit.model == "mini"


def test_a_preset_chosen_for_the_model_of_another_page_is_not_asked_about(
    services, picture, tmp_path, figures
):
    visit = Visit()
    visit.model = "owner/name"
    form = fill_form(Prompts(), Settings())
    Actions(services).choose_preset("mini", visit, NOTHING_BROUGHT, *form)
    assert visit.model == "mini"
    list(restoring(services, picture, tmp_path, visit))
    assert len(visit.runs) == 1


def test_a_run_that_ends_under_another_result_leaves_it_alone(
    runs, services, outputs, picture, tmp_path, figures
):
    (first,), visit = make(outputs, picture, 1)
    figures["piqe"] = 77.77
    going = restoring(services, picture, tmp_path, visit)
    while words.SCORING not in (told := named(next(going))).get("status", ""):
        pass
    runs.open(click(told["strip"], 1), visit, BICUBIC)
    *_, last = going
    last = named(last)
    assert visit.shown == first.id and not {"status", "scores", "download"} & set(last)
    assert last["restore"]["interactive"] and not last["stop"]["interactive"]
    assert [row.after.value for row in outputs.find(visit.runs[1]).rows] == [77.77]


@pytest.mark.parametrize("unpinned", [False, True])
def test_what_is_chosen_for_the_left_during_a_run_holds_at_its_end(
    runs, services, outputs, picture, tmp_path, figures, unpinned
):
    (first,), visit = make(outputs, picture, 1)
    runs.pin(visit, BICUBIC)
    began = restoring(services, picture, tmp_path, visit, PINNED if unpinned else BICUBIC)
    next(began)
    if unpinned:
        runs.pin(visit, PINNED)
        runs.pin(visit, BICUBIC)  # and another time: the choice stands at the picture then
    else:
        runs.compare_with(visit, PINNED)
    while words.SCORING not in (told := named(next(began))).get("status", ""):
        pass
    left, _ = told["comparison"]["value"]
    run = outputs.find(visit.shown)
    assert left == str(run.before if unpinned else first.after)


def test_another_place_leaves_the_map_of_the_differences_alone(runs, outputs, picture):
    (first, second), visit = make(outputs, picture, 2)
    assert runs.draw(False, visit, BICUBIC, 4) == gr.skip()  # folded away
    overview, before, after = runs.look(True, visit, BICUBIC, 90, 90, 1)
    assert overview.size == after.size == before["value"].size == (48, 32)
    with Image.open(runs.draw(True, visit, BICUBIC, 4)) as image, Image.open(second.before) as left:
        found = np.asarray(image).astype(int)
        with Image.open(second.after) as right:
            apart = abs(np.asarray(right.convert("RGB")).astype(int) - np.asarray(left))
    assert (found == np.minimum(4 * apart, 255)).all()
    visit.pinned = first.id
    with Image.open(runs.draw(True, visit, PINNED, 4)) as image:
        assert image.getpixel((5, 5)) == (4, 4, 4)


def test_a_picture_that_is_prepared_tells_when_the_steps_begin():
    def prepared(seconds):
        return sign(TileDone(-1, 20, 3, 42, seconds_to_first_step=seconds))

    assert prepared(61.8) == "Getting ready, tile 3 of 42 · about 62 s to the first step"
    assert prepared(0.2) == prepared(None) == "Getting ready, tile 3 of 42"
    assert sign(TileDone(0, 20, 3, 42, 61.8)) == "Step 1 of 20, tile 3 of 42 · about 62 s left"
