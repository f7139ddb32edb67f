"""What is served: lent afresh, whole, within a limit, and gone when it is old."""

from __future__ import annotations

import errno
import os
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import gradio as gr
import pytest
from gradio.route_utils import delete_files_created_by_app
from made_runs import keep_run, make_recipe
from studio_server import free_port, start

from studio import examples
from studio.ablate.study import RunKeeper
from studio.build import Where, build
from studio.models.engine import Engine, EngineOptions
from studio.results import housekeeping
from studio.results import outputs as outputs_module
from studio.results import shelf as shelf_module
from studio.results.outputs import Outputs
from studio.results.shelf import KEEP_SECONDS, Shelf
from studio.results.whole import lend_as, make_once
from studio.texts import NOTHING_BROUGHT
from studio.visit import Visit
from xpsr.ablation.plan import Cell
from xpsr.ablation.run import CellResult, CellsLostError
from xpsr.errors import XPSRError


@pytest.fixture
def shelf(tmp_path, monkeypatch) -> Shelf:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "served"))
    return Shelf()


@pytest.fixture
def outputs(shelf, tmp_path) -> Outputs:
    return Outputs(tmp_path / "outputs", shelf)


def files_of(run) -> list[Path]:
    return [run.picture, run.before, run.after, run.thumb, run.recipe_file]


def make_older(folder: Path, seconds: float) -> None:
    then = time.time() - seconds
    for path in (folder, *folder.rglob("*")):
        os.utime(path, (then, then))


def test_examples_outlive_the_day_after_which_gradio_deletes_what_it_has_shown(tmp_path):
    home = Path(__file__).resolve().parents[1] / "examples"
    found = examples.gather(tmp_path / "examples", home)
    outputs = Outputs(tmp_path / "outputs", Shelf(), examples=found)
    with gr.Blocks() as demo:
        shown = gr.Image()
    assert len(found) > 1
    for run in found.values():
        shown.temp_files.update(map(str, files_of(run)))
    time.sleep(0.02)
    delete_files_created_by_app(demo, age=0)
    assert not list((tmp_path / "examples").rglob("*.*"))
    for run_id in found:
        assert all(path.stat().st_size for path in files_of(outputs.find(run_id)))
    assert all(path.is_file() for run in outputs.examples.values() for path in files_of(run))


def test_what_is_asked_for_again_is_young_again_for_gradio_and_keeps_its_date(tmp_path):
    source, path = tmp_path / "a.txt", tmp_path / "served" / "a.txt"
    source.write_text("a")
    os.utime(source, (1, 1))
    changed = lend_as(source, path).stat().st_ctime_ns
    time.sleep(0.02)
    assert lend_as(source, path).stat().st_ctime_ns > changed
    assert source.stat().st_mtime == 1


def test_many_windows_after_a_restart_find_every_result(outputs, picture, tmp_path, monkeypatch):
    ids = [keep_run(outputs, picture(24, 16), shade).id for shade in range(12)]
    link, windows = os.link, threading.Barrier(4)

    def all_at_once(source, path):
        windows.wait(10)  # each has seen that the file is not there
        link(source, path)

    monkeypatch.setattr(os, "link", all_at_once)
    fresh = Outputs(tmp_path / "outputs", Shelf())
    fresh.shelf.folder = tmp_path / "fresh"
    with ThreadPoolExecutor(4) as threads:
        seen = list(threads.map(lambda _: len(fresh.found(ids)), range(4)))
    assert seen == [len(ids)] * 4


def test_nobody_sees_a_file_half_written(tmp_path):
    path, seen = tmp_path / "x.txt", []

    def write(part: Path) -> None:
        part.write_text("half")
        seen.append(path.exists())
        part.write_text("whole")

    assert make_once(path, write).read_text() == "whole"
    assert seen == [False] and list(tmp_path.iterdir()) == [path]


def test_a_write_that_fails_leaves_nothing(tmp_path):
    def write(part: Path) -> None:
        part.write_text("half")
        raise OSError("No space left on device")

    with pytest.raises(OSError, match="No space"):
        make_once(tmp_path / "x.txt", write)
    assert not list(tmp_path.iterdir())


def test_the_enlarged_picture_is_made_for_the_run_that_is_shown(outputs, picture):
    run = outputs.find(keep_run(outputs, picture(24, 16)).id)
    assert not (run.after.parent / "before.png").exists()
    assert run.before == run.after.parent / "before.png" and run.before.is_file()


def test_an_enlarged_picture_that_cannot_be_made_is_told_of(outputs, picture):
    run = keep_run(outputs, picture(24, 16))
    run.picture.write_bytes(b"")
    with pytest.raises(XPSRError, match="damaged"):
        _ = run.before


def test_a_run_is_read_once_and_again_when_a_file_has_changed(outputs, picture, monkeypatch):
    run = keep_run(outputs, picture(24, 16))
    outputs.find(run.id)
    read = []
    monkeypatch.setattr(outputs_module, "read_recipe", lambda path: read.append(path) or run.recipe)
    assert outputs.find(run.id).recipe == run.recipe and not read
    (outputs.folder / run.id / "scores.json").write_text("{}")
    outputs.find(run.id)
    assert len(read) == 1


def test_a_folder_in_use_stays_and_one_that_nobody_asks_for_goes(shelf):
    running, forgotten, used = (shelf.new_folder() for _ in range(3))
    (running / "cells").mkdir()
    for folder in (running, forgotten, used):
        make_older(folder, KEEP_SECONDS + 60)
    (running / "cells" / "cell.png").write_bytes(b"x")  # as an ablation of more than a day does
    shelf.make(used.name, "x.txt", lambda path: path.write_text("x"))
    shelf.tidy()
    assert [folder.exists() for folder in (running, forgotten, used)] == [True, False, True]


def test_beyond_the_limit_the_folders_go_that_were_asked_for_longest_ago(shelf, tmp_path):
    (tmp_path / "result.png").write_bytes(bytes(5000))
    folders = [shelf.new_folder() for _ in range(4)]
    for folder, hours in zip(folders, (4, 3, 2, 0), strict=True):
        (folder / "archive.zip").write_bytes(bytes(1000))
        make_older(folder, hours * 3600)
    lent = shelf.lend(tmp_path / "result.png", "lent").parent  # a link: takes no room
    make_older(lent, 5 * 3600)
    shelf.limit = 2500
    shelf.tidy()
    assert [folder.exists() for folder in folders] == [False, False, True, True]
    assert lent.exists()
    shelf.limit = 0
    shelf.new_folder()  # each click that makes another one looks for room
    assert [folder.exists() for folder in folders] == [False, False, False, True]  # still shown


def test_what_is_asked_for_meanwhile_does_not_go(shelf, monkeypatch):
    folder = shelf.new_folder()
    (folder / "x.txt").write_text("x")
    make_older(folder, KEEP_SECONDS + 60)
    real = shelf_module._use_of

    def asked_for(place: Path) -> tuple[float, int]:
        found = real(place)
        shelf.lend(folder / "x.txt", folder.name)  # between the look and the removal
        monkeypatch.setattr(shelf_module, "_use_of", real)
        return found

    monkeypatch.setattr(shelf_module, "_use_of", asked_for)
    shelf.tidy()
    assert (folder / "x.txt").exists()


def test_folders_of_killed_processes_go_and_those_of_live_ones_stay(tmp_path, monkeypatch):
    monkeypatch.delenv("GRADIO_TEMP_DIR", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(shelf_module.atexit, "register", lambda *_, **__: None)
    live = Shelf()
    killed = tmp_path / "xpsr-studio-killed"
    (killed / "results").mkdir(parents=True)
    for folder in (killed, live.folder.parent):
        make_older(folder, KEEP_SECONDS + 60)
    live.tidy()
    monkeypatch.delenv("GRADIO_TEMP_DIR")
    other = Shelf()
    assert sorted(tmp_path.iterdir()) == sorted([live.folder.parent, other.folder.parent])


def test_an_ablation_whose_cells_find_no_room_says_so_without_paths(
    outputs, picture, tmp_path, monkeypatch
):
    image = picture(24, 16)
    recipe, visit = make_recipe(image, image), Visit()
    cell = Cell(0, recipe.seed, recipe.prompts, recipe.settings)
    made = CellResult(cell, recipe, {}, 1.0, "computed", _image=image)
    told = ("official", NOTHING_BROUGHT)
    keeper = RunKeeper(outputs, visit, image, "t", told, tmp_path / "served" / "x", ["full"])
    monkeypatch.setattr("studio.ablate.study.lend_as", full_disk)
    with pytest.raises(CellsLostError) as error:
        keeper.keep(made)
    assert "no space left on device" in str(error.value) and "/" not in str(error.value)
    assert outputs.found(visit.runs)  # the cell itself is kept


def full_disk(source: Path, path: Path) -> Path:
    raise OSError(errno.ENOSPC, "No space left on device", str(source), None, str(path))


def test_the_folder_of_a_running_ablation_may_be_missing(outputs, picture, tmp_path):
    image = picture(24, 16)
    recipe, folder = make_recipe(image, image), tmp_path / "served" / "x"
    cell = Cell(0, recipe.seed, recipe.prompts, recipe.settings)
    keeper = RunKeeper(
        outputs, Visit(), image, "t", ("official", NOTHING_BROUGHT), folder, ["full"]
    )
    shutil.rmtree(folder)
    made = CellResult(cell, recipe, {}, 1.0, "computed", _image=image)
    assert keeper.keep(made).picture().size == image.size


def test_old_results_go_while_nobody_is_there(outputs, picture, monkeypatch):
    old, young = keep_run(outputs, picture(24, 16)), keep_run(outputs, picture(24, 16))
    outputs.keep_seconds = 3600.0
    make_older(outputs.folder / old.id, 7200)
    (outputs.folder / old.id / "scores.json").write_text("{}")  # that makes it no younger
    times, tidy, seen = iter(range(3)), outputs.tidy, threading.Event()

    def first_in_vain():
        number = next(times)
        if number == 0:
            raise OSError(errno.EIO, "Input/output error")
        if number == 2:
            seen.set()
            threading.Event().wait()  # the thread has done its part
        tidy()

    monkeypatch.setattr(outputs, "tidy", first_in_vain)
    housekeeping.keep_tidy(outputs, every=0.01)
    assert seen.wait(30)
    assert outputs.found([old.id, young.id]) == [outputs.find(young.id)]
    assert not old.after.exists()  # nor is it served any longer


def test_the_page_tells_the_limit_it_has(tmp_path):
    demo = build(Engine(EngineOptions()), Where(str(tmp_path / "outputs"), gigabytes=7.5))
    told = [one.value for one in demo.blocks.values() if isinstance(one, gr.Markdown)]
    assert any("Beyond 7.5 GB" in text for text in told)


@pytest.mark.slow
def test_a_server_that_is_told_to_end_leaves_no_pictures(tiny, tmp_path):
    (tmp_path / "tmp").mkdir()
    kept = {"XPSR_OUTPUTS": str(tmp_path / "outputs"), "TMPDIR": str(tmp_path / "tmp")}
    _, process = start(tiny, free_port(), tmp_path / "log", **kept)
    (served,) = (tmp_path / "tmp").glob("xpsr-studio-*")
    assert list(served.rglob("*.png"))
    process.terminate()
    assert process.wait(60) == 0
    assert not served.exists()
