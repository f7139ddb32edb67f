"""The Batch tab without a browser: the list, the turns, Stop, and the ZIP."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import gradio as gr
import pytest
from PIL import Image

from studio.batch import words
from studio.batch.actions import SHOWN, BatchActions
from studio.batch.archive import unique_names
from studio.batch.batch import MAX_PICTURES, Batch
from studio.batch.table import render
from studio.form import fill_form
from studio.models.engine import Engine, EngineOptions
from studio.results.names import plain_name
from studio.results.outputs import Outputs
from studio.results.shelf import Shelf
from studio.services import Services
from studio.texts import NOTHING_BROUGHT
from studio.visit import Visit
from xpsr.prompts import Prompts
from xpsr.recipe import read_recipe
from xpsr.settings import Settings

FORM = fill_form(
    Prompts.from_preset("mini", prompt="A house.", negative_prompt="Rain."),
    Settings.from_preset("mini", num_inference_steps=2, upscale=2, seed=5),
)


@pytest.fixture
def actions(tiny_pipeline, tmp_path) -> BatchActions:
    engine = Engine(EngineOptions())
    engine._pipeline = tiny_pipeline
    return BatchActions(Services(engine, Outputs(tmp_path / "outputs", Shelf())))


@pytest.fixture
def files(picture, tmp_path) -> list[dict]:
    """Two pictures of the same name, one that is cut off, and none at all."""
    paths = []
    for folder in ("one", "two", "three"):
        paths.append(tmp_path / folder / "garden.png")
        paths[-1].parent.mkdir()
        picture(24, 20).save(paths[-1])
    whole = paths[-1].read_bytes()
    paths[-1].write_bytes(whole[: len(whole) // 2])
    paths.append(tmp_path / "notes.txt")
    paths[-1].write_text("no picture")
    return [{"path": str(path), "orig_name": path.name} for path in paths]


def named(values: tuple) -> dict:
    """What a handler changes, by the names of the components."""
    return {name: value for name, value in zip(SHOWN, values, strict=True) if value != gr.skip()}


def begin(
    actions: BatchActions, batch: Batch, which: str = "form", visit: Visit | None = None
) -> dict:
    settings = {"preset": "mini", "learned": [], "brought": NOTHING_BROUGHT}
    visit = visit or Visit()
    return named(actions.begin(0, batch, visit, which, *settings.values(), *FORM))


def turns(actions: BatchActions, batch: Batch, visit: Visit) -> Iterator[dict]:
    """What the page does: as long as the turn changes, describe and restore the next one."""
    turn = 1
    while turn is not None:
        before, turn = turn, None
        for handler in (actions.describe(batch), actions.restore(batch, before, visit)):
            for values in handler:
                changed = named(values)
                turn = changed.get("turn", turn)
                yield changed


def test_every_file_has_its_line_and_the_good_ones_are_restored(actions, files):
    batch, visit = Batch(), Visit()
    said = named(actions.receive(files, batch))
    assert "3 pictures" in said["status"] and "1 file cannot be used" in said["status"]
    assert [item.state for item in batch.items] == ["waiting"] * 3 + ["failed"]

    assert begin(actions, batch)["turn"] == 1
    told = list(turns(actions, batch, visit))
    assert any("step 2 of 2" in one["table"] for one in told if "table" in one)
    assert [item.state for item in batch.items] == ["done", "done", "failed", "failed"]
    assert "damaged" in batch.items[2].how and "notes.txt" in batch.items[3].how
    assert "2 pictures restored, 2 failed" in told[-1]["status"]
    assert told[-1]["start"]["value"] == words.AGAIN and told[-1]["retry"]["visible"]

    runs = [item.run for item in batch.items[:2]]
    assert visit.runs == [run.id for run in runs]
    for run in runs:
        recipe = actions.outputs.find(run.id).recipe
        assert (recipe.prompts.prompt, recipe.prompts.negative_prompt) == ("A house.", "Rain.")
        assert recipe.settings.seed == 5 and run.rows and run.title == "garden"


def test_each_picture_can_have_its_own_description(actions, files):
    batch, visit = Batch(), Visit()
    actions.receive(files[:1], batch)
    begin(actions, batch, "each")
    told = list(turns(actions, batch, visit))
    assert any(words.STATES["describing"] in one.get("table", "") for one in told)
    recipe = batch.items[0].run.recipe
    assert recipe.prompts.prompt not in ("", "A house.")
    assert recipe.prompts.negative_prompt == "Rain."
    kinds = {one.origin.kind for one in recipe.sentences("lowlevel_prompt")}
    assert kinds == {"measured"}


def test_stop_keeps_what_is_done_and_the_rest_can_go_on(actions, files):
    batch, visit = Batch(), Visit()
    actions.receive(files[:2], batch)
    begin(actions, batch)
    for told in turns(actions, batch, visit):
        if batch.items[1].state == "working" and "step 1" in told.get("table", ""):
            said = named(actions.stop(batch))
    assert "1 finished picture kept, 1 still waiting" in said["status"]
    assert said["start"]["value"] == words.go_on(1) and not said["stop"]["interactive"]
    # The work that was stopped ends a moment later, and says so as if the queue had refused it.
    assert not said["start"]["interactive"] and begin(actions, batch) == {}
    assert named(actions.refused(batch)) == {}
    assert named(actions.stopped(batch))["start"]["interactive"]
    assert [item.state for item in batch.items] == ["done", "waiting"]
    first = batch.items[0].run

    begin(actions, batch)
    list(turns(actions, batch, visit))
    assert [item.state for item in batch.items] == ["done", "done"]
    assert batch.items[0].run is first and len(visit.runs) == 2


def test_who_was_stopped_does_not_go_on_with_what_was_begun_after(actions, files):
    batch, visit = Batch(), Visit()
    actions.receive(files[:2], batch)
    begin(actions, batch)
    slow = turns(actions, batch, visit)
    next(told for told in slow if "step 1" in told.get("table", ""))
    actions.stop(batch)
    actions.stopped(batch)
    begin(actions, batch)
    assert list(slow) == [] and batch.items[0].state == "waiting"


def test_a_run_that_is_stopped_before_its_first_step_empties_nothing(actions, files):
    batch = Batch()
    actions.receive(files[:1], batch)
    begin(actions, batch)
    list(actions.describe(batch))
    actions.stop(batch)
    # Without a last word of its own Gradio sends null to every component.
    assert list(map(named, actions.restore(batch, 1, Visit()))) == [{}]


def test_pictures_of_one_batch_are_not_made_with_two_models(actions, files):
    batch = Batch()
    actions.receive(files[:2], batch)
    begin(actions, batch)
    for _ in turns(actions, batch, Visit()):
        if batch.items[0].run is not None:
            actions.engine.use(actions.engine.loaded, EngineOptions(model="another"))
    assert [item.state for item in batch.items] == ["done", "failed"]
    assert "model was changed" in batch.items[1].how and batch.items[1].may_retry


def test_settings_for_a_model_that_another_page_has_changed_are_not_taken_unasked(actions, files):
    batch, visit = Batch(), Visit()
    visit.model = "owner/name"
    actions.receive(files[:1], batch)
    said = begin(actions, batch, visit=visit)["status"]
    assert "those for owner/name" in said and f"press {words.RESTORE_ALL} once more" in said
    assert not batch.at_work
    assert "turn" in begin(actions, batch, visit=visit)


def test_files_can_come_and_go_while_it_runs(actions, files, picture, tmp_path):
    batch, visit = Batch(), Visit()
    actions.receive(files[:1], batch)
    begin(actions, batch)
    for told in turns(actions, batch, visit):
        if "step 1" in told.get("table", "") and len(batch.items) == 1:
            assert "turn" not in named(actions.receive(files[:2], batch))
    assert [item.state for item in batch.items] == ["done", "done"]
    begin(actions, batch)
    for told in turns(actions, batch, visit):
        if batch.items and "step 1" in told.get("table", ""):
            said = named(actions.receive([], batch))
            assert not said["comparison"]["visible"] and not said["caption"]
    assert not batch.at_work and len(visit.runs) == 3  # what was under way is kept all the same


def test_a_wrong_setting_is_told_before_anything_starts(actions, files):
    batch = Batch()
    assert "Bring some pictures" in begin(actions, batch)["status"]
    actions.receive(files[:1], batch)
    wrong = [*FORM[:-1], "sideways"]
    said = named(actions.begin(0, batch, Visit(), "form", "mini", [], NOTHING_BROUGHT, *wrong))
    assert 'role="alert"' in said["status"] and "sideways" in said["status"]
    assert "turn" not in said and not batch.at_work


def test_too_much_is_refused_in_a_sentence(actions, files, monkeypatch):
    batch = Batch()
    many = [{**files[0], "path": f"{files[0]['path']}{n}"} for n in range(MAX_PICTURES + 1)]
    said = named(actions.receive(many, batch))
    assert f"{MAX_PICTURES + 1} files" in said["status"] and not batch.items
    monkeypatch.setattr("studio.batch.batch.MAX_PIXELS", 500)
    said = named(actions.receive(files[:2], batch))
    assert "960 pixels together" in said["status"] and 'role="alert"' in said["status"]
    assert not batch.items


def test_files_beyond_the_limit_leave_the_batch_as_it_is(actions, files, monkeypatch):
    monkeypatch.setattr("studio.batch.batch.MAX_PICTURES", 2)
    batch, visit = Batch(), Visit()
    actions.receive(files[:2], batch)
    begin(actions, batch)
    for told in turns(actions, batch, visit):
        if batch.items[1].state == "working" and "step 1" in told.get("table", ""):
            refused = named(actions.receive(files[:3], batch))
    assert "3 files; a batch holds 2" in refused["status"] and words.STAYS in refused["status"]
    assert refused["stop"]["interactive"] and "of 2 done" in refused["status"]
    assert [item.state for item in batch.items] == ["done", "done"]
    done = [item.run for item in batch.items]

    said = named(actions.receive(files[:3], batch))
    assert "3 files" in said["status"] and said["archive"]["interactive"]
    assert len(actions.keep(batch)["items"]) == 2
    said = named(actions.receive(files[:2], batch))
    assert "3 files" not in said["status"] and [item.run for item in batch.items] == done
    assert len(visit.runs) == 2
    monkeypatch.setattr("studio.batch.batch.MAX_PIXELS", 500)
    assert "pixels together" in named(actions.receive(files[:1] + files[2:3], batch))["status"]
    assert [item.run for item in batch.items] == done


def test_the_zip_holds_pictures_recipes_and_scores(actions, files):
    batch, visit = Batch(), Visit()
    assert named(actions.receive(files, batch)) and "nothing to download" in actions.pack(batch)[1]
    begin(actions, batch)
    list(turns(actions, batch, visit))
    path, note = actions.pack(batch)
    assert note == gr.skip()
    assert Path(path).is_relative_to(actions.outputs.shelf.folder)
    with zipfile.ZipFile(path) as archive:
        pictures = {"garden.png", "garden.json", "garden-2.png", "garden-2.json"}
        assert set(archive.namelist()) == {*pictures, "scores.csv"}
        rows = list(csv.DictReader(io.StringIO(archive.read("scores.csv").decode())))
        with archive.open("garden-2.png") as file, Image.open(file) as image:
            assert image.size == (48, 40)
        recipe = archive.read("garden.json").decode()
    assert recipe == read_recipe(batch.items[0].run.after).to_json()
    assert [row["picture"] for row in rows] == ["garden", "garden-2", "garden-3", "notes"]
    assert float(rows[0]["piqe after"]) > 0 and rows[0]["seed"] == "5"
    assert "damaged" in rows[2]["failed"] and not rows[2]["piqe after"]


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\photos\\old street.jpg", "old street"),
        ("=cmd|' C calc'!A0.png", "_cmd_ C calc_A0"),
        ("con.png", "_con"),
        (".png", "png"),
        ("…", "_"),
        ("Grüße 猫.jpeg", "Grüße 猫"),
        ("a" * 300 + ".png", "a" * 80),
    ],
)
def test_names_in_the_zip_are_harmless(name, plain):
    assert plain_name(name) == plain


def test_names_in_the_zip_differ():
    assert unique_names(["a.png", "A.jpg", "a-2.png"]) == ["a", "A-2", "a-2-2"]


def test_a_name_in_the_table_stays_text(actions, files):
    batch = Batch()
    actions.receive([{**files[0], "orig_name": "<img src=x onerror=alert(1)>.png"}], batch)
    assert "<img" not in render(batch) and "&lt;img" in render(batch)


def test_hidden_files_of_a_folder_are_left_out(actions, files):
    batch = Batch()
    hidden = [{**files[0], "orig_name": name} for name in (".DS_Store", "Thumbs.db")]
    actions.receive([*hidden, files[1]], batch)
    assert [item.name for item in batch.items] == ["garden.png"]


def test_a_file_brought_twice_is_one_picture(actions, files):
    batch = Batch()
    paths = actions.add_folder(files[:2], [*files[:2], {**files[3], "orig_name": ".hidden"}])
    assert len(paths) == 4  # what a system has left does not even stand in the list
    actions.receive([*files[:2], *files[:2]], batch)
    assert len(batch.items) == 2


def test_a_batch_is_found_again(actions, files):
    batch, visit = Batch(), Visit()
    actions.receive(files, batch)
    begin(actions, batch)
    turns_of = turns(actions, batch, visit)
    while not batch.count("done"):
        next(turns_of)
    turns_of.close()
    kept = json.loads(json.dumps(actions.keep(batch)))  # as a browser keeps it
    again = Batch()
    said = named(actions.recall(kept, again))
    assert "It stopped because the page was closed" in said["status"]
    assert "1 finished picture kept. 2 still waiting" in said["status"]
    assert [item.state for item in again.items] == ["done", "waiting", "waiting", "failed"]
    assert "Continue with the other 2" in said["start"]["value"]
    assert "press “Continue with the other 2”" in said["status"]  # as it stands on the button
    assert named(actions.recall(kept, again)) == {}  # what is there is not written over
    begin(actions, again)
    for _ in turns(actions, again, visit):
        pass
    assert again.count("done") == 2
    path, _ = actions.pack(again)
    with zipfile.ZipFile(path) as archive:
        assert sum(name.endswith(".png") for name in archive.namelist()) == 2


def test_a_batch_that_was_closed_before_its_first_result_names_its_button(actions, files):
    batch = Batch()
    actions.receive(files[:2], batch)
    begin(actions, batch)
    again = Batch()
    said = named(actions.recall(actions.keep(batch), again))
    assert said["start"]["value"] == words.RESTORE_ALL
    assert f"2 still waiting: press “{words.RESTORE_ALL}”" in said["status"]
    begin(actions, again)
    assert f"press “{words.RESTORE_ALL}”" in named(actions.refused(again))["status"]


def test_what_failed_can_be_tried_again_after_a_reload(actions, files, picture):
    batch, visit = Batch(), Visit()
    actions.receive(files, batch)
    begin(actions, batch)
    for _ in turns(actions, batch, visit):
        pass
    assert [item.state for item in batch.items] == ["done", "done", "failed", "failed"]
    assert [item.may_retry for item in batch.items] == [False, False, True, False]
    kept = json.loads(json.dumps(actions.keep(batch)))
    again = Batch()
    assert named(actions.recall(kept, again))["retry"]["visible"]
    picture(24, 20).save(files[2]["path"])
    form = ("mini", [], NOTHING_BROUGHT)
    assert named(actions.retry(0, again, Visit(), "form", *form, *FORM))["turn"] == 1
    for _ in turns(actions, again, visit):
        pass
    assert [item.state for item in again.items] == ["done", "done", "done", "failed"]
    kept["items"][2]["path"] = "/etc/passwd"
    elsewhere = Batch()
    assert not named(actions.recall(kept, elsewhere))["retry"]["visible"]


def test_a_batch_whose_files_are_gone_says_so(actions, files, tmp_path):
    batch = Batch()
    actions.receive(files[:2], batch)
    kept = actions.keep(batch)
    Path(files[0]["path"]).unlink()  # as after a restart of the server
    kept["items"][1]["path"] = "/etc/passwd"  # and no browser may name a file of the machine
    again = Batch()
    assert named(actions.recall(kept, again)) == {}
    kept["items"][0] = {"name": "<b>x</b>", "run": "20260101-000000-" + 22 * "a"}
    kept["items"][1]["path"] = files[1]["path"]
    said = named(actions.recall(kept, again))
    assert "no longer there" in again.items[0].how and "1 still waiting" in said["status"]
    assert "&lt;b&gt;x" in said["table"] and "<b>" not in said["table"]
    for hostile in ({"items": [{}]}, {"items": [], "more": 1}, "x", [1], {"items": 9 * [kept]}):
        assert named(actions.recall(hostile, Batch())) == {}
