"""The Recipes tab without a browser: what is refused, what is shown first, what is then applied."""

from __future__ import annotations

import errno
import json
import random
import shlex
import zipfile
from pathlib import Path

import gradio as gr
import pytest
from made_runs import keep_run, make_recipe
from PIL import Image, PngImagePlugin

from studio import texts
from studio import words as page_words
from studio.form import FORM, fill_form, read_form
from studio.models.engine import Engine, EngineOptions
from studio.recipes import archive as recipe_archive
from studio.recipes import words as words_recipes
from studio.recipes.actions import APPLIED, BROUGHT, RUN, Recipes, rerun_command
from studio.restore import words
from studio.restore.actions import ANOTHER_PICTURE, Actions
from studio.restore.describing import Before
from studio.results.outputs import Outputs
from studio.results.shelf import Shelf
from studio.results.words import DISK_FULL
from studio.services import Services
from studio.visit import Visit
from xpsr.prompts import PROMPT_NAMES, Prompts
from xpsr.prompts.provenance import Origin
from xpsr.recipe import PNG_KEY, read_recipe, save_png
from xpsr.settings import Settings

NOW = fill_form(Prompts.from_preset("mini", prompt="A dog."), Settings.from_preset("mini"))


@pytest.fixture
def outputs(tmp_path) -> Outputs:
    return Outputs(tmp_path / "outputs", Shelf())


@pytest.fixture
def recipes(outputs) -> Recipes:
    return Recipes(Services(Engine(EngineOptions()), outputs))


def payload(path: Path) -> dict:
    return {"path": str(path), "orig_name": path.name}


def bring(recipes: Recipes, path: Path, picture: Path | None = None) -> dict:
    brought = recipes.bring_file(payload(path), picture and payload(picture), "mini", *NOW)
    return dict(zip(BROUGHT, brought, strict=True))


def apply(recipes: Recipes, recipe, visit=None, *, before=None, form=NOW, everything=True) -> dict:
    given = recipe, before, visit or Visit(), texts.NOTHING_BROUGHT, *form
    return dict(zip(APPLIED, recipes.apply(*given, everything=everything), strict=True))


def recipe_json(picture, **changes) -> dict:
    recipe = make_recipe(picture(24, 16), picture(48, 32), settings=Settings(seed=3))
    return {**json.loads(recipe.to_json()), **changes}


def hostile_files(folder: Path, picture) -> dict[str, Path]:
    """Files that somebody may drop, each of which must be refused."""
    good = recipe_json(picture)
    texts = {
        "huge.json": "{" + " " * 3_000_000 + "}",
        "nul.json": json.dumps({**good, "prompts": {"prompt": "a\0b"}}),
        "nested.json": '{"a":' * 20_000 + "1" + "}" * 20_000,
        "list.json": "[1, 2]",
        "number.json": "1e999",
        "html.json": "<!doctype html><script>alert(1)</script>",
        "types.json": json.dumps({**good, "settings": {"seed": "7; rm -rf"}}),
        "infinite.json": json.dumps({**good, "settings": {"guidance_scale": float("inf")}}),
        "unknown.json": json.dumps({**good, "__class__": "os.system"}),
        "model.json": json.dumps({**good, "model": "../../etc/passwd"}),
        "base.json": json.dumps({**good, "base": "file:///etc/passwd"}),
        "provenance.json": json.dumps({**good, "provenance": {"prompt": [{"origin": "<b>"}]}}),
        "presets.json": json.dumps({"kind": "xpsr presets", "schema_version": 1, "presets": []}),
        "empty.json": "",
        "text.png": "this is no picture",
    }
    paths = {}
    for name, text in texts.items():
        paths[name] = folder / name
        paths[name].write_text(text, encoding="utf-8")
    for name, said, compressed in (
        ("megabyte.png", "x" * 1_000_000, False),
        ("bomb.png", "[" * 1_000_000, True),
        ("foreign.png", '{"prompt": "masterpiece"}', False),
        ("none.png", None, False),
    ):
        info = PngImagePlugin.PngInfo()
        if said is not None:
            info.add_itxt(PNG_KEY, said, zip=compressed)
        paths[name] = folder / name
        picture(8, 8).save(paths[name], pnginfo=info)
    cut = folder / "cut.png"
    cut.write_bytes(paths["none.png"].read_bytes()[:30])
    return {**paths, "cut.png": cut, "missing.png": folder / "missing.png"}


def test_hostile_and_foreign_files_are_refused_in_a_sentence(recipes, picture, tmp_path):
    for name, path in hostile_files(tmp_path, picture).items():
        shown = bring(recipes, path)
        assert shown["recipe"] is None and shown["preview"] == "", name
        assert 'role="alert"' in shown["note"] and len(shown["note"]) < 450, name
        assert "<script" not in shown["note"] and words_recipes.OPEN not in shown["note"], name
        assert "not your fault" not in shown["note"], f"{name}: {shown['note']}"
        assert not shown["decision"]["visible"], name


def test_files_of_the_machine_are_not_opened(recipes, tmp_path_factory, monkeypatch):
    """Who names a path instead of bringing a file gets nothing of it."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("uploads")))
    for wrong in ({"path": "/etc/passwd"}, "/etc/passwd", {"path": __file__}, [1], None):
        brought = recipes.bring_file(wrong, None, "mini", *NOW)
        shown = dict(zip(BROUGHT, brought, strict=True))
        assert shown["recipe"] is None and "root:" not in shown["note"]
        assert 'role="alert"' in shown["note"] and "passwd" not in shown["note"]


def test_bytes_changed_at_random_never_raise(recipes, picture, tmp_path):
    whole = tmp_path / "whole.png"
    save_png(picture(8, 8), make_recipe(picture(8, 8), picture(8, 8)), whole)
    chance = random.Random(0)
    for source in (whole.read_bytes(), read_recipe(whole).to_json().encode()):
        for number in range(150):
            data = bytearray(source)
            for _ in range(chance.randint(1, 6)):
                data[chance.randrange(len(data))] = chance.randrange(256)
            path = tmp_path / f"{number}.bin"
            path.write_bytes(data[: chance.choice([len(data), chance.randrange(len(data))])])
            shown = bring(recipes, path)
            assert "not your fault" not in shown["note"], path.read_bytes()


def test_first_what_would_change_then_the_form(recipes, outputs, picture, tmp_path):
    hostile = "A cat <img src=x onerror=alert(1)>."
    before = picture(24, 16)
    run = keep_run(
        outputs,
        before,
        prompts=Prompts(prompt=hostile, lowlevel_prompt="Noisy."),
        settings=Settings(seed=5, num_inference_steps=9),
    )
    before.save(tmp_path / "same.png")
    picture(16, 24).save(tmp_path / "other.png")
    for path in (run.after, run.recipe_file):
        shown = bring(recipes, path, tmp_path / "same.png")
        assert shown["recipe"] == run.recipe and shown["decision"]["visible"]
        assert "<img" not in shown["preview"] and "&lt;img" in shown["preview"]
        for said in ("What is in the picture", "What is wrong with it", "Seed", "Steps", ">9<"):
            assert said in shown["preview"]
        assert words_recipes.PICTURE_SAME in shown["note"]
        assert words_recipes.MODEL_UNKNOWN in shown["note"]  # nothing is loaded for this
    other = bring(recipes, run.after, tmp_path / "other.png")
    assert words_recipes.PICTURE_OTHER in other["note"]
    assert words_recipes.PICTURE_NONE in bring(recipes, run.after)["note"]

    values = apply(recipes, run.recipe)
    assert (values["prompt"], values["seed"], values["num_inference_steps"]) == (hostile, 5, 9)
    assert {one.origin.kind for one in values["written"][0]} == {"recipe"}
    assert values["recipe"] is None and not values["decision"]["visible"]
    texts = apply(recipes, run.recipe, everything=False)
    assert [texts[name] for name in PROMPT_NAMES] == [values[name] for name in PROMPT_NAMES]
    assert all(not isinstance(texts[name], (int, float, str)) for name in FORM[5:])
    filled = fill_form(run.recipe.prompts, run.recipe.settings)
    assert tuple(values[name] for name in FORM) == filled
    # Twice clicked: it was taken in by the first click.
    unasked = apply(recipes, None)
    assert not any(isinstance(value, (str, int, float)) for value in unasked.values())


def test_that_ones_own_text_is_still_there_is_not_said_once_a_recipe_has_replaced_it(
    recipes, picture, tmp_path
):
    (image := picture(16, 24)).save(path := tmp_path / "own.png")
    told = (visit := Visit(), "My own.", "", texts.NOTHING_BROUGHT, None)
    said = Actions(Services(recipes.engine, recipes.outputs)).receive(payload(path), *told)[1]
    applied = apply(recipes, make_recipe(image, image), visit)
    assert words.TEXT_STAYS in said and words.TEXT_STAYS not in applied["picture_note"]
    assert page_words.picture((16, 24)) in applied["picture_note"]


def test_what_a_recipe_replaces_can_come_back(recipes, picture):
    recipe, visit = make_recipe(picture(16, 16), picture(16, 16)), Visit()
    assert apply(recipes, recipe, visit, everything=False)["own_texts"]["visible"]
    assert visit.mine[-1].values == dict(zip(PROMPT_NAMES, NOW, strict=False))
    apply(recipes, recipe, visit)
    assert visit.mine[-1].values == dict(zip(FORM, NOW, strict=True))
    there = fill_form(recipe.prompts, recipe.settings)
    assert not apply(recipes, recipe, form=there)["own_texts"]["visible"]  # it changes nothing
    nothing = fill_form(Prompts(), Settings(seed=3))
    assert not apply(recipes, recipe, form=nothing)["own_texts"]["visible"]


def test_the_texts_of_a_recipe_stay_for_its_own_picture_and_no_other(recipes, picture, tmp_path):
    own, other = picture(16, 24), picture(24, 16)
    recipe, files = make_recipe(own, own), (tmp_path / "own.png", tmp_path / "other.png")
    for image, path in zip((own, other), files, strict=True):
        image.save(path)
    form = recipe.prompts.prompt, recipe.prompts.lowlevel_prompt, texts.restored(recipe)

    def receive(path: Path, visit: Visit) -> tuple:
        apply(recipes, recipe, visit)  # before there is any picture
        values = actions.receive(payload(path), visit, *form, None)
        page = dict(zip(ANOTHER_PICTURE, values, strict=True))
        assert "alert" not in page["picture_note"]
        return page["prompt"], page["lowlevel_prompt"], page["written"]

    actions = Actions(Services(recipes.engine, recipes.outputs))
    assert receive(files[0], visit := Visit()) == (gr.skip(),) * 3
    assert not visit.expected
    assert receive(files[1], Visit()) == ("", "", ((), (), *form[2][2:]))


def test_what_a_describer_would_write_over_is_not_applied(recipes, picture):
    recipe = make_recipe(picture(16, 16), picture(16, 16))
    shown = apply(recipes, recipe, before=Before("My own.", "Mine too."))
    assert words_recipes.DESCRIBING in shown.pop("note")
    assert all(value == gr.skip() for value in shown.values())  # the recipe still waits there


def test_another_model_is_said(recipes, tiny_pipeline, picture, tmp_path, monkeypatch):
    monkeypatch.setattr(recipes.engine, "_pipeline", tiny_pipeline)
    here = tiny_pipeline.surroundings()
    cases = (
        ({}, None),
        ({"model": "owner/name"}, "another model (owner/name)"),
        ({"dtype": "float16"}, words_recipes.VERSIONS_OTHER),
    )
    for changes, said in cases:
        recipe = make_recipe(picture(8, 8), picture(8, 8), **{**here, **changes})
        path = tmp_path / "recipe.json"
        path.write_text(recipe.to_json())
        note = bring(recipes, path)["note"]
        assert words_recipes.MODEL_UNKNOWN not in note
        assert said in note if said else "another model" not in note and "differ" not in note


def test_a_form_that_cannot_be_used_does_not_hide_the_recipe(recipes, outputs, picture):
    prompts, settings = read_form("mini", NOW)
    run = keep_run(outputs, picture(24, 16), prompts=prompts, settings=settings)
    values = list(NOW)
    values[FORM.index("num_inference_steps")] = 10**9
    shown = dict(zip(BROUGHT, recipes.bring_run(run.id, None, "mini", *values), strict=True))
    assert "“Steps” is 1000000000" in shown["note"]
    assert shown["recipe"] == run.recipe
    assert words_recipes.NOTHING_CHANGES not in shown["note"]
    assert words_recipes.SETTINGS_SAME not in shown["preview"]
    whole = dict(zip(BROUGHT, recipes.bring_run(run.id, None, "mini", *NOW), strict=True))
    assert words_recipes.NOTHING_CHANGES in whole["note"]
    assert words_recipes.SETTINGS_SAME in whole["preview"]


def test_what_a_recipe_notes_is_told_of_a_result_and_of_what_is_dropped(recipes, outputs, picture):
    noted = ("The end of <b>the prompt</b> was cut off.", "It was turned upright.")
    run = keep_run(outputs, picture(24, 16), notes=noted)
    shown = dict(zip(RUN, recipes.show_run(run.id), strict=True))
    for said in (shown["details"], bring(recipes, run.recipe_file)["note"]):
        assert "Noted when it was made: The end of &lt;b&gt;the prompt" in said
        assert "It was turned upright." in said
    plain = keep_run(outputs, picture(24, 16))
    assert recipes.show_run(plain.id)[RUN.index("details")] == ""
    assert "Noted" not in bring(recipes, plain.recipe_file)["note"]


def full_disk(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_the_list_of_a_visit_and_what_can_be_taken_away(
    recipes, outputs, picture, tmp_path, monkeypatch
):
    titles = ["сад", "../../<b>", ""]
    runs = [keep_run(outputs, picture(24, 16), shade, title) for shade, title in enumerate(titles)]
    visit = Visit([run.id for run in runs])
    listed, make_zip, *details = recipes.list_runs(visit, None)
    assert [run_id for _, run_id in listed["choices"]] == [run.id for run in reversed(runs)]
    assert listed["choices"][-1][0].startswith("1 · сад · seed 0 · official · 1.5 s · ")
    shown = dict(zip(RUN, details, strict=True))
    assert shown["save_png"]["value"] == str(runs[-1].after) and make_zip["interactive"]
    assert read_recipe(shown["save_json"]["value"]) == runs[-1].recipe
    note, button = recipes.pack(visit)
    assert "3 results packed" in note
    with zipfile.ZipFile(button["value"]) as archive:
        names = archive.namelist()
        archive.extractall(tmp_path / "out")
    assert f"01-{runs[0].after.name}" in names
    assert f"02-{runs[1].recipe_file.name}" in names
    assert runs[0].after.name.startswith("сад-x4-seed0-")
    assert runs[1].after.name.startswith("_b_-x4-seed0-")
    assert sum(name.endswith("-input.png") for name in names) == 1  # all three came from one
    for name in names:
        if name.endswith(".png") and not name.endswith("-input.png"):
            with Image.open(tmp_path / "out" / name) as image:
                assert read_recipe(tmp_path / "out" / name).is_output(image)
    with monkeypatch.context() as patched:
        patched.setattr(recipe_archive, "pack", full_disk)
        assert DISK_FULL in recipes.pack(visit)[0]
    size = runs[0].after.stat().st_size + runs[0].picture.stat().st_size
    assert recipe_archive.pack(runs, tmp_path / "small.zip", limit=2 * size + 500) == 1
    _, asked = recipes.compare(runs[0].id, visit)
    assert asked[:2] == (runs[2].id, runs[0].id)
    visit.pinned = runs[1].id
    assert recipes.compare(runs[0].id, visit)[1][:2] == (runs[1].id, runs[0].id)
    visit.shown = runs[1].id  # opened again on the first tab, to go on from it
    assert recipes.list_runs(visit, None)[0]["value"] == runs[1].id
    assert recipes.list_runs(visit, runs[0].id)[0]["value"] == runs[0].id  # chosen here
    nothing, make_zip, *_ = recipes.list_runs(Visit(), None)
    assert not nothing["visible"] and not make_zip["interactive"]


def test_the_command_that_repeats_a_run(outputs, picture):
    run = keep_run(outputs, picture(24, 16), settings=Settings(seed=7, upscale=2))
    assert run.after.name.startswith("garden-x2-seed7-")
    assert rerun_command(run) == (
        f"python -m xpsr rerun {run.after.name} --image PICTURE --out again"
    )
    other = keep_run(outputs, picture(24, 16), model="my model", base="owner/sd15")
    assert shlex.split(rerun_command(other))[-4:] == ["--model", "my model", "--base", "owner/sd15"]


def test_a_text_of_another_preset_is_still_the_presets():
    """A recipe of "official" in a form of "mini" brings texts that nobody has typed."""
    told = texts.origins(Prompts.from_preset("official", added_prompt="My own words."), "mini")
    assert {one.origin for one in told["negative_prompt"]} == {Origin("preset", "official")}
    assert {one.origin for one in told["added_prompt"]} == {Origin("typed")}
