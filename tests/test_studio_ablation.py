"""The tab for ablations without a browser: what is asked, what it costs, Stop and resume."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
from made_runs import keep_run
from PIL import Image

from studio import visit as visit_module
from studio.ablate import words
from studio.ablate.asked import ASKED
from studio.ablate.memory import KEPT, keep, recall
from studio.ablate.question import SEEN, QuestionActions
from studio.ablate.running import RUNNING, RunningActions
from studio.ablate.study import Study
from studio.form import fill_form
from studio.models.engine import Engine, EngineOptions
from studio.restore.showing import Face
from studio.results.outputs import Outputs
from studio.results.shelf import Shelf
from studio.services import Services
from studio.texts import NOTHING_BROUGHT
from studio.visit import Visit
from studio.words import REFUSED, STOPPING, UNEXPECTED
from xpsr.ablation.statistics import change_by_seed
from xpsr.prompts import Prompts
from xpsr.recipe import read_recipe
from xpsr.settings import Settings

PROMPTS = Prompts(prompt="A cat. A dog.", lowlevel_prompt="Blurry.")
SETTINGS = Settings(num_inference_steps=1, upscale=2, process_size=0, scheduler="ddim")

pytestmark = pytest.mark.usefixtures("one_thread")


class Actions(RunningActions, QuestionActions):
    """Both halves of the tab."""


@pytest.fixture
def actions(tiny_pipeline, tmp_path: Path) -> Actions:
    engine = Engine(EngineOptions())
    engine._pipeline = tiny_pipeline
    services = Services(engine, Outputs(tmp_path / "outputs", Shelf()))
    return Actions(services)


@pytest.fixture
def ask(picture, tmp_path: Path):
    """The arguments of a handler, with some changed."""
    photo = tmp_path / "garden.png"
    picture(24, 20).save(photo)
    always = {"study": Study(), "visit": Visit(), "written": NOTHING_BROUGHT}

    def make(**changes: Any) -> list[Any]:
        usual = {
            **always,
            "source": "form",
            "picture": {"path": str(photo), "orig_name": "<b>garden.png"},
            "preset": "official",
            "learned": [],
            "plan": "levels",
            "seeds": 2,
        }
        form = changes.pop("form", fill_form(PROMPTS, SETTINGS))
        given = {**usual, **changes}
        return [*(given.get(name) for name in ASKED), *form]

    return make


def named(names: tuple[str, ...], values: tuple) -> dict[str, Any]:
    return dict(zip(names, values, strict=True))


def texts_of(values: list[tuple], name: str) -> list[str]:
    found = [value[RUNNING.index(name)] for value in values]
    return [one for one in found if isinstance(one, str)]


def test_parts_are_listed_and_the_unticked_ones_stay(actions, ask) -> None:
    seen = named(SEEN, actions.look(*ask(plan="sentences")))
    labels = [label for label, _ in seen["parts"]["choices"]]
    assert labels == [
        "content sentence 1: A cat.",
        "content sentence 2: A dog.",
        "quality sentence 1: Blurry.",
    ]
    assert seen["parts"]["value"] == [0, 1, 2] and "8 cells" in seen["cost"]
    fewer = named(SEEN, actions.count(*ask(plan="sentences", parts=[1])))
    assert "4 cells" in fewer["cost"] and "only 2 seeds" in fewer["cost"]
    none = named(SEEN, actions.count(*ask(plan="sentences", parts=[])))
    assert "tick at least one" in none["cost"] and none["start"]["interactive"] is False


def test_an_answer_about_an_earlier_plan_that_comes_last_is_mended(actions, ask) -> None:
    study = Study()
    actions.choose("sentences", *ask(study=study))
    actions.look(*ask(plan="levels", study=study))  # asked before, and answered behind it
    now = ask(plan="sentences", parts=[], study=study)  # what the page shows then
    mended = named(SEEN, actions.measured(*now))
    assert mended["parts"]["value"] == [0, 1, 2] and mended["start"]["interactive"]
    unticked = named(SEEN, actions.count(*now))
    assert "tick at least one" in unticked["cost"]


def test_a_model_of_one_text_does_not_run_for_the_other_one(actions, ask, tiny_seesr) -> None:
    engine = actions.services.engine
    engine._pipeline = tiny_seesr
    levels = named(SEEN, actions.count(*ask()))
    assert "4 cells" in levels["cost"] and "so are 2 variants" in levels["cost"]
    parts = named(SEEN, actions.look(*ask(plan="sentences")))
    assert len(parts["parts"]["choices"]) == 3 and parts["parts"]["value"] == [0, 1]
    assert "6 cells" in parts["cost"] and "1 variant" not in parts["cost"]
    swap = named(SEEN, actions.count(*ask(plan="swap")))
    assert "comes to a single run" in swap["cost"] and not swap["start"]["interactive"]
    *_, done = actions.run(*ask())
    assert "Done: all 4 cells" in named(RUNNING, done)["status"]
    in_content = fill_form(PROMPTS, SETTINGS.changed(lowlevel_route="content"))
    assert "8 cells" in named(SEEN, actions.count(*ask(form=in_content)))["cost"]
    parts = named(SEEN, actions.look(*ask(plan="sentences", form=in_content)))
    assert parts["parts"]["value"] == [0, 1, 2]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"picture": None}, words.NO_PICTURE),
        ({"plan": "guidance", "values": "1, high"}, "write numbers"),
        ({"plan": "grid", "axis": "upscale", "axis_values": "2,x"}, "no number"),
        ({"plan": "csv"}, "needs a CSV file"),
        ({"seeds": None}, "must be at least 1"),
        ({"plan": "beauty"}, "no plan"),
        ({"source": "../../secret"}, "no longer there"),
        ({"plan": "steps", "values": ",".join(map(str, range(1, 111)))}, "at most 200"),
        ({"form": fill_form(Prompts(added_prompt=""), SETTINGS)}, "Both texts are empty"),
    ],
)
def test_what_cannot_be_done_is_said_and_not_started(actions, ask, changes, sentence) -> None:
    seen = named(SEEN, actions.count(*ask(**changes)))
    assert sentence in seen["cost"] and seen["start"]["interactive"] is False
    (ended,) = actions.run(*ask(**changes))
    ended = named(RUNNING, ended)
    assert sentence in ended["status"] and ended["start"]["interactive"] is True


def test_settings_for_a_model_that_another_page_has_changed_are_not_taken_unasked(
    actions, ask
) -> None:
    given = ask()
    study, visit = given[ASKED.index("study")], given[ASKED.index("visit")]
    visit.model = "owner/name"
    (ended,) = actions.run(*given)
    ended = named(RUNNING, ended)
    assert "those for owner/name" in ended["status"] and ended["start"]["interactive"] is True
    assert study.plan is None and not visit.runs
    next(actions.run(*given))
    assert study.plan is not None


def test_cost_is_measured_once_and_said_before_the_start(actions, ask) -> None:
    assert "is measured when" in named(SEEN, actions.count(*ask()))["cost"]
    assert len(list(actions.measure(*ask()))) > 1
    seen = named(SEEN, actions.measured(*ask(seeds=4)))  # others than when the timing began
    assert "16 cells: about" in seen["cost"] and "a step, measured" in seen["cost"]
    assert seen["start"]["interactive"] is True
    assert len(list(actions.measure(*ask()))) == 1  # known now


def test_why_a_step_cannot_be_timed_stays_on_the_page(actions, ask, monkeypatch) -> None:
    monkeypatch.setattr(actions.services.engine, "pipeline", lambda: 1 / 0)
    *_, cost = actions.measure(*ask())
    assert UNEXPECTED in cost
    assert named(SEEN, actions.measured(*ask()))["cost"] == gr.skip()


def test_stop_keeps_what_is_finished_and_start_goes_on(actions, ask) -> None:
    given = ask()
    study, visit = given[ASKED.index("study")], given[ASKED.index("visit")]
    going = actions.run(*given)
    shown = []
    actions.begin(study)
    last = f"step {SETTINGS.num_inference_steps} of {SETTINGS.num_inference_steps}"
    while not re.search(f"Cell 3 of 8.*{last}", "".join(texts_of(shown[-1:], "status"))):
        shown.append(next(going))
    assert "Cell 1 of 8" in texts_of(shown, "status")[0]
    assert STOPPING in named(RUNNING, actions.stop(study))["status"] and len(study.results) == 2
    next(going)  # the step it was in was the last one of a cell
    assert named(RUNNING, actions.let_go(study))["start"] == gr.skip()  # it is still at work
    going.close()
    ended = named(RUNNING, actions.failed(study))
    assert "3 of 8 cells are finished" in ended["status"] and ended["start"]["interactive"]
    assert named(SEEN, actions.count(*given))["status"] == ended["status"]
    assert Path(ended["report"]["value"]).is_file() and Path(ended["archive"]["value"]).is_file()
    assert len(visit.runs) == 3
    actions.begin(study)
    assert REFUSED in named(RUNNING, actions.failed(study))["status"]
    actions.begin(study)
    actions.stop(study)
    assert "3 of 8" in named(RUNNING, actions.let_go(study))["status"]
    *_, late = actions.run(*given)  # it comes all the same
    assert "Stopped" in named(RUNNING, late)["status"] and len(visit.runs) == 3
    actions.begin(study)
    again = list(actions.run(*given))
    assert [one.origin for one in study.results] == ["resumed"] * 3 + ["computed"] * 5
    assert "Done: all 8 cells" in named(RUNNING, again[-1])["status"]
    # Every cell is a run like any other.
    runs = actions.outputs.found(visit.runs)
    assert len(runs) == 8 and all(run.rows for run in runs)
    assert {read_recipe(run.after).settings.seed for run in runs} == {0, 1}
    assert "<b>garden" not in texts_of(again, "grid")[-1]
    assert "both levels" in texts_of(again, "grid")[-1]
    said = texts_of(again, "effects")[-1]
    assert "noise floor" in said
    by_seed = re.findall(r"another seed alone changes the picture by ([\d.]+)\.", said)
    assert float(by_seed[0]) == pytest.approx(change_by_seed(study.results), rel=0.01)


def test_more_cells_than_a_visit_has_results_are_all_found_again(actions, ask, monkeypatch) -> None:
    """The strip holds the last hundred results; an ablation goes on from every cell of its own."""
    monkeypatch.setattr(visit_module, "MAX_RUNS", 3)
    given = ask()
    visit = given[ASKED.index("visit")]
    list(actions.run(*given))
    assert (len(visit.runs), len(visit.cells)) == (3, 8)
    # As a reloaded page has it: what the browser remembers, and nothing else.
    again = Visit(visit.runs)
    again.cells = list(visit.cells)
    other = ask(study=Study(), visit=again)
    assert "8 cells, all finished before" in named(SEEN, actions.count(*other))["cost"]
    list(actions.run(*other))
    assert {one.origin for one in other[ASKED.index("study")].results} == {"resumed"}


def test_another_visitor_gets_a_turn_between_two_cells_and_waiting_can_be_stopped(
    actions, ask, picture
) -> None:
    given = ask()
    study = given[ASKED.index("study")]
    going = actions.run(*given)
    while not study.results:
        next(going)
    # Between two cells the model is free for somebody else …
    other = actions.engine.stream(picture(24, 20), PROMPTS, SETTINGS)
    assert hasattr(next(other), "predicted")
    # … and while that one has it, the ablation only says that it goes on, and can be closed.
    for _ in range(3):
        next(going)
    assert len(study.results) == 1
    going.close()
    assert any(hasattr(item, "recipe") for item in other)


def test_another_model_ends_it_and_starts_anew(actions, ask, monkeypatch) -> None:
    """Results of two models never meet in one table; what is finished stays."""
    given = ask()
    study, visit = given[ASKED.index("study")], given[ASKED.index("visit")]
    going = actions.run(*given)
    while len(study.results) < 2:
        next(going)
    other = copy.copy(actions.engine.pipeline())
    own = {**other.surroundings(), "model": "other"}
    monkeypatch.setattr(other, "surroundings", lambda: own)
    actions.engine._pipeline = other
    *_, last = going
    last = named(RUNNING, last)
    assert words.MODEL_CHANGED in last["status"] and last["start"]["interactive"] is True
    assert len(visit.runs) == 2
    list(actions.run(*given))
    assert {one.origin for one in study.results} == {"computed"} and len(study.results) == 8


def test_two_visitors_at_once_take_turns_and_see_nothing_of_each_other(actions, ask) -> None:
    both = [ask(), ask(study=Study(), visit=Visit(), picture=None)]
    both[1][ASKED.index("picture")] = both[0][ASKED.index("picture")]  # and of the same picture
    studies, visits = ([given[ASKED.index(name)] for given in both] for name in ("study", "visit"))
    going = [actions.run(*given) for given in both]
    while going:
        for one in list(going):
            if next(one, None) is None:
                going.remove(one)
        assert abs(len(studies[0].results) - len(studies[1].results)) <= 2  # nobody has to wait
    assert [len(study.results) for study in studies] == [8, 8]
    assert {one.origin for study in studies for one in study.results} == {"computed"}
    pixels = [[one.recipe.output_sha256 for one in study.results] for study in studies]
    assert pixels[0] == pixels[1]
    assert not set(visits[0].runs) & set(visits[1].runs)


def test_both_levels_have_the_pixels_of_a_normal_run(actions, ask, picture) -> None:
    given = ask(seeds=1)
    list(actions.run(*given))
    study = given[ASKED.index("study")]
    *_, alone = actions.engine.stream(picture(24, 20), PROMPTS, SETTINGS)
    run = actions.outputs.find(study.runs[0, 0])
    assert run.recipe.output_sha256 == alone.recipe.output_sha256
    with Image.open(run.after) as after:
        assert run.recipe.is_output(after.convert("RGB"))


def test_a_press_opens_the_pair_in_compare(actions, ask) -> None:
    given = ask(plan="swap", seeds=1)
    study = given[ASKED.index("study")]
    empty = actions.open(study, SimpleNamespace(variant="1", seed=""))
    assert words.CELL_GONE in empty[2]
    list(actions.run(*given))
    for pressed, pair in (((2, ""), (0, 2)), ((1, "0"), (0, 1)), ((0, "0"), (0, 1))):
        event = SimpleNamespace(variant=str(pressed[0]), seed=pressed[1])
        _, chosen, _ = actions.open(study, event)
        assert chosen[:2] == tuple(study.runs[variant, 0] for variant in pair)
    bad = actions.open(study, SimpleNamespace(variant="9", seed="x"))
    assert "alert" in bad[2]


def test_a_finished_run_can_be_taken_apart(actions, ask) -> None:
    given = ask(seeds=1)
    visit = given[ASKED.index("visit")]
    list(actions.run(*given))
    other = ask(source=visit.runs[0], picture=None, plan="sentences", visit=visit)
    seen = named(SEEN, actions.look(*other))
    assert len(seen["parts"]["choices"]) == 3 and visit.runs[0] in {
        value: label for label, value in seen["source"]["choices"]
    }


def test_a_result_has_one_number_wherever_it_is_offered(actions, ask, picture) -> None:
    runs = [keep_run(actions.outputs, picture(24, 20), shade) for shade in range(3)]
    visit = Visit([runs[0].id, "20200101-000000-" + 22 * "x", *(run.id for run in runs[1:])])
    seen = named(SEEN, actions.look(*ask(visit=visit)))
    _, *offered = [label for label, _ in seen["source"]["choices"]]
    assert [label.split(" · ")[0] for label in offered] == ["4", "3", "1"]
    strip = Face(actions.outputs).strip(visit)["value"]
    assert [caption for _, caption in strip] == ["4", "3", "1"]


def test_what_is_said_of_an_ablation_fits_the_plan_in_the_form(actions, ask) -> None:
    asked = ask(seeds=1)
    study = asked[ASKED.index("study")]
    steps = actions.run(*asked)
    next(steps)
    during = named(SEEN, actions.count(*ask(seeds=2)))
    assert "cells" in during["cost"] and during["start"] == during["status"] == gr.skip()
    *_, last = steps
    done = named(RUNNING, last)["status"]
    assert named(SEEN, actions.look(*asked))["status"] == done
    other = named(SEEN, actions.look(*ask(plan="swap", seeds=1)))
    assert "the ablation before (“levels”)" in other["status"]
    assert named(SEEN, actions.count(*asked))["status"] == done  # and back again
    assert "all finished before" in named(SEEN, actions.count(*asked))["cost"]
    assert not study.job.is_under_way


def test_plan_and_progress_are_found_again(actions, ask) -> None:
    asked = ask(seeds=2)
    study, fields = asked[ASKED.index("study")], dict(zip(ASKED, asked, strict=False))
    chosen = {**fields, "plan": "levels", "axis": "upscale", "axis_values": "1,2", "second": ""}
    steps = actions.run(*asked)
    while len(study.runs) < 3:
        next(steps)
    steps.close()
    kept = json.loads(json.dumps(keep(study, *(chosen[name] for name in KEPT))))
    assert not any("png" in str(value) for value in kept.values())
    again = Study()
    *values, status = recall(kept, again)
    assert values == [chosen[name] for name in KEPT]
    assert "Your last ablation (“levels”): 3 of 8 cells are finished" in status
    assert keep(again, *values)["finished"] == 3  # a second reload tells the same
    assert recall(kept, again) == gr.skip()  # it is not done twice
    for hostile in ({**kept, "plan": "beauty"}, {**kept, "seeds": 99}, [1], "x", {"version": 2}):
        assert recall(hostile, Study()) == gr.skip()
