"""The tab "Full quality": what it tells, what it refuses, and the way to another model."""

from __future__ import annotations

import json
import shutil

import gradio as gr
import pytest
import torch
from browsing import NEEDS_BROWSER, WAIT_MS, expect
from test_convert import WEIGHTS
from tiny_dape import SEESR as GOLDEN
from transformers import CLIPTextConfig, CLIPTextModel

from studio.build import Where, build
from studio.filling import fill
from studio.form import fill_form
from studio.full import words
from studio.full.actions import CHANGED, SUITED, FullActions
from studio.full.markup import requirements
from studio.models.choice import NOT_ALLOWED, LastChoice, ModelChoice, Permission
from studio.models.engine import Engine, EngineOptions
from studio.models.machine import Machine
from studio.results.outputs import Outputs
from studio.results.shelf import Shelf
from studio.services import Services
from studio.texts import NOTHING_BROUGHT
from studio.visit import Visit
from xpsr.models.checkpoint import _TAGGER_SIZE
from xpsr.models.family import SEESR, XPSR
from xpsr.prompts import Prompts
from xpsr.prompts.footprint import Footprint
from xpsr.settings import Settings

PUBLISHED = {name: network.published for name, network in XPSR.networks.items()}

# Behind the visit: who wrote the texts, and the form as it stands.
FORM = (NOTHING_BROUGHT, *fill_form(Prompts(negative_prompt="people"), Settings()))


@pytest.fixture
def official(golden, tmp_path):
    return shutil.copytree(golden / "tiny", tmp_path / "xpsr")


@pytest.fixture
def services(tiny_pipeline, tmp_path):
    engine = Engine(EngineOptions())
    engine.use(tiny_pipeline, engine.options)
    outputs = Outputs(tmp_path / "outputs", Shelf())
    return Services(engine, outputs, Permission(granted=True), LastChoice(tmp_path / "outputs"))


@pytest.fixture
def actions(services):
    return FullActions(services)


def test_who_may_not_is_told_so_by_every_handler_and_learns_nothing(services, official, tmp_path):
    refused = FullActions(Services(services.engine, services.outputs))
    before = services.engine.loaded
    said = [
        refused.check(str(official)),
        refused.look(str(official), ""),
        [*refused.convert(str(official), "", str(tmp_path / "new"), "float16")][-1][0],
        [*refused.use(str(official), "", Visit())][-1][0],
        [*refused.use_mini(Visit())][-1][0],
    ]
    for one in said:
        assert "only whoever runs it can change it" in one and "xpsr" not in one
    assert not (tmp_path / "new").exists() and services.engine.loaded is before


def test_the_page_of_a_public_server_has_no_fields_for_folders(services, tmp_path):
    def laid_out(permission):
        demo = build(services.engine, Where(str(tmp_path)), permission)
        parts = [one["props"] for one in demo.config["components"]]
        told = "".join(str(one.get("value")) for one in parts)
        return {one.get("elem_id") for one in parts}, "Check** it below" in told, told

    found, buttons_told, _ = laid_out(Permission(True))
    assert {"full-checkpoint", "full-out", "full-model", "full-use"} <= found and buttons_told
    found, buttons_told, told = laid_out(NOT_ALLOWED)
    assert "full-refused" in found and "full-needs" in found
    assert not {"full-checkpoint", "full-out", "full-model", "full-use"} & found
    # Nor does it tell of them: whoever has made a Space of it learns what to do instead.
    assert not buttons_told and "python -m xpsr convert" in told and "XPSR_MODEL" in told


def test_from_a_download_to_the_model_in_use(actions, services, tiny, official, tmp_path):
    said = actions.check(str(official))
    assert "unet: whole" in said and "alert" not in said
    out = str(tmp_path / "converted")
    *steps, (done, model) = actions.convert(str(official), str(tiny), out, "float32")
    assert any("are written" in status for status, _ in steps)
    assert model == out and "is complete" in done
    assert "It needs" in actions.look(out, "")
    visit = Visit()
    *_, last = actions.use(out, "", visit)
    changed = dict(zip(CHANGED, last, strict=True))
    assert f"{out} is in use" in changed["used"] and out in changed["now"]
    # The form as it stands now: what was typed while the model was loaded can come back as well.
    changed = dict(zip(SUITED, actions.suit(visit, *FORM), strict=True))
    assert changed["preset"] == "official" and changed["seed"] == gr.skip()
    assert changed["num_inference_steps"] == 20
    assert services.engine.options.model == visit.model == out
    assert services.last_choice.read() == ModelChoice(out)
    assert changed["own_texts"]["visible"]  # what was in the form can come back
    assert visit.mine[-1].values["negative_prompt"] == "people"
    assert actions.suit(visit, *FORM) == fill(SUITED)  # once: it was for this change
    list(actions.use_mini(visit))
    assert services.engine.options.model == "mini" and services.last_choice.read() is None


def test_seesr_goes_the_same_way(actions, services, tiny_seesr, tmp_path):
    folder, out, base = (tmp_path / name for name in ("seesr", "out", "base"))
    tiny_seesr.save_pretrained(base)
    for part in ("unet", "controlnet"):
        shutil.copytree(GOLDEN / "tiny" / part, folder / part)
    assert "DAPE.pth" in actions.check(str(folder))  # beside the two networks it takes a tagger
    shutil.move(base / "tagger", folder / "tagger")
    said = actions.check(str(folder))
    assert "tagger: whole" in said and "A whole checkpoint of SeeSR. It adds to a base" in said
    (*_, (unnamed, _)) = actions.convert(str(folder), "", str(out), "float32")
    assert "name its folder or hub id as base" in unnamed
    *steps, (done, _) = actions.convert(str(folder), str(base), str(out), "float32")
    assert any("Converting the tagger" in status for status, _ in steps) and "complete" in done
    visit = Visit()
    *_, last = actions.use(str(out), "", visit)
    assert words.ONE_TEXT in last[0]
    suited = dict(zip(SUITED, actions.suit(visit, *FORM), strict=True))
    assert (suited["preset"], suited["start"]) == ("seesr", "lr_last")
    *_, last = actions.use_mini(Visit())
    assert words.ONE_TEXT not in last[0]


def test_a_choice_that_cannot_be_kept_fills_the_form_all_the_same(actions, services, tiny):
    services.outputs.folder.write_text("a file where the folder should be")
    visit = Visit()
    *_, changed, last = actions.use(str(tiny), "", visit)
    assert actions.suit(visit, *FORM)[0] == "official" and f"{tiny} is in use" in changed[0]
    assert "The model is in use, but" in last[0]


def test_what_is_wrong_is_said_and_the_model_stays(actions, services, official, tmp_path):
    (official / "unet" / WEIGHTS).write_text("<html>Google Drive</html>")
    before = services.engine.loaded
    assert "web page" in actions.check(str(official))
    (*_, (said, field)) = actions.convert(str(official), "", str(tmp_path / "new"), "float16")
    assert "web page" in said and "alert" in said and field["__type__"] == "update"
    for model in (str(official), "", "<b>bold</b>", "no/such/thing"):
        visit = Visit()
        visit.set_for("mini")
        *_, last = actions.use(model, "", visit)
        assert 'role="alert"' in last[0] and "<b>" not in last[0]
        assert actions.suit(visit, *FORM) == fill(SUITED)
    assert services.engine.loaded is before and services.last_choice.read() is None


def test_what_runs_now_and_what_it_takes_is_told(actions, services):
    now, table = actions.read()
    assert "mini" in now and "million weights, on cpu" in now and "free on the disk" in now
    for part in words.REQUIREMENTS:
        assert part.name in table
    assert "Measured, with nothing to download." in now  # as on the tab Restore
    services.engine.options = EngineOptions(model="<script>")
    assert "<script>" not in actions.read()[0]
    services.engine.options = EngineOptions(describer="nobody")
    services.engine._describer = None
    assert "There is no describer called" in actions.read()[0] and ".." not in actions.read()[0]


def test_room_is_compared_with_what_is_free():
    none = requirements(Machine(disk=10**9, memory=4 * 10**9))
    assert "needs 5.9 GB more on the disk" in none
    assert "needs 2.9 GB more on the disk" in none and "more of memory" in none
    assert " more " not in requirements(Machine(10**12, 10**11))
    gpu = requirements(Machine(10**12, 10**11, gpu=8 * 10**9, gpu_name="a GPU"))
    assert "needs 8.0 GB more on the GPU" in gpu  # LLaVA in 16 bits; the rest fits


def test_the_sizes_are_those_of_the_networks(golden):
    """The table's figures against the published keys and against what LLaVA is counted to take."""
    official = json.loads((golden / "keys_sd15.json").read_text())
    count = dict.fromkeys(PUBLISHED, 0)
    for name in count:
        for shape in official[name]["keys"].values():
            weights = 1
            for side in shape:
                weights *= side
            count[name] += weights
    assert count == PUBLISHED
    checkpoint, base, half, full, seesr, *llava = words.REQUIREMENTS
    assert checkpoint.disk == 4 * sum(PUBLISHED.values())
    assert full.disk == checkpoint.disk + base.disk and half.disk * 2 == full.disk
    with torch.device("meta"):  # of Stable Diffusion 2
        text_encoder = CLIPTextModel(
            CLIPTextConfig(
                hidden_size=1024,
                intermediate_size=4096,
                num_hidden_layers=23,
                num_attention_heads=16,
            )
        )
    networks = sum(network.published for network in SEESR.networks.values()) + _TAGGER_SIZE
    autoencoder = 83_653_863
    weights = networks + autoencoder + sum(one.numel() for one in text_encoder.parameters())
    assert seesr.disk == seesr.memory == 2 * weights
    counted = Footprint(linear=6798966784, others=264460288, cache=891289600)
    assert [one.memory for one in llava] == [counted.bytes(bits) for bits in (16, 8, 4)]


@pytest.mark.browser
@NEEDS_BROWSER[1]
def test_the_way_through_the_page(open_page, studio, tiny, official, tmp_path):
    page = open_page()
    page.get_by_role("tab", name=words.LABEL).click()
    expect(page.locator("#full-needs")).to_contain_text("enough room")
    page.locator("#full-checkpoint textarea").fill(str(official))
    page.locator("#full-check").click()
    expect(page.locator("#full-converted")).to_contain_text("A whole checkpoint of XPSR")
    page.locator("#full-base textarea").fill(str(tiny))
    page.locator("#full-out textarea").fill(str(tmp_path / "converted"))
    page.locator("#full-convert").click()
    expect(page.locator("#full-model textarea")).to_have_value(str(tmp_path / "converted"))
    page.locator("#full-use").click()
    expect(page.locator("#full-used")).to_contain_text("is in use", timeout=WAIT_MS)
    expect(page.locator("#full-now")).to_contain_text("converted")

    # The settings follow the model; the restoring itself is tried elsewhere.
    page.get_by_role("tab", name="Restore").click()
    page.locator("#advanced > button").click()
    expect(page.get_by_label("number input for Steps")).to_have_value("20")
    page.get_by_role("tab", name=words.LABEL).click()
    page.locator("#full-model textarea").fill(str(studio.model))  # for whoever comes next
    page.locator("#full-use").click()
    expect(page.locator("#full-used")).to_contain_text(f"{studio.model} is in use", timeout=WAIT_MS)

    # Somebody who comes through a proxy of this machine is a stranger.
    page.set_extra_http_headers({"X-Forwarded-For": "203.0.113.7"})
    page.locator("#full-checkpoint textarea").fill(str(official))
    page.locator("#full-check").click()
    expect(page.locator("#full-converted")).to_contain_text("from this computer only")
    page.locator("#full-model textarea").fill("mini")
    page.locator("#full-use").click()
    expect(page.locator("#full-used")).to_contain_text("from this computer only")
