"""Presets of a visitor's own: names, files, and what a browser may hand back."""

from __future__ import annotations

import json
from pathlib import Path

import gradio as gr
import pytest

from studio.form import FORM, MAIN_TEXTS, fill_form
from studio.models.engine import Engine, EngineOptions
from studio.recipes import words as words_recipes
from studio.recipes.preset_actions import SHELF, PresetActions
from studio.recipes.presets import MAX_BYTES, MAX_NAME, MAX_PRESETS, NamedPreset, PresetBook
from studio.results.outputs import Outputs
from studio.results.shelf import Shelf
from studio.services import Services
from studio.texts import NOTHING_BROUGHT
from studio.visit import Visit
from xpsr.errors import XPSRError
from xpsr.prompts import Prompts
from xpsr.settings import PRESETS, Settings

PROMPTS = Prompts(prompt="Mine.", lowlevel_prompt="Noisy.", negative_prompt="<b>blur</b>")
SETTINGS = Settings(seed=9, num_inference_steps=7)


def preset(name: str = "Calm", **changes) -> NamedPreset:
    return NamedPreset.of_form(name, PROMPTS, SETTINGS.changed(**changes))


@pytest.fixture
def actions(tmp_path) -> PresetActions:
    outputs = Outputs(tmp_path / "outputs", Shelf())
    return PresetActions(Services(Engine(EngineOptions()), outputs))


def shelf(values: tuple) -> dict:
    return dict(zip(SHELF, values, strict=True))


def test_a_preset_leaves_the_picture_and_the_seed_alone():
    one = preset()
    assert set(one.texts) == {"negative_prompt", "lowlevel_negative_prompt", "added_prompt"}
    assert "seed" not in one.settings
    now = Prompts(prompt="Another.", lowlevel_prompt="Soft.")
    assert one.prompts(now).prompt == "Another."
    assert one.prompts(now).negative_prompt == "<b>blur</b>"
    assert one.all_settings(3) == SETTINGS.changed(seed=3)


def test_there_and_back_through_the_browser_and_a_file():
    book = PresetBook().added(preset()).added(preset("猫 & co", upscale=2))
    assert PresetBook.read(json.loads(book.to_json())) == book  # as BrowserState hands it over
    assert PresetBook.read(book.to_json().encode()) == book
    assert PresetBook.read(None) == PresetBook.read("") == PresetBook()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "Give the preset a name"),
        (" \t ", "Give the preset a name"),
        ("\0\u202e", "Give the preset a name"),
        ("x" * (MAX_NAME + 1), "too long"),
        ("Official", "built in"),
        *((name, "built in") for name in PRESETS),
    ],
)
def test_names_that_cannot_be_used(name, said):
    with pytest.raises(XPSRError, match=said):
        preset(name)


def test_names_are_tidied_and_taken_once():
    book = PresetBook().added(preset("  Calm \n one "))
    assert book.names() == ["Calm one"]
    with pytest.raises(XPSRError, match="already"):
        book.added(preset("calm ONE"))
    book = book.added(preset("Other"))
    with pytest.raises(XPSRError, match="already"):
        book.renamed("Other", "CALM one")
    assert book.renamed("Calm one", "CALM one").names() == ["CALM one", "Other"]
    assert book.removed("Other").names() == ["Calm one"]
    for change in (lambda: book.removed(None), lambda: book.renamed("none", "x")):
        with pytest.raises(XPSRError, match="Choose one"):
            change()
    full = PresetBook(presets=tuple(preset(str(n)) for n in range(MAX_PRESETS)))
    with pytest.raises(XPSRError, match="room for"):
        full.added(preset())


def test_a_file_adds_and_overwrites_nothing():
    mine = PresetBook().added(preset())
    theirs = PresetBook().added(preset(num_inference_steps=30)).added(preset("New"))
    both, added = mine.merged(theirs)
    assert (both.names(), added) == (["Calm", "Calm (2)", "New"], 2)
    assert both.find("Calm").settings["num_inference_steps"] == 7
    assert both.merged(theirs) == (both, 0)  # the same file twice


GOOD = json.loads(PresetBook().added(preset()).to_json())


def changed(**changes) -> dict:
    return {**GOOD, "presets": [{**GOOD["presets"][0], **changes}]}


@pytest.mark.parametrize(
    "stored",
    [
        "[" * 50_000,
        b"\xff\xfe",
        "\ud800",
        {"a": float("nan")},
        [1],
        3,
        {**GOOD, "schema_version": 2},
        {**GOOD, "kind": "other"},
        {**GOOD, "extra": 1},
        {**GOOD, "presets": GOOD["presets"] * 2},
        {**GOOD, "presets": GOOD["presets"] * (MAX_PRESETS + 1)},
        changed(name=""),
        changed(name="x" * 61),
        changed(name="a\0b"),
        changed(texts={"prompt": "not in here"}),
        changed(texts={"negative_prompt": "a\0b"}),
        changed(texts={"negative_prompt": "x" * 2001}),
        changed(settings={"upscale": 10**9}),
        changed(settings={"seed": 1}),
        changed(settings={"__class__": 1}),
        "x" * (MAX_BYTES + 1),
    ],
)
def test_what_is_no_preset_is_refused_in_a_sentence(stored, actions, tmp_path):
    with pytest.raises(XPSRError) as error:
        PresetBook.read(stored)
    assert len(str(error.value)) < 120
    assert words_recipes.PRESETS_UNREADABLE in shelf(actions.enter(stored, None))["note"]
    file = tmp_path / "brought.json"
    text = stored if isinstance(stored, (str, bytes)) else json.dumps(stored)
    file.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
    values = shelf(actions.bring(None, None, {"path": str(file)}))
    assert 'role="alert"' in values["note"] and values["stored"] == gr.skip()


def test_save_load_rename_overwrite_delete_export(actions):
    form = fill_form(PROMPTS, SETTINGS)
    values = shelf(actions.save(None, "<i>Calm</i>", "official", *form))
    assert values["chosen"]["value"] == "<i>Calm</i>" and "<i>" not in values["note"]
    exported = Path(values["export"]["value"]).read_bytes()
    stored = values["stored"]
    again = shelf(actions.save(stored, "<i>calm</i>", "official", *form))
    assert "already" in again["note"] and again["stored"] == gr.skip()

    now = fill_form(Prompts(prompt="Typed.", negative_prompt="old"), Settings(seed=4))
    told = (stored, "<i>Calm</i>", visit := Visit(), NOTHING_BROUGHT, "official")
    note, row, *filled = actions.load(*told, *now)
    new = dict(zip(FORM, filled, strict=True))
    assert "Loaded" in note
    assert row["visible"] and visit.mine[0].values["negative_prompt"] == "old"
    assert (new["negative_prompt"], new["num_inference_steps"]) == ("<b>blur</b>", 7)
    assert all(not isinstance(new[name], (str, int)) for name in (*MAIN_TEXTS, "seed"))

    wrong = [
        10**9 if name == "num_inference_steps" else one for name, one in zip(FORM, now, strict=True)
    ]
    note, _, *filled = actions.load(*told, *wrong)
    assert "Loaded" in note and dict(zip(FORM, filled, strict=True))["num_inference_steps"] == 7

    other = fill_form(PROMPTS, SETTINGS.changed(num_inference_steps=8))
    stored = shelf(actions.replace(stored, "<i>Calm</i>", "official", *other))["stored"]
    assert PresetBook.read(stored).presets[0].settings["num_inference_steps"] == 8
    stored = shelf(actions.rename(stored, "<i>Calm</i>", "Calm"))["stored"]
    assert PresetBook.read(stored).names() == ["Calm"]
    values = shelf(actions.delete(stored, "Calm"))
    assert values["undo"]["visible"]
    gone = json.loads(json.dumps(values["gone"]))
    values = shelf(actions.undo(values["stored"], gone))
    assert values["stored"] == stored and values["gone"] is None and not values["undo"]["visible"]
    stored = shelf(actions.delete(stored, "Calm"))["stored"]
    assert PresetBook.read(stored) == PresetBook()
    assert words_recipes.PRESET_CHOOSE in shelf(actions.delete(stored, "Calm"))["note"]
    assert PresetBook.read(exported).names() == ["<i>Calm</i>"]
