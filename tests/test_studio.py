"""The studio without a browser: its endpoints, what it serves, and its handlers."""

from __future__ import annotations

import io
import json
import threading
import time
from pathlib import Path

import gradio as gr
import httpx
import pytest
from bad_files import EXPECTED, SIZES, make_bad_files
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from loops import all_of, in_a_loop
from made_runs import keep_run
from PIL import Image
from studio_server import ROOT, Studio, save_tiny, studio_for

import xpsr
from studio import examples, markup
from studio.form import fill_form, read_form
from studio.job import Job
from studio.models.engine import Engine, EngineOptions
from studio.restore import words
from studio.restore.actions import ANOTHER_PICTURE, EXAMPLE, Actions
from studio.restore.describing import Before
from studio.results import scores_markup
from studio.results.outputs import Outputs
from studio.results.scores import Row
from studio.results.shelf import Shelf
from studio.services import Services
from studio.texts import NOTHING_BROUGHT, described, joined
from studio.visit import Visit
from xpsr.image import pixel_sha256
from xpsr.metrics import METRICS, Score
from xpsr.prompts import PROMPT_NAMES, Prompts
from xpsr.prompts.budget import FittedText, Piece
from xpsr.recipe import Recipe, read_recipe
from xpsr.settings import PRESETS, SETTING_NAMES, Settings

QUICK = {"num_inference_steps": 2, "upscale": 2, "api_name": "/restore"}


@pytest.fixture(scope="session")
def model(tiny_pipeline) -> Path:
    return save_tiny(tiny_pipeline)


@pytest.fixture(scope="session")
def studio(model) -> Studio:
    return studio_for(model)


@pytest.fixture(scope="session")
def client(studio) -> Client:
    return Client(studio.url, verbose=False)


@pytest.fixture(scope="session")
def photo(picture, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("photo") / "garden.png"
    picture(48, 33).save(path)
    return path


@pytest.fixture(scope="session")
def bad_files(tmp_path_factory) -> dict[str, Path]:
    return make_bad_files(tmp_path_factory.mktemp("bad"))


@pytest.fixture
def engine(tiny_pipeline) -> Engine:
    """An engine that has its model already."""
    engine = Engine(EngineOptions())
    engine._pipeline = tiny_pipeline
    return engine


@pytest.fixture
def actions(engine, tmp_path) -> Actions:
    return Actions(Services(engine, Outputs(tmp_path / "outputs", Shelf())))


def assert_sentence(error: BaseException) -> None:
    """What a visitor reads: one plain sentence or two, and nothing of our insides."""
    text = str(error)
    assert 10 < len(text) < 300, text
    assert text.rstrip().endswith("."), text
    for leak in ("Traceback", "Error(", ".py", "/tmp", "gradio", "None"):
        assert leak not in text, text


# The endpoints ----------------------------------------------------------------------------------


def test_exactly_four_endpoints_are_public(client):
    named = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    assert set(named) == {"/describe", "/restore", "/score", "/count_tokens"}
    parameters = {p["parameter_name"]: p for p in named["/restore"]["parameters"]}
    assert set(parameters) == {"image", "preset", *PROMPT_NAMES, *Settings.__dataclass_fields__}
    needed = [name for name, p in parameters.items() if not p["parameter_has_default"]]
    assert needed == ["image"]
    assert all(endpoint["description"] for endpoint in named.values())


def test_describe_gives_both_texts_and_their_origin(client, photo):
    said = client.predict(image=handle_file(photo), api_name="/describe")
    assert set(said) == {"high", "low", "source"}
    assert said["source"] == "measured"
    assert said["high"].endswith(".") and said["low"].endswith(".")


def test_restore_delivers_a_png_with_its_recipe(client, photo):
    path, facts = client.predict(
        image=handle_file(photo), prompt="A garden.", lowlevel_prompt="Noisy.", seed=5, **QUICK
    )
    with Image.open(path) as image:
        assert (image.format, image.size) == ("PNG", (96, 66))
    recipe = read_recipe(path)
    assert recipe == Recipe.from_json(json.dumps(facts["recipe"]))
    assert recipe.prompts.prompt == "A garden."
    assert recipe.prompts.negative_prompt == Prompts.from_preset("mini").negative_prompt
    assert recipe.settings == Settings.from_preset("mini", num_inference_steps=2, upscale=2, seed=5)
    assert facts["size"] == [96, 66]
    assert isinstance(facts["scores"]["piqe"]["after"], float)


def test_the_seed_decides_and_empty_means_the_presets_own(client, photo):
    def pixels(**changes):
        return client.predict(image=handle_file(photo), **{**QUICK, **changes})[1]["sha256"]

    first = pixels(seed=1)
    assert pixels(seed=1, preset="mini", scheduler="", color_fix=None) == first
    assert pixels(seed=2) != first


def test_every_step_is_told_before_the_result(client, photo):
    job = client.submit(image=handle_file(photo), **{**QUICK, "num_inference_steps": 5})
    job.result(timeout=60)
    *steps, (path, facts) = job.outputs()
    assert steps, "no step arrived"
    assert all(none is None and told["steps"] == 5 for none, told in steps)
    numbers = [told["step"] for _, told in steps]
    assert numbers == sorted(numbers) and set(numbers) <= {1, 2, 3, 4, 5}
    assert path.endswith(".png") and facts["seconds"] > 0


def test_cancel_frees_the_queue_within_a_step(client, photo):
    job = client.submit(image=handle_file(photo), **{**QUICK, "num_inference_steps": 500})
    end = time.monotonic() + 60
    while not job.outputs():
        assert time.monotonic() < end, "no step arrived"
        time.sleep(0.02)
    job.cancel()
    started = time.monotonic()
    client.predict(image=handle_file(photo), **QUICK)
    assert time.monotonic() - started < 25  # the other 499 steps take longer


def test_two_visitors_get_their_own_results(studio, photo):
    facts: dict[int, dict] = {}

    def visit(seed: int) -> None:
        one = Client(studio.url, verbose=False)
        facts[seed] = one.predict(image=handle_file(photo), seed=seed, **QUICK)[1]

    visitors = [threading.Thread(target=visit, args=(seed,)) for seed in (11, 12)]
    for visitor in visitors:
        visitor.start()
    for visitor in visitors:
        visitor.join(timeout=90)
    assert {seed: told["seed"] for seed, told in facts.items()} == {11: 11, 12: 12}
    assert facts[11]["sha256"] != facts[12]["sha256"]


def test_score_with_and_without_other_pictures(client, photo):
    alone = client.predict(image=handle_file(photo), metrics="piqe", api_name="/score")
    assert 0 <= alone["piqe"] <= 100
    same = client.predict(
        image=handle_file(photo), reference=handle_file(photo), metrics="ssim", api_name="/score"
    )
    assert same["ssim"] == pytest.approx(1, abs=1e-4)
    assert client.predict(image=handle_file(photo), api_name="/score")
    with pytest.raises(AppError, match="metrics names no score"):  # and not all of them
        client.predict(image=handle_file(photo), metrics=", ,", api_name="/score")


@pytest.mark.parametrize("name", ["describe", "restore", "score"])
def test_a_script_without_a_picture_is_told_in_its_own_words(client, name):
    with pytest.raises(AppError, match=r"give one as image, in Python image=handle_file\(path\)"):
        client.predict(image=None, api_name=f"/{name}")


def test_count_tokens_tells_what_is_cut(client):
    fits = client.predict(text="A red house.", api_name="/count_tokens")
    assert fits == {
        "used": 4,
        "room": 75,
        "lost": 0,
        "kept": "A red house.",
        "cut": "",
        "sent": "A red house.",
        "summary": "4 of 75, nothing cut",
    }
    long = client.predict(text="word " * 80, api_name="/count_tokens")
    assert long["used"] == 80
    assert long["kept"] + long["cut"] == "word " * 80
    assert long["cut"].split() == ["word"] * 5
    assert long["summary"] == "80 of 75, last 5 cut: word word word word word"


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"num_inference_steps": 0}, "num_inference_steps"),
        ({"seed": -1}, "seed"),
        ({"guidance_scale": "strong"}, "guidance_scale"),
        ({"preset": "best"}, "preset"),
        ({"scheduler": "euler"}, "scheduler"),
        ({"upscale": 9}, "upscale"),
        ({"prompt": "long " * 2000}, "prompt"),
    ],
)
def test_wrong_values_are_refused_in_a_sentence(client, photo, wrong, named):
    with pytest.raises(AppError) as caught:
        client.predict(image=handle_file(photo), **{**QUICK, **wrong})
    assert_sentence(caught.value)
    assert named in str(caught.value)


@pytest.mark.parametrize("key", EXPECTED)
def test_files_that_people_really_bring(client, bad_files, key):
    if EXPECTED[key] == "refused":
        for endpoint in ("/describe", "/restore", "/score"):
            with pytest.raises(AppError) as caught:
                client.predict(image=handle_file(bad_files[key]), api_name=endpoint)
            assert_sentence(caught.value)
    else:
        path, facts = client.predict(image=handle_file(bad_files[key]), **QUICK)
        width, height = SIZES[key]
        assert facts["size"] == [2 * width, 2 * height]
        with Image.open(path) as image:
            assert image.size == (2 * width, 2 * height)


# What is served ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", [ROOT / "app.py", ROOT / "studio" / "models" / "engine.py", Path("/etc/passwd")]
)
def test_files_of_the_machine_are_not_served(studio, path):
    for url in (f"/gradio_api/file={path}", f"/gradio_api/file={ROOT}/../{path}", f"/file={path}"):
        assert httpx.get(studio.url + url).status_code in (403, 404), url


def test_no_monitoring_no_run_history_and_no_secrets_in_the_configuration(studio):
    assert httpx.get(f"{studio.url}/monitoring/summary").status_code in (403, 404)
    assert httpx.get(f"{studio.url}/gradio_api/runs").status_code == 404
    config = httpx.get(f"{studio.url}/config").text
    assert str(studio.model) not in config
    assert str(ROOT / "studio") not in config


def test_large_uploads_are_refused_and_html_is_never_shown(studio):
    large = {"files": ("large.png", io.BytesIO(bytes(106_000_000)))}
    assert httpx.post(f"{studio.url}/gradio_api/upload", files=large).status_code == 413
    page = {"files": ("page.html", io.BytesIO(b"<script>alert(1)</script>"))}
    (stored,) = httpx.post(f"{studio.url}/gradio_api/upload", files=page).json()
    answer = httpx.get(f"{studio.url}/gradio_api/file={stored}")
    assert "attachment" in answer.headers["content-disposition"]


# The handlers -----------------------------------------------------------------------------------


def test_a_missing_model_gives_a_sentence_on_the_page(tmp_path, photo):
    missing = Engine(EngineOptions(model=str(tmp_path / "nowhere")))
    actions = Actions(Services(missing, Outputs(tmp_path / "outputs", Shelf())))
    said = in_a_loop(all_of(actions.greet()))[-1]
    assert said["visible"] and 'role="alert"' in said["value"] and "nowhere" in said["value"]
    values = [*("" for _ in PROMPT_NAMES), *(None for _ in SETTING_NAMES)]
    *_, last = actions.restore(
        {"path": str(photo)}, Visit(), "", "mini", [], NOTHING_BROUGHT, *values
    )
    assert 'role="alert"' in last[0]
    assert last[2] == gr.skip() and not last[1]["visible"]  # the earlier comparison stays


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_fills_the_form_with_itself(actions, preset):
    form = ("A cat.", "Blurred.", *fill_form(Prompts.from_preset("fast"), Settings(seed=4))[2:])
    *values, row = actions.choose_preset(preset, Visit(), NOTHING_BROUGHT, *form)
    settings = [0 if isinstance(value, dict) else value for value in values[3:]]  # seed: kept
    prompts, read = read_form(preset, ["", "", *values[:3], *settings])
    assert (prompts, read) == (Prompts.from_preset(preset), Settings.from_preset(preset))
    assert not row["visible"]  # the settings of a preset can be chosen again


def test_a_preset_is_told_to_be_left_as_soon_as_a_setting_differs(actions):
    def told(**changes):
        form = fill_form(Prompts(), Settings.from_preset("fast", **changes))
        return actions.tell_preset("fast", *form)

    assert told() == told(seed=9, upscale=2) == ""
    assert "“fast”" in told(guidance_scale=2) and "“fast”" in told(num_inference_steps=11)
    out_of_range = [-1 if value == 10 else value for value in fill_form(
        Prompts(), Settings.from_preset("fast", num_inference_steps=10))]  # fmt: skip
    assert actions.tell_preset("fast", *out_of_range) == ""  # Restore tells that


def test_what_a_preset_replaces_can_come_back(actions):
    visit, text = Visit(), fill_form(Prompts(negative_prompt="people"), Settings())
    assert actions.choose_preset("paper", visit, NOTHING_BROUGHT, *text)[-1]["visible"]
    steps = fill_form(Prompts(), Settings(num_inference_steps=7))
    actions.choose_preset("paper", visit, NOTHING_BROUGHT, *steps)
    steps = [-7 if value == 7 else value for value in steps]  # as it stands, usable or not
    actions.choose_preset("paper", visit, NOTHING_BROUGHT, *steps)
    first, second, third = (one.values for one in visit.mine)
    assert first["negative_prompt"] == "people" and not {"prompt", "seed"} & first.keys()
    assert (second["num_inference_steps"], third["num_inference_steps"]) == (7, -7)


def test_texts_written_for_another_picture_go_and_own_words_stay(actions, photo):
    with Image.open(photo) as image:
        written = described(actions.engine.describe(image))
    assert {one.origin.kind for text in written for one in text} == {"measured"}
    told = (Visit(), joined(written[0]), "My own words.", written, None)
    values = actions.receive({"path": str(photo)}, *told)
    page = dict(zip(ANOTHER_PICTURE, values, strict=True))
    assert page["written"] == NOTHING_BROUGHT
    assert (page["prompt"], page["lowlevel_prompt"]) == ("", gr.skip())
    assert words.TEXT_STAYS in page["picture_note"]
    told = (Visit(), joined(written[0]), "", written, None)
    assert words.TEXT_STAYS not in actions.receive({"path": str(photo)}, *told)[1]


def test_the_page_knows_which_picture_is_on_it(actions, photo):
    visit = Visit()
    actions.receive({"path": str(photo)}, visit, "", "", NOTHING_BROUGHT, None)
    with Image.open(photo) as image:
        assert visit.picture.digest == pixel_sha256(image)
    note, status = actions.clear(visit)
    assert note == visit.picture.digest == "" and words.STATUS_EMPTY in status
    visit.shown = "a run"
    assert words.NO_PICTURE_NOW in actions.clear(visit)[1]
    visit.restoring = Job("waiting")
    assert actions.clear(visit)[1] == gr.skip()


def test_a_refused_picture_leaves_the_texts_alone(actions, bad_files):
    payload = {"path": str(bad_files["truncated"])}
    told = (Visit(), "high", "low", NOTHING_BROUGHT, None)
    picture, note, *others = actions.receive(payload, *told)
    assert picture is None and 'role="alert"' in note
    assert all(value == gr.skip() for value in others)


def test_a_refused_picture_leaves_the_one_before(actions, bad_files, photo):
    told = (visit := Visit(), "", "", NOTHING_BROUGHT, None)
    actions.receive({"path": str(photo)}, *told)
    before = visit.picture
    picture, note, *_ = actions.receive({"path": str(bad_files["truncated"])}, *told)
    assert picture == str(photo) and words.PICTURE_STAYS in note and visit.picture == before
    actions.clear(visit)
    assert actions.receive({"path": str(bad_files["truncated"])}, *told)[0] is None


def test_own_texts_that_an_example_replaced_can_come_back(actions, picture):
    example = keep_run(actions.outputs, picture(24, 16))
    actions.outputs.examples = {example.id: example}
    event = gr.SelectData(None, {"index": 0, "value": None})

    def open_it(high: str, before: Before | None = None) -> list[dict]:
        told = (visit := Visit(), "bicubic", high, "", NOTHING_BROUGHT, before, 5)
        values = dict(zip(EXAMPLE, actions.choose_example(event, *told), strict=True))
        assert values["own_texts"]["visible"] == bool(visit.mine)
        return [one.values for one in visit.mine]

    assert open_it("My own words.") == [
        {"prompt": "My own words.", "lowlevel_prompt": "", "seed": 5}
    ]
    assert open_it("half descri", Before("Mine.", ""))[0]["prompt"] == "Mine."
    assert open_it("") == []


def test_a_heic_photo_is_shown_as_png(actions, bad_files):
    payload = {"path": str(bad_files["heic"])}
    shown, note, *_ = actions.receive(payload, Visit(), "", "", NOTHING_BROUGHT, None)
    with Image.open(shown) as image:
        assert image.format == "PNG"
    assert "64 × 48" in note


def test_nothing_from_outside_becomes_markup():
    attack = "<script>alert(1)</script>"
    rows = [Row("piqe", Score(None, attack), Score(None, attack))]
    meter = FittedText(attack, (Piece(attack, True), Piece(attack, False)), 99, 75, 24)
    for made in (markup.notice(attack), markup.meter(meter), scores_markup.table(rows)):
        assert "<script" not in made and "&lt;script" in made


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [(60.0, 31.2, "↓ better"), (31.2, 60.0, "↑ worse"), (5.0, 5.001, "no change")],
)
def test_the_table_says_what_a_change_means(before, after, said):
    assert METRICS["piqe"].lower_better
    made = scores_markup.table([Row("piqe", Score(before, None), Score(after, None))])
    assert said in made and "Lower is better" in made


def test_examples_are_made_and_found_and_broken_ones_left_out(model, picture, tmp_path):
    home = tmp_path / "examples"
    (home / "pictures").mkdir(parents=True)
    for name in ("old-street.png", "unfinished.png", "broken.png"):
        picture(32, 24).save(home / "pictures" / name)
    pipe, street = xpsr.load(str(model)), home / "pictures" / "old-street.png"
    made = examples.make(pipe, street, home / "results")
    lent = tmp_path / "lent.png"
    lent.hardlink_to(made)
    before = lent.read_bytes()
    assert examples.make(pipe, street, home / "results", seed=8) == made
    assert lent.read_bytes() == before != made.read_bytes()
    examples.make(pipe, street, home / "results")
    (home / "results" / "broken.png").write_bytes(made.read_bytes()[:200])
    (found,) = examples.gather(tmp_path / "served", home).values()
    assert found.title == "old street" and found.rows
    assert found.after.name.startswith("old street-x4-seed7-")
    for path in (found.before, found.after):
        with Image.open(path) as image:
            assert image.size == (128, 96)
    assert read_recipe(found.after) == found.recipe
