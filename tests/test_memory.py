"""What the browser remembers of a visit."""

from __future__ import annotations

import errno
import json
import shutil
from functools import partial

import gradio as gr
import pytest
from made_runs import make_recipe

from studio.batch.actions import SHOWN, BatchActions
from studio.batch.batch import Batch, Item
from studio.form import FORM, fill_form
from studio.job import Job
from studio.models.engine import Engine, EngineOptions
from studio.restore import words
from studio.restore.actions import Actions
from studio.restore.describing import Before
from studio.restore.memory import RECALLED, Memory, MemoryActions
from studio.restore.runs import RunActions
from studio.results.outputs import Outputs
from studio.results.shelf import Shelf
from studio.results.words import DISK_FULL, OTHER_MODEL, welcome_back
from studio.services import Services
from studio.texts import NOTHING_BROUGHT
from studio.visit import Mine, Picture, Visit
from xpsr.pipeline import Restored
from xpsr.prompts import Prompts
from xpsr.prompts.provenance import Origin, written
from xpsr.settings import Settings


@pytest.fixture(scope="session")
def restored(picture) -> Restored:
    before = picture(24, 16)
    after = before.resize((48, 32))
    return Restored(after, make_recipe(before, after), 1.5, ())


@pytest.fixture
def outputs(tmp_path) -> Outputs:
    return Outputs(tmp_path / "outputs", Shelf())


VALUES = fill_form(Prompts(prompt="Edited here. Mine."), Settings(seed=7, guidance_scale=2.0))


@pytest.fixture
def memory(outputs) -> MemoryActions:
    return MemoryActions(Services(Engine(EngineOptions()), outputs))


def test_a_page_comes_back_as_it_was(memory, outputs, restored, picture):
    run = outputs.keep(picture(24, 16), restored)
    brought = written("Written there.", Origin("llava", "model")), ()
    visit = Visit([run.id], shown=run.id, pinned=run.id)
    visit.recalled = True
    kept = memory.keep(None, False, visit, brought, None, True, "official", *VALUES)
    assert "png" not in str(kept)  # no pictures and no paths

    other = Visit()
    values = memory.recall(kept, other)
    assert values[: len(FORM)] == VALUES
    assert values[len(FORM) : len(FORM) + 2] == ("official", brought)
    assert (other.runs, other.shown, other.pinned) == ([run.id], run.id, run.id)
    assert values[-1] == gr.update(visible=False)


def test_of_two_pages_of_one_browser_neither_forgets_the_results_of_the_other(
    memory, outputs, restored, picture
):
    old, first, gone, second = (outputs.keep(picture(24, 16), restored).id for _ in range(4))

    def keep(visit: Visit, kept: dict | None = None) -> dict:
        return memory.keep(kept, True, visit, NOTHING_BROUGHT, None, True, "official", *VALUES)

    memory.recall(None, one := Visit([old]))
    begun = keep(one)
    memory.recall(begun, other := Visit())
    one.runs += [first, gone]
    other.add(second)
    keep(one, begun)
    shutil.rmtree(outputs.folder / gone)
    kept = keep(other, begun)
    assert kept["runs"] == sorted([old, first, second], key=lambda one: one[:15])
    assert one.runs == [old, first, gone] and other.runs == [old, second]  # as they show them
    memory.recall(None, stranger := Visit())
    assert keep(stranger)["runs"] == []


def test_own_texts_that_a_describer_replaced_are_offered_after_a_reload(memory):
    memory.recall(None, visit := Visit())
    brought = written("My.", Origin("measured")), ()
    mine = Mine({"prompt": "My <b>own</b>.", "lowlevel_prompt": "", "seed": -1}, brought)
    visit.mine = [mine]
    kept = memory.keep(None, True, visit, NOTHING_BROUGHT, None, True, "official", *VALUES)
    *_, row, _ = memory.recall(json.loads(json.dumps(kept)), again := Visit())
    assert again.mine == [mine] and row["visible"]
    visit.mine = []
    kept = memory.keep(kept, True, visit, NOTHING_BROUGHT, None, True, "official", *VALUES)
    *_, row, _ = memory.recall(kept, again := Visit())
    assert not again.mine and not row["visible"]
    for earlier in (None, {"high": "My own.", "low": "", "brought": [], "seed": 5}):
        assert memory.recall({**kept, "mine": earlier}, Visit())[: len(FORM)] == VALUES


def test_a_reload_while_a_describer_writes_keeps_the_own_texts(memory):
    memory.recall(None, visit := Visit())
    mine = Before("My own.", "Mine too.", (written("My.", Origin("measured")), ()))
    half = fill_form(Prompts(prompt="A sto", lowlevel_prompt="Blur"), Settings(seed=7))
    told = written("A sto", Origin("server")), ()
    kept = memory.keep(None, True, visit, told, mine, True, "official", *half)
    values = memory.recall(kept, Visit())
    assert values[: len(FORM)] == ("My own.", "Mine too.", *half[2:])
    assert values[len(FORM) + 1] == mine.written


def test_with_another_model_the_texts_come_back_and_the_settings_do_not(memory):
    visit = Visit()
    visit.recalled = True
    kept = memory.keep(None, False, visit, NOTHING_BROUGHT, None, True, "official", *VALUES)
    other = MemoryActions(Services(Engine(EngineOptions(model="another")), memory.outputs))
    values = other.recall(kept, Visit())
    assert values[:2] == VALUES[:2]
    usual = fill_form(Prompts.from_preset("official"), Settings.from_preset("official"))
    assert values[2 : len(FORM)] == tuple(
        gr.skip() if name == "seed" else value
        for name, value in zip(FORM[2:], usual[2:], strict=True)
    )


def test_a_page_opened_after_a_change_of_the_model_has_the_settings_for_it(memory):
    memory.engine.use(None, EngineOptions(model="owner/name"))  # of another preset than mini
    new = dict(zip(RECALLED, memory.recall(None, Visit()), strict=True))
    assert new["preset"] == "official" and new["num_inference_steps"] == 20
    assert new["prompt"] == new["picture"] == gr.skip()


def test_what_was_set_for_another_model_comes_back_with_it(memory):
    def page(model: str) -> MemoryActions:
        return MemoryActions(Services(Engine(EngineOptions(model=model)), memory.outputs))

    def changed(**changes):
        return tuple(changes.get(name, value) for name, value in zip(FORM, VALUES, strict=True))

    visit = Visit()
    visit.recalled = True
    mine = changed(negative_prompt="people", guidance_scale=2.5)
    kept = page("one").keep(None, False, visit, NOTHING_BROUGHT, None, True, "official", *mine)

    visit = Visit()
    said = str(page("two").recall(kept, visit))
    assert OTHER_MODEL in said and "Texts and settings are as you left them" not in said
    other = changed(prompt="A new text.", guidance_scale=7.0)
    kept = page("two").keep(kept, False, visit, NOTHING_BROUGHT, None, True, "paper", *other)

    values = page("one").recall(kept, visit := Visit())
    assert OTHER_MODEL not in str(values)
    back = changed(prompt="A new text.", negative_prompt="people", guidance_scale=2.5)
    assert values[: len(FORM) + 1] == (*back, "official")
    kept = page("one").keep(kept, False, visit, NOTHING_BROUGHT, None, True, "official", *back)
    assert page("two").recall(kept, Visit())[: len(FORM) + 1] == (*other, "paper")


def test_settings_stay_those_of_the_model_that_they_were_made_for(memory):
    """Another page has changed the model since this one was opened."""
    memory.recall(None, visit := Visit())
    memory.engine.use(None, EngineOptions(model="another"))
    kept = memory.keep(None, False, visit, NOTHING_BROUGHT, None, True, "mini", *VALUES)
    assert kept["model"] == "mini"
    assert OTHER_MODEL in str(memory.recall(kept, Visit()))


def test_nothing_is_kept_before_it_was_brought_back(memory):
    visit = Visit()
    assert (
        memory.keep(None, False, visit, NOTHING_BROUGHT, None, False, "official", *VALUES)
        == gr.skip()
    )
    memory.recall(None, visit)
    assert (
        memory.keep(None, False, visit, NOTHING_BROUGHT, None, False, "official", *VALUES)
        != gr.skip()
    )


def test_a_result_that_was_removed_is_missed_in_words(memory, outputs, restored, picture):
    run = outputs.keep(picture(24, 16), restored)
    gone = "20200101-000000-" + "x" * 22
    visit = Visit([gone, run.id], shown=run.id, pinned=gone)
    visit.recalled = True
    kept = memory.keep(None, False, visit, NOTHING_BROUGHT, None, True, "official", *VALUES)
    other = Visit()
    said = str(memory.recall(kept, other))
    assert (other.runs, other.pinned) == ([run.id], None)
    assert "1 older one is no longer there" in said


def test_when_all_results_are_gone_it_is_said(memory):
    gone = ["20200101-000000-" + letter * 22 for letter in "xy"]
    visit = Visit(gone, shown=gone[1])
    visit.recalled = True
    kept = memory.keep(None, False, visit, NOTHING_BROUGHT, None, True, "official", *VALUES)
    assert "Your 2 results are no longer there" in str(memory.recall(kept, Visit()))
    kept["runs"] = []
    assert "as you left them" not in str(memory.recall(kept, Visit()))  # nothing to tell


def test_while_results_are_looked_for_nothing_is_kept(memory, outputs, restored, picture):
    run = outputs.keep(picture(24, 16), restored)
    visit = Visit([run.id], shown=run.id)
    visit.recalled = True
    kept = memory.keep(None, False, visit, NOTHING_BROUGHT, None, True, "official", *VALUES)
    visit, meanwhile = Visit(), []
    find = outputs.find

    def slowly(run_id):
        typed = memory.keep(kept, False, visit, NOTHING_BROUGHT, None, False, "official", *VALUES)
        again = memory.recall(kept, visit)  # it is not done twice
        meanwhile.extend((typed, *again))
        return find(run_id)

    outputs.find = slowly
    memory.recall(kept, visit)
    assert meanwhile and all(value == gr.skip() for value in meanwhile)
    assert visit.recalled and visit.runs == [run.id]


def test_a_visit_that_gradio_has_dropped_is_taken_up_again(memory, outputs, restored, picture):
    old, pinned, new = (outputs.keep(picture(24, 16), restored) for _ in range(3))
    visit = Visit([old.id, pinned.id], shown=old.id, pinned=pinned.id)
    visit.recalled = True
    kept = memory.keep(None, True, visit, NOTHING_BROUGHT, None, True, "official", *VALUES)
    again = Visit(shown="example-cat")  # as every visit begins; the page is the one of before
    kept = memory.keep(kept, True, again, NOTHING_BROUGHT, None, False, "official", *VALUES)
    assert (kept["runs"], kept["shown"], kept["greeted"]) == ([old.id, pinned.id], old.id, True)
    again = Visit()
    again.add(new.id)
    again.shown = new.id
    kept = memory.keep(kept, True, again, NOTHING_BROUGHT, None, False, "official", *VALUES)
    assert kept["runs"] == again.runs == [old.id, pinned.id, new.id]
    assert (kept["shown"], kept["pinned"]) == (new.id, pinned.id)


def test_a_result_for_which_there_is_no_room_is_told_of(
    memory, outputs, restored, picture, monkeypatch
):
    run = outputs.keep(picture(24, 16), restored)
    visit = Visit([run.id], shown=run.id)
    visit.recalled = True
    kept = memory.keep(None, False, visit, NOTHING_BROUGHT, None, True, "official", *VALUES)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(outputs.shelf, "make", full)  # the enlarged picture; links take no room
    visit = Visit()
    assert DISK_FULL in str(memory.recall(kept, visit))
    assert visit.recalled and visit.runs == [run.id]
    runs = RunActions(Services(Engine(EngineOptions()), outputs))
    clicked = gr.SelectData(None, {"index": 0, "value": {"image": {"path": str(run.thumb)}}})
    assert DISK_FULL in str(runs.open(clicked, visit, "bicubic"))
    visit.shown = run.id
    assert DISK_FULL in str(runs.pin(visit, "bicubic")) and visit.pinned is None
    assert DISK_FULL in str(runs.compare_with(visit, "bicubic"))
    place = visit, "", 50, 50, 1
    for look in (partial(runs.look, True, *place), partial(runs.draw, True, visit, "", 4)):
        with pytest.raises(gr.Error, match=DISK_FULL):
            look()
    run = outputs.find(run.id)  # with the disk of now
    outputs.examples = {run.id: run}
    actions = Actions(Services(Engine(EngineOptions()), outputs))
    told = (0, visit, "bicubic", Before("Mine.", ""), None)
    *form, status = actions.open_example(*told)[:9]
    assert DISK_FULL in status and form == [gr.skip()] * 8 and visit.picture == Picture()
    batch = Batch()
    batch.items = [Item({}, "garden.png", (24, 16), state="done", run=run)]
    actions = BatchActions(Services(Engine(EngineOptions()), outputs))
    picked = actions.pick(batch, gr.EventData(None, {"line": 0}))
    assert DISK_FULL in dict(zip(SHOWN, picked, strict=True))["caption"]


def test_a_result_that_cannot_be_shown_now_is_not_forgotten(memory, outputs, restored, picture):
    run = outputs.keep(picture(24, 16), restored)
    visit = Visit([run.id], shown=run.id)
    visit.recalled = True
    kept = memory.keep(None, False, visit, NOTHING_BROUGHT, None, True, "official", *VALUES)
    (outputs.folder / run.id / "run.json").rename(outputs.folder / "elsewhere.json")
    assert not outputs.found([run.id])
    memory.recall(kept, visit := Visit())
    assert visit.runs == [run.id]


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"form": []},
        {"preset": "nothing"},
        {"runs": ["x" * 1000]},
        {"runs": "all"},
        {"brought": []},
        {"stranger": 1},
        {"fields": ["prompt"]},
    ],
    ids=str,
)
def test_what_cannot_be_used_leaves_the_page_as_it_is(memory, change):
    visit = Visit()
    visit.recalled = True
    kept = memory.keep(None, False, visit, NOTHING_BROUGHT, None, True, "official", *VALUES)
    assert Memory.model_validate(kept)
    other = Visit()
    assert memory.recall({**kept, **change}, other) == memory.recall(None, Visit())
    assert other.recalled and not other.runs


def test_texts_come_back_with_their_own_picture_or_none(memory, outputs, restored, picture):
    run = outputs.keep(picture(24, 16), restored, "garden")
    visit = Visit([run.id], shown=run.id)
    visit.recalled = True
    for digest, there in ((restored.recipe.input_sha256, True), ("of another one", False)):
        visit.bring(Picture("another", digest))
        kept = memory.keep(None, False, visit, NOTHING_BROUGHT, None, True, "official", *VALUES)
        other = Visit()
        slot, note = memory.recall(kept, other)[len(FORM) + 2 : len(FORM) + 4]
        assert slot == (str(run.picture) if there else None)
        assert (words.PICTURE_AGAIN in note) is not there
        assert (other.picture.title, other.picture.digest) == (
            ("garden", digest) if there else ("", "")
        )
    del kept["picture"]  # as it was kept before there was such a field
    assert memory.recall(kept, Visit())[len(FORM) + 2] == gr.skip()


def test_a_run_that_a_reload_stopped_is_told_of(memory):
    visit = Visit()
    visit.recalled = True
    said = []
    visit.restoring = Job("waiting")
    for _ in ("begun", "ended"):
        kept = memory.keep(None, False, visit, NOTHING_BROUGHT, None, True, "official", *VALUES)
        said.append(str(memory.recall(kept, Visit())))
        visit.restoring.end()
    assert words.RUN_DROPPED in said[0] and welcome_back(0, 0) in said[0]
    assert "In another tab that goes on" in said[0]  # which reads the same memory
    assert words.RUN_DROPPED not in said[1]


def test_one_bad_value_does_not_take_the_others_with_it(memory):
    visit = Visit()
    visit.recalled = True
    places = {"seed": -5, "tile_size": 96, "tile_overlap": 80, "lowlevel_prompt": "x" * 100_000}
    form = [places.get(name, value) for name, value in zip(FORM, VALUES, strict=True)]
    kept = memory.keep(None, False, visit, NOTHING_BROUGHT, None, True, "official", *form)
    assert kept["form"] == form
    back = dict(zip(FORM, memory.recall(kept, Visit()), strict=False))
    assert back == dict(zip(FORM, VALUES, strict=True)) | {
        "seed": 0, "tile_size": 96, "tile_overlap": 80, "lowlevel_prompt": ""
    }  # fmt: skip
