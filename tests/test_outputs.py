"""Finished runs on disk."""

from __future__ import annotations

import os
import time

import gradio as gr
import pytest
from made_runs import keep_run
from PIL import Image

from studio.models.engine import Engine, EngineOptions
from studio.restore.runs import RunActions
from studio.results.outputs import Outputs
from studio.results.scores import Row, compare
from studio.results.shelf import Shelf
from studio.services import Services
from studio.visit import Visit
from xpsr.errors import XPSRError
from xpsr.image import pixel_sha256
from xpsr.metrics import Score
from xpsr.prompts import Prompts
from xpsr.recipe import read_recipe
from xpsr.settings import Settings


@pytest.fixture(scope="session")
def restored(tiny_pipeline, picture):
    settings = Settings(num_inference_steps=1, upscale=2, process_size=0)
    *_, last = tiny_pipeline.stream(picture(24, 16), Prompts(prompt="A <b> garden."), settings)
    return last


@pytest.fixture
def outputs(tmp_path) -> Outputs:
    return Outputs(tmp_path / "outputs", Shelf())


def test_a_run_is_found_again_by_another_process(outputs, restored, picture, tmp_path):
    run = outputs.keep(picture(24, 16), restored, "My garden")
    outputs.add_scores(run, compare(picture(24, 16), restored.image, ["backprojection", "ssim"]))
    again = Outputs(tmp_path / "outputs", Shelf()).find(run.id)
    assert (again.title, again.recipe, again.seconds) == (
        "My garden",
        restored.recipe,
        restored.seconds,
    )
    with Image.open(again.after) as after, Image.open(again.before) as before:
        assert restored.recipe.is_output(after) and after.size == before.size
    with Image.open(again.picture) as brought:
        assert pixel_sha256(brought) == restored.recipe.input_sha256
    assert read_recipe(again.recipe_file) == restored.recipe
    agrees, ssim = again.rows
    assert isinstance(agrees.after.value, float)
    assert ssim.after == Score(None, "needs the true picture to compare with")


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("My garden v1.5", "My garden v1.5-x2-seed0-"),
        ("", "restored-x2-seed0-"),
        ("picture", "picture-x2-seed0-"),
        ("../猫" * 60, None),
    ],
)
def test_a_download_is_named_after_the_picture(outputs, restored, picture, title, name):
    run = outputs.keep(picture(24, 16), restored, title)
    assert name is None or run.after.name == f"{name}{run.recipe.output_sha256[:4]}.png"
    assert run.after.parent == run.picture.parent
    assert run.recipe_file == run.after.with_suffix(".json") and run.recipe_file.exists()
    (outputs.folder / run.id / run.after.name).rename(outputs.folder / run.id / "restored-x9.png")
    assert outputs.find(run.id).after.name == "restored-x9.png"  # as all were called once


def test_other_results_of_one_picture_and_seed_have_other_names(outputs, picture):
    one, other, again = (keep_run(outputs, picture(24, 16), shade) for shade in (0, 9, 0))
    assert one.after.name != other.after.name and one.after.name == again.after.name


@pytest.mark.parametrize(
    "wrong", ["", ".", "..", "../outputs", "20260101-000000-", "no such run", "x" * 300, "a\0b"]
)
def test_no_id_leads_out_of_the_folder(outputs, restored, picture, wrong):
    outputs.keep(picture(24, 16), restored)
    with pytest.raises(XPSRError, match="no longer there"):
        outputs.find(wrong)


def test_the_oldest_runs_make_room_and_nothing_else_is_touched(outputs, restored, picture):
    own = outputs.folder / "holiday"
    own.mkdir(parents=True)
    (own / "mine.txt").write_text("mine")
    first = outputs.keep(picture(24, 16), restored)
    old = f"20200101-000000-{first.id[16:]}"
    (outputs.folder / first.id).rename(outputs.folder / old)
    first = outputs.find(old)
    size = sum(path.stat().st_size for path in (outputs.folder / first.id).iterdir())
    outputs.limit = int(1.5 * size)
    second = outputs.keep(picture(24, 16), restored)
    assert outputs.found([first.id, second.id]) == [second]
    outputs.limit = 1  # even so the newest one stays: somebody is looking at it
    third = outputs.keep(picture(24, 16), restored)
    assert outputs.found([second.id, third.id]) == [third]
    assert (own / "mine.txt").read_text() == "mine"


def test_what_is_on_a_page_makes_no_room_and_is_served_for_longer(outputs, restored, picture):
    shown, pinned, other = (outputs.keep(picture(24, 16), restored) for _ in range(3))
    outputs.limit = 1
    outputs.welcome(visit := Visit(shown=shown.id, pinned=pinned.id))
    newest = outputs.keep(picture(24, 16), restored)
    ids = [one.id for one in (shown, pinned, other, newest)]
    assert [run.id for run in outputs.found(ids)] == [shown.id, pinned.id, newest.id]
    changed = shown.after.stat().st_ctime_ns
    outputs.renew()
    assert shown.after.stat().st_ctime_ns > changed  # what Gradio goes by
    del visit  # the page was closed
    outputs.tidy()
    assert not outputs.found(ids)


def test_old_runs_go_where_they_may_not_stay(outputs, restored, picture):
    run = outputs.keep(picture(24, 16), restored)
    outputs.keep_seconds = 3600.0
    outputs.tidy()
    assert outputs.found([run.id])
    old = time.time() - 7200
    os.utime(outputs.folder / run.id, (old, old))
    outputs.tidy()
    assert not outputs.found([run.id])


def test_what_a_crash_left_is_no_run_and_a_damaged_one_says_so(outputs, restored, picture):
    run = outputs.keep(picture(24, 16), restored)
    folder = outputs.folder / run.id
    folder.rename(outputs.folder / f".{run.id}")
    with pytest.raises(XPSRError, match="no longer there"):
        outputs.find(run.id)
    (outputs.folder / f".{run.id}").rename(folder)
    (folder / "run.json").write_text("{")
    with pytest.raises(XPSRError, match="damaged"):
        outputs.find(run.id)


def test_where_the_folder_takes_nothing_the_result_is_there_all_the_same(
    restored, picture, tmp_path
):
    (tmp_path / "taken").write_text("a file")
    outputs = Outputs(tmp_path / "taken", Shelf())
    run = outputs.keep(picture(24, 16), restored, "garden")
    assert not run.kept and "taken" in run.notes[-1] and "--outputs FOLDER" in run.notes[-1]
    assert read_recipe(run.after) == restored.recipe and run.thumb.exists()
    rows = compare(picture(24, 16), restored.image, ["backprojection"])
    outputs.add_scores(run, rows)
    again = outputs.find(run.id)  # on the strip, in Compare, in the ZIP
    assert (again.title, again.kept) == ("garden", False) and again.rows
    with pytest.raises(XPSRError, match="no longer there"):  # gone with the process
        Outputs(tmp_path / "taken", Shelf()).find("20260101-000000-" + 22 * "a")


def test_where_no_disk_takes_it_a_sentence_says_so(restored, picture, tmp_path):
    (tmp_path / "taken").write_text("a file")
    outputs = Outputs(tmp_path / "taken", Shelf())
    outputs.shelf.folder = tmp_path / "taken"
    with pytest.raises(XPSRError, match=r"neither to .*taken nor among the temporary files"):
        outputs.keep(picture(24, 16), restored)


def test_scores_without_a_figure_keep_their_reason(outputs, restored, picture):
    run = outputs.keep(picture(24, 16), restored)
    row = Row("musiq", Score(None, "needs a download"), Score(1.5))
    outputs.add_scores(run, [row])
    assert outputs.find(run.id).rows == (row,)


def test_a_true_picture_of_another_size_is_refused_at_once(outputs, restored, picture, tmp_path):
    run, true = outputs.keep(picture(24, 16), restored), tmp_path / "true.png"
    picture(20, 16).save(true)
    runs = RunActions(Services(Engine(EngineOptions()), outputs))
    visit = Visit([run.id], shown=run.id)
    ((table, note),) = runs.score_more(visit, [], {"path": str(true)})
    assert "The true picture has 20 × 16 pixels and this result 48 × 32" in note
    assert table == gr.skip() and not outputs.find(run.id).rows
