"""The record of a run survives every way it travels, and nothing else gets in."""

from __future__ import annotations

import hashlib
import json

import pytest
from PIL import Image, PngImagePlugin

from xpsr.errors import XPSRError
from xpsr.image import pixel_sha256
from xpsr.prompts import MAX_CHARACTERS, PROMPT_NAMES, Prompts
from xpsr.prompts.provenance import Origin, Sentence, from_preset, trace_all, written
from xpsr.recipe import MAX_BYTES, PNG_KEY, Recipe, Versions, model_label, read_recipe, save_png
from xpsr.recipe_changes import (
    changed_settings,
    changed_surroundings,
    same_input,
    surroundings,
)
from xpsr.revision import revision_of
from xpsr.settings import Settings


def make_recipe(**changes) -> Recipe:
    return Recipe(
        **{
            "model": "mini",
            "prompts": Prompts(prompt='A 猫 says "hé"\n👩‍👧', lowlevel_prompt="Blurred."),
            "settings": Settings(seed=4_000_000_000, guidance_scale=1.5),
            "versions": Versions.here(),
            "device": "cpu",
            "dtype": "float32",
            "hardware": "x86_64 AVX2",
            "threads": 8,
            "input_sha256": "0" * 64,
            "input_size": (3, 4),
            "output_sha256": "a" * 64,
            "output_size": (12, 16),
            "notes": ("The first frame is used.",),
            **changes,
        }
    )


def changed_json(**changes) -> str:
    return json.dumps({**json.loads(make_recipe().to_json()), **changes})


def test_json_and_back_is_the_same():
    recipe = make_recipe()
    again = Recipe.from_json(recipe.to_json())
    assert again == recipe and again.to_json() == recipe.to_json()
    assert isinstance(again.settings, Settings) and isinstance(again.prompts, Prompts)
    assert again.seed == 4_000_000_000
    assert Recipe.from_json(recipe.to_json().encode()) == recipe


def test_versions_are_those_installed():
    import torch

    import xpsr

    versions = Versions.here()
    assert versions.xpsr == xpsr.__version__
    assert torch.__version__.startswith(versions.torch.split("+")[0])
    assert versions.transformers


def test_a_recipe_tells_which_weights_they_were(tmp_path):
    """By the commit of a hub id, by the contents of a folder; the name alone is not enough."""
    folder = tmp_path / "model"
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights.parent.mkdir(parents=True)
    assert revision_of(folder) is None
    weights.write_bytes(b"a" * 1000)
    first = revision_of(folder)
    weights.write_bytes(b"a" * 999 + b"b")
    assert first != revision_of(folder)
    weights.write_bytes(b"a" * 1000)
    assert revision_of(folder) == first
    with weights.open("r+b") as file:  # larger than what is read from end to end
        file.truncate(100 << 20)
        sparse = revision_of(folder)
        file.seek(-1, 2)
        file.write(b"x")
    assert revision_of(folder) != sparse
    commit = "0123456789abcdef" * 2 + "01234567"
    cached = tmp_path / "models--a--b" / "snapshots" / commit
    cached.mkdir(parents=True)
    assert revision_of(cached) == commit
    for revision in (first, commit):
        recipe = make_recipe(revision=revision, base="owner/sd15", base_revision=commit)
        assert Recipe.from_json(recipe.to_json()) == recipe


def test_what_differs_between_two_recipes():
    before, after = make_recipe(), make_recipe(model="owner/name", threads=None)
    after = after.model_copy(
        update={"settings": before.settings.changed(seed=1, start="noise"), "dtype": "float16"}
    )
    assert changed_settings(before.settings, after.settings) == [
        ("seed", 4_000_000_000, 1),
        ("start", "lr_twice", "noise"),
    ]
    # What one of the two does not tell, here the threads, is no difference.
    assert changed_surroundings(surroundings(before), surroundings(after)) == [
        ("model", "mini", "owner/name"),
        ("dtype", "float32", "float16"),
    ]
    assert same_input(before, after) is True
    assert same_input(before, make_recipe(input_sha256="1" * 64)) is False
    old = make_recipe(schema_version=1)
    assert same_input(before, old) is None
    assert same_input(before, old.model_copy(update={"input_size": (9, 9)})) is False


def test_png_and_back_is_the_same(tmp_path, picture):
    path, recipe, image = tmp_path / "x.png", make_recipe(), picture(21, 18)
    save_png(image, recipe, path)
    assert read_recipe(path) == recipe
    with Image.open(path) as stored:
        stored.load()
        assert pixel_sha256(stored) == pixel_sha256(image)
        assert set(stored.info) == {PNG_KEY}
        save_png(stored.convert("RGB"), read_recipe(path), tmp_path / "y.png")
    assert (tmp_path / "y.png").read_bytes() == path.read_bytes()


def test_json_file_and_back_is_the_same(tmp_path):
    path = tmp_path / "x.json"
    for encoding in ("utf-8", "utf-8-sig"):  # the latter as some editors save it
        path.write_text(make_recipe().to_json(), encoding=encoding)
        assert read_recipe(path) == make_recipe()


def test_recipes_of_version_1_are_read_and_compared_as_they_were_made(picture):
    """They knew no threads and no revisions, and their hash covered the size of the picture."""
    image = picture(21, 18)
    old = json.loads(make_recipe().to_json())
    del old["hardware"], old["threads"], old["versions"]["transformers"]
    hashed = b"RGB 21x18\n" + image.tobytes()
    old |= {"schema_version": 1, "output_sha256": hashlib.sha256(hashed).hexdigest()}
    recipe = Recipe.from_json(json.dumps(old))
    assert (recipe.schema_version, recipe.threads, recipe.hardware) == (1, None, None)
    assert recipe.is_output(image) and not recipe.is_output(picture(18, 21))
    assert Recipe.from_json(recipe.to_json()) == recipe
    new = make_recipe(input_sha256=pixel_sha256(image))
    assert new.is_input(image) and not new.is_output(image)


def test_a_recipe_tells_who_wrote_each_sentence():
    prompts = Prompts(prompt="A cat. It sleeps.", lowlevel_prompt="Blurred.", added_prompt="")
    brought = {**from_preset("official"), "prompt": written("A cat.", Origin("llava", "llava@1"))}
    told = make_recipe(prompts=prompts).with_provenance(trace_all(prompts, brought))
    again = Recipe.from_json(told.to_json())
    assert again == told and again.to_json() == told.to_json()
    assert again.sentences("prompt") == (
        Sentence("A cat. ", Origin("llava", "llava@1")),
        Sentence("It sleeps.", Origin("typed")),
    )
    assert again.sentences("negative_prompt")[0].origin == Origin("preset", "official")
    assert again.sentences("added_prompt") == ()
    assert make_recipe(prompts=prompts).sentences("prompt")[0].origin == Origin("recipe")


def test_recipes_from_before_a_setting_existed_are_read():
    old = json.loads(make_recipe().to_json())
    for name in ("long_prompts", "added_position", "lowlevel_route"):
        del old["settings"][name]
    found = Recipe.from_json(json.dumps(old))
    assert found.notes[0] == (
        "This recipe does not tell long_prompts, added_position, lowlevel_route: the default is "
        "taken."
    )
    assert Recipe.from_json(found.to_json()) == found  # told once
    settings = found.settings
    # What these recipes were made with.
    assert (settings.long_prompts, settings.added_position) == ("truncate", "suffix")
    assert settings.lowlevel_route == "lowlevel"


def test_what_a_recipe_does_not_tell_is_said():
    bare = Recipe.from_json(changed_json(settings={"seed": 5}, prompts={"lowlevel_prompt": "x"}))
    note, _ = bare.notes
    assert "tell prompt, negative_prompt" in note and "scheduler" in note and "seed" not in note
    assert Recipe.from_json(make_recipe().to_json()).notes == make_recipe().notes


def test_the_largest_recipe_of_ours_is_small_enough():
    worst = "\U0001f600" * MAX_CHARACTERS
    patchwork = [Sentence("A. ", Origin("edited", f"{n:060}")) for n in range(300)]
    recipe = make_recipe(prompts=Prompts(*[worst] * 5), notes=("n" * 500,) * 20)
    recipe = recipe.with_provenance(dict.fromkeys(PROMPT_NAMES, patchwork))
    assert len(recipe.to_json().encode()) < MAX_BYTES
    assert Recipe.from_json(recipe.to_json()) == recipe


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "cannot be read as JSON"),
        ("{", "cannot be read as JSON"),
        ("[" * 50_000, "cannot be read as JSON"),
        (b"\xff\xfe\x00", "cannot be read as JSON"),
        ("\ud800", "cannot be read as JSON"),
        ("3", "object"),
        ("{}", "model"),
        ("x" * (MAX_BYTES + 1), "larger than 64 kB"),
        (changed_json(schema_version=0), "schema_version"),
        (changed_json(extra="<script>"), "extra"),
        (changed_json(model="/etc/passwd"), "not allowed"),
        (changed_json(model="../../x"), "not allowed"),
        (changed_json(model="C:\\x"), "not allowed"),
        (changed_json(model="a" * 101), "model"),
        (changed_json(base="/srv/sd15"), "not allowed"),
        (changed_json(revision="main"), "revision"),
        (changed_json(base_revision="weights-xyz"), "base_revision"),
        (changed_json(settings=[1]), "settings of this recipe"),
        (changed_json(settings={"seed": 1, "evil": 2}), 'unknown entry, "evil"'),
        (changed_json(settings={"upscale": 10**9}), "upscale is 1000000000"),
        (changed_json(settings={"tile_size": 32}), "tile_size is 32; it must be 0, for no tiles"),
        (changed_json(settings={"scheduler": "__import__"}), "ddpm, ddim"),
        (changed_json(prompts={"prompt": "a\0"}), "unprintable"),
        (changed_json(prompts={"prompt": 5}), "must be a text"),
        (changed_json(prompts={"prompt": "x" * 2001}), "shorten it"),
        (changed_json(input_sha256="../x"), "input_sha256"),
        (changed_json(output_size=[0, 5]), "output_size"),
        (changed_json(threads=0), "threads"),
        (changed_json(settings={"long_prompts": "forever"}), "truncate, protect, chunk"),
        (changed_json(provenance={"prompt": [{"sentences": 1, "origin": "me"}]}), "provenance"),
        (changed_json(provenance={"prompt": [{"sentences": 10**9, "origin": "typed"}]}), "prove"),
        (changed_json(provenance={"other": []}), "provenance"),
        (changed_json(threads=10**6), "threads"),
        (changed_json(notes=["n" * 501]), "notes"),
        (changed_json(notes=["n"] * 21), "notes"),
    ],
)
def test_foreign_oversized_and_hostile_text_is_refused(text, words):
    with pytest.raises(XPSRError, match=words) as error:
        Recipe.from_json(text)
    assert "\n" not in str(error.value) and len(str(error.value)) < 250


@pytest.mark.parametrize("more", [{"sparkle": 1}, {"prompts": {"sixth": "x"}}])
def test_a_recipe_of_a_newer_version_says_that_it_is(more):
    newer = {**json.loads(make_recipe().to_json()), "schema_version": 4, **more}
    with pytest.raises(XPSRError, match="is of version 4; here they are read up to version 3"):
        Recipe.from_json(json.dumps(newer))


def test_files_without_a_recipe_are_refused_in_a_sentence(tmp_path, picture):
    with pytest.raises(XPSRError, match="cannot be opened"):
        read_recipe(tmp_path / "none.png")
    with pytest.raises(XPSRError, match="is a folder; give a PNG or JSON file in it"):
        read_recipe(tmp_path)
    plain = tmp_path / "plain.png"
    picture(8, 8).save(plain)
    with pytest.raises(XPSRError, match="carries no recipe"):
        read_recipe(plain)
    photo = tmp_path / "photo.jpg"
    picture(8, 8).save(photo)
    with pytest.raises(XPSRError, match="photo.jpg carries no recipe"):
        read_recipe(photo)
    broken = tmp_path / "broken.png"
    broken.write_bytes(plain.read_bytes()[:20])
    with pytest.raises(XPSRError, match="damaged"):
        read_recipe(broken)


@pytest.mark.parametrize("compressed", [False, True])
def test_hostile_text_in_a_png_is_refused(tmp_path, picture, compressed):
    texts = PngImagePlugin.PngInfo()
    texts.add_itxt(PNG_KEY, "[" * 3_000_000, zip=compressed)
    path = tmp_path / "bomb.png"
    picture(8, 8).save(path, pnginfo=texts)
    with pytest.raises(XPSRError):
        read_recipe(path)


def test_a_huge_png_is_not_decoded(tmp_path):
    """13000 x 13000 pixels are read for their recipe at once, in a few kilobytes of memory."""
    path = tmp_path / "huge.png"
    texts = PngImagePlugin.PngInfo()
    texts.add_itxt(PNG_KEY, make_recipe().to_json())
    Image.new("1", (13000, 13000)).save(path, pnginfo=texts)
    assert read_recipe(path) == make_recipe()


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("mini", "mini"),
        ("owner/name-1.5", "owner/name-1.5"),
        ("/home/me/models/checkpoint-300000", "checkpoint-300000"),
        ("./runs/xpsr/", "xpsr"),
        ("C:\\models\\xpsr", "xpsr"),
        ("models/deep/xpsr", "xpsr"),
        ("/a/my;model", "my_model"),
        ("/", "unnamed"),
        ("..", "_"),
    ],
)
def test_recipes_name_models_without_their_path(name, label):
    assert model_label(name) == label
    assert make_recipe(model=label).model == label
