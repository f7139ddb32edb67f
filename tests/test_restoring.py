"""Restore on the page: stopped, refused, beside what is opened meanwhile, without a model yet."""

from __future__ import annotations

import asyncio
import time
from dataclasses import asdict

import gradio as gr
import pytest
from loops import all_of, in_a_loop
from made_runs import keep_run
from PIL import Image

from studio import words as page_words
from studio.models.engine import Engine, EngineOptions
from studio.restore import words
from studio.restore.actions import Actions
from studio.restore.runs import RunActions
from studio.restore.showing import RESULT
from studio.results.outputs import Outputs
from studio.results.shelf import Shelf
from studio.services import Services
from studio.texts import NOTHING_BROUGHT
from studio.visit import Picture, Visit
from xpsr.errors import XPSRError
from xpsr.prompts import PROMPT_NAMES
from xpsr.settings import SETTING_NAMES, Settings


@pytest.fixture
def engine(tiny_pipeline):
    engine = Engine(EngineOptions())
    engine.use(tiny_pipeline, engine.options)
    return engine


def test_a_run_that_was_stopped_before_its_first_step_is_not_called_refused(engine, tmp_path):
    actions = Actions(Services(engine, Outputs(tmp_path / "outputs", Shelf())))
    path = tmp_path / "wall.png"
    Image.new("RGB", (32, 32)).save(path)
    values = [*("" for _ in PROMPT_NAMES), *(None for _ in SETTING_NAMES)]
    actions.begin(visit := Visit())
    assert page_words.REFUSED in actions.failed(visit)[0]  # it never had its turn
    actions.begin(visit)
    next(actions.restore({"path": str(path)}, visit, "", "mini", [], NOTHING_BROUGHT, *values))
    assert words.STOPPED in actions.failed(visit)[0]


def test_a_stop_that_comes_before_the_run_counts_for_this_run_alone(engine, tmp_path):
    """Stop can be pressed before Gradio knows of the run that it would end."""
    actions = Actions(Services(engine, Outputs(tmp_path / "outputs", Shelf())))
    path, visit = tmp_path / "wall.png", Visit()
    Image.new("RGB", (32, 32)).save(path)
    settings = {**asdict(Settings.from_preset("mini")), "num_inference_steps": 3, "upscale": 1}
    values = [*("" for _ in PROMPT_NAMES), *settings.values()]
    asked = ({"path": str(path)}, visit, "", "mini", [], NOTHING_BROUGHT, *values)

    actions.begin(visit)
    actions.stop(visit)
    (only,) = actions.restore(*asked)
    assert words.STOPPED in only[0] and not visit.runs
    assert words.STOPPED in actions.let_go(visit)[0]  # once more: Gradio may have lost the other

    actions.begin(visit)
    begun = actions.restore(*asked)
    while "Step" not in next(begun)[0]:
        pass
    actions.stop(visit)
    *_, last = begun
    assert words.STOPPED in last[0] and not visit.runs

    actions.begin(visit)
    *_, last = actions.restore(*asked)
    assert words.STOPPED not in last[0] and len(visit.runs) == 1


def test_another_version_takes_another_seed_where_seeds_decide_anything(engine, tmp_path):
    actions = Actions(Services(engine, Outputs(tmp_path / "outputs", Shelf())))
    visit = Visit()
    seeds = {actions.another(visit, "noise", "ddim") for _ in range(3)}
    assert len(seeds | {actions.another(visit, "lr_bare", "ddpm")}) == 4
    for start, said in (("lr_bare", words.ONLY_VERSION), ("noise", words.STILL_AT_WORK)):
        assert said in actions.why_not(visit, start, "ddim")
        with pytest.raises(gr.Error):  # Restore is not pressed
            actions.another(visit, start, "ddim")
        actions.begin(visit)  # a run


@pytest.mark.parametrize("opens", ["an older result", "an example"])
def test_what_is_opened_during_a_run_stays(engine, picture, tmp_path, opens):
    outputs = Outputs(tmp_path / "outputs", Shelf())
    older, path, visit = keep_run(outputs, picture(24, 16)), tmp_path / "wall.png", Visit()
    outputs.examples = {older.id: older}
    visit.add(older.id)
    visit.bring(Picture("wall", "digest", str(path)))
    actions, runs = (kind(Services(engine, outputs)) for kind in (Actions, RunActions))
    Image.new("RGB", (32, 32)).save(path)
    settings = {**asdict(Settings.from_preset("mini")), "num_inference_steps": 3, "upscale": 1}
    values = [*("" for _ in PROMPT_NAMES), *settings.values()]

    def page(values: tuple) -> dict:
        return {name: value for name, value in zip(RESULT, values, strict=True)
                if value != gr.skip()}  # fmt: skip

    actions.begin(visit)
    visit.shown = older.id
    begun = actions.restore({"path": str(path)}, visit, "", "mini", [], NOTHING_BROUGHT, *values)
    while "Step" not in (said := page(next(begun)))["status"]:
        pass
    assert said["preview"]["visible"] and "comparison" not in said
    pinned = page(runs.pin(visit, "bicubic"))
    assert "preview" not in pinned and "visible" not in pinned["comparison"]
    if opens == "an example":
        told = (visit, "bicubic", "", "", NOTHING_BROUGHT, None)
        result = actions.choose_example(gr.SelectData(None, {"index": 0, "value": None}), *told)
        opened = page(result[-len(RESULT) :])
    else:
        clicked = {"index": 0, "value": {"image": {"path": str(older.thumb)}}}
        opened = page(runs.open(gr.SelectData(None, clicked), visit, "bicubic"))
    assert opened["comparison"]["value"] and not opened["preview"]["visible"]
    for said in map(page, begun):
        assert "scores" not in said and "download" not in said
        assert "comparison" not in said and not said["preview"]["visible"]
    assert words.done_beside(2) in said["status"] and visit.shown == older.id
    assert outputs.find(visit.runs[-1]).title == "wall"  # and not that of the example

    actions.begin(visit)
    *_, last = actions.restore({"path": str(path)}, visit, "", "mini", [], NOTHING_BROUGHT, *values)
    assert visit.shown == visit.runs[-1] and words.done_beside(3) not in page(last)["status"]


def test_many_pages_wait_for_the_model_and_a_failure_is_told_to_all(engine, tmp_path, monkeypatch):
    actions, tried = Actions(Services(engine, Outputs(tmp_path / "outputs", Shelf()))), []
    model = engine.loaded
    engine.use(None, engine.options)

    def fail():
        with engine.loading:
            tried.append(time.sleep(0.1))
            raise XPSRError("There is no such model.")

    monkeypatch.setattr(engine, "pipeline", fail)

    async def open_pages() -> list[list[dict]]:
        engine.loading.acquire()  # as while it is loaded in the background
        asyncio.get_running_loop().call_later(0.3, engine.loading.release)
        return await asyncio.gather(*(all_of(actions.greet()) for _ in range(50)))

    for _ in range(2):
        for said in in_a_loop(open_pages()):
            assert words.LOADING in said[0]["value"] and "no such model" in said[-1]["value"]
    assert len(tried) == 1
    engine.use(model, engine.options)
    assert in_a_loop(all_of(actions.greet())) == [gr.skip()]
