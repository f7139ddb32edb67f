"""The one owner of the models: turns, stopping, short memory, another model."""

from __future__ import annotations

import re
import shutil
import threading
from pathlib import Path

import pytest
import torch

from studio.models import switching, waiting
from studio.models.choice import LastChoice, ModelChoice, Permission
from studio.models.engine import Engine, EngineOptions, is_progress, is_result, is_step
from studio.models.switching import Stage, look, switch
from studio.models.waiting import SmallerTiles, Waiting, sign
from xpsr.errors import NotEnoughMemoryError, XPSRError
from xpsr.inspection import inspect_model
from xpsr.prompts import Prompts
from xpsr.settings import Settings

QUICK = Settings(num_inference_steps=2, guidance_scale=1, upscale=1, process_size=0, seed=3)


@pytest.fixture
def engine(tiny_pipeline):
    engine = Engine(EngineOptions())
    engine.use(tiny_pipeline, engine.options)
    return engine


def run(engine, picture, settings=QUICK):
    return engine.stream(picture(64, 64), Prompts(prompt="a wall"), settings)


def test_a_run_that_waits_gives_signs_and_leaves_without_a_trace(engine, picture):
    """Somebody who presses Stop while another's run goes on must not hold anything afterwards."""
    for lock in (engine.running, engine.loading):
        with lock:
            waiting = run(engine, picture)
            assert isinstance(next(waiting), Waiting)
            assert isinstance(next(waiting), Waiting)
            waiting.close()
        assert not lock.locked()
    with engine.running:
        waiting = run(engine, picture)
        next(waiting)
    assert any(is_step(item) for item in waiting)  # and one that stays has its turn


def test_more_work_than_the_page_allows_is_refused_before_its_turn(tiny_pipeline, picture):
    engine = Engine(EngineOptions(most_work=0.05))
    engine.use(tiny_pipeline, engine.options)
    fine = QUICK.changed(upscale=2, process_size=0, num_inference_steps=3)  # 128 x 128 pixels
    with engine.running:
        for changes, words in (
            ({"num_inference_steps": 4}, "take 3 steps at most"),
            ({"guidance_scale": 1.5}, "guidance, which counts twice, .* take 1 step at most"),
            ({"upscale": 8, "num_inference_steps": 1}, "enlarge it less"),
            ({"process_size": 512, "num_inference_steps": 1}, "enlarge it less"),
            ({"tile_size": 64, "tile_overlap": 32}, "take 1 step at most"),  # nine tiles
            ({"tile_size": 64, "tile_overlap": 63, "num_inference_steps": 1}, "overlap less"),
        ):
            with pytest.raises(XPSRError, match=words):
                next(run(engine, picture, fine.changed(**changes)))
        assert isinstance(next(run(engine, picture, fine)), Waiting)


@pytest.mark.parametrize("tiles", [{}, {"upscale": 2, "tile_size": 64, "tile_overlap": 0}])
def test_stop_acts_after_one_step_or_tile_and_frees_the_slot(engine, picture, tiles, monkeypatch):
    calls, unet = [], engine.pipeline().unet
    forward = unet.forward
    monkeypatch.setattr(unet, "forward", lambda *a, **k: calls.append(1) or forward(*a, **k))
    items = run(engine, picture, QUICK.changed(**tiles))
    assert is_step(next(items)) != bool(tiles)
    assert engine.running.locked()
    closing = threading.Thread(target=items.close)  # as Gradio does: by another thread
    closing.start()
    closing.join()
    assert len(calls) == 1 and not engine.running.locked()


@pytest.fixture
def small_memory(tiny_pipeline):
    """A memory that holds so many latent pixels at once; the list's only item says how many."""
    room = [0]

    def check(_module, arguments):
        if arguments[0].shape[-1] * arguments[0].shape[-2] > room[0]:
            raise torch.OutOfMemoryError("CUDA out of memory.")

    hook = tiny_pipeline.unet.register_forward_pre_hook(check)
    yield room
    hook.remove()


def large(engine, picture):
    settings = QUICK.changed(upscale=4, num_inference_steps=1)
    return engine.stream(picture(128, 128), Prompts(prompt="a wall"), settings)


def test_short_memory_is_met_with_smaller_tiles_once_and_said(
    engine, picture, small_memory, monkeypatch
):
    small_memory[0] = 32 * 32
    monkeypatch.setattr(waiting, "TILE_SECONDS", 1000)
    first, *steps, last = large(engine, picture)
    assert first == SmallerTiles(256)
    assert all(map(is_progress, steps)) and is_result(last)
    assert re.fullmatch(r"Step 1 of 1, tile 1 of 9( · about \d+ s left)?", sign(steps[0]))
    assert sign(steps[-1]) == "Step 1 of 1" and len(steps) == 2  # not every tile is told
    assert "tiles of 256 pixels" in last.notes[-1] and last.recipe.notes == last.notes
    assert last.recipe.settings.tile_size == 256
    again = engine.pipeline().stream(picture(128, 128), Prompts("a wall"), last.recipe.settings)
    assert [*again][-1].recipe.output_sha256 == last.recipe.output_sha256


def test_where_smaller_tiles_do_not_help_a_sentence_says_what_to_change(
    engine, picture, small_memory
):
    with pytest.raises(XPSRError, match=r"not even in tiles of 256 pixels\. Enlarge it less"):
        list(large(engine, picture))
    with pytest.raises(NotEnoughMemoryError, match="smaller upscale"):
        list(run(engine, picture))  # too small to be cut
    assert not engine.running.locked()


class Kept:
    """A describer whose model stays loaded."""

    name = "kept"
    released = 0

    def release(self):
        self.released += 1


def test_the_describer_leaves_before_a_run_when_memory_is_short(engine, picture, monkeypatch):
    engine._describer = Kept()
    list(run(engine, picture))
    assert engine._describer.released == 0
    monkeypatch.setattr("xpsr.placement.free_bytes", lambda device: 1000)
    list(run(engine, picture))
    assert engine._describer.released == 1


# Another model ----------------------------------------------------------------------------------


@pytest.fixture
def other(tiny, tmp_path):
    return str(shutil.copytree(tiny, tmp_path / "other"))


def names(items):
    return [item.name for item in items if isinstance(item, Stage)]


def test_another_model_is_looked_at_loaded_and_used(engine, tiny_pipeline, other, picture):
    assert names(switch(engine, ModelChoice(other))) == ["looked", "loading", "done"]
    assert engine.options.model == other
    assert engine.loaded is not tiny_pipeline
    assert [*run(engine, picture)][-1].recipe.model == "other"


@pytest.mark.parametrize(
    ("choice", "says"),
    [
        (ModelChoice("/nowhere/at/all"), "There is no model"),
        (ModelChoice("tests/golden/xpsr/tiny"), "as base"),
        (ModelChoice("tests/golden/xpsr/tiny", "mini"), "name another base"),
        (ModelChoice("mini", "somewhere"), "leave base out"),
    ],
)
def test_what_cannot_be_loaded_leaves_the_old_one_in_use(engine, picture, choice, says):
    before = engine.loaded, engine.options
    with pytest.raises(XPSRError, match=says):
        list(switch(engine, choice))
    assert (engine.loaded, engine.options) == before
    assert is_result([*run(engine, picture)][-1])


def test_a_damaged_model_is_refused_before_the_old_one_goes(engine, other, picture):
    weights = Path(other, "unet", "diffusion_pytorch_model.safetensors")
    weights.write_bytes(weights.read_bytes()[:1000])
    before = engine.loaded
    with pytest.raises(XPSRError, match="damaged or cut short"):
        list(switch(engine, ModelChoice(other)))
    assert engine.loaded is before


def with_free(monkeypatch, count):
    monkeypatch.setattr("xpsr.placement.free_bytes", lambda device: count)


def test_where_both_do_not_fit_the_old_one_goes_first(engine, other, picture, monkeypatch):
    with_free(monkeypatch, 10)
    seen = []
    for item in switch(engine, ModelChoice(other)):
        if isinstance(item, Stage):
            seen.append((item.name, engine.loaded is None))
    assert seen == [("looked", False), ("dropped", True), ("done", False)]
    assert engine.loaded.label == "other"
    assert not engine.running.locked() and not engine.loading.locked()


def test_if_that_fails_the_old_one_comes_back(engine, tiny, other, picture, monkeypatch):
    engine.options = EngineOptions(model=str(tiny), device="cpu")
    with_free(monkeypatch, 10)

    def fails(options):
        raise XPSRError("no such luck")

    monkeypatch.setattr(switching, "load", fails)
    with pytest.raises(XPSRError, match="no such luck"):
        list(switch(engine, ModelChoice(other)))
    monkeypatch.undo()
    assert engine.loaded is None and engine.options.model == str(tiny)
    assert [*run(engine, picture)][-1].recipe.model == "tiny"


def test_what_does_not_fit_at_all_is_refused_with_the_figures(engine, other, monkeypatch):
    from xpsr.inspection import ModelFacts

    before = engine.loaded
    facts = ModelFacts(other, "folder", weights=10**12)
    monkeypatch.setattr("xpsr.inspection.inspect_model", lambda model, base: facts)
    with pytest.raises(XPSRError, match=r"needs 4000\.0 GB in memory, and [\d.]+ GB would be free"):
        list(switch(engine, ModelChoice(other)))
    assert engine.loaded is before


def test_a_change_can_be_stopped(engine, other):
    before = engine.loaded
    with engine.running:
        changing = switch(engine, ModelChoice(other))
        for item in changing:
            if isinstance(item, Stage) and item.name == "loading":
                break
        changing.close()
    assert engine.loaded is before and not engine.running.locked()


def test_a_look_tells_kind_and_size(engine, tiny, tiny_pipeline, golden):
    networks = (tiny_pipeline.vae, tiny_pipeline.text_encoder)
    networks += (tiny_pipeline.unet, tiny_pipeline.controlnet)
    weights = sum(v.numel() for network in networks for v in network.state_dict().values())
    facts = inspect_model(str(tiny))
    assert (facts.kind, facts.weights, facts.fetched) == ("folder", weights, 0)
    found = look(engine, ModelChoice(str(tiny)))
    assert found.needed == weights * 4 and found.freed == found.needed and found.fits
    official = inspect_model(str(golden / "tiny"), base=str(tiny))
    assert (official.kind, official.weights) == ("official", weights)
    assert inspect_model("mini").kind == "embedded"
    assert inspect_model("mini").weights > weights


# Who may, and what is remembered ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "share", "asked", "space", "granted"),
    [
        ("127.0.0.1", False, False, False, True),
        ("localhost", False, False, False, True),
        ("127.0.0.1", True, False, False, False),
        ("0.0.0.0", False, False, False, False),
        ("0.0.0.0", False, True, False, True),
        ("127.0.0.1", False, False, True, False),
    ],
)
def test_only_a_local_page_lets_visitors_change_the_model(
    monkeypatch, host, share, asked, space, granted
):
    monkeypatch.delenv("XPSR_ALLOW_MODEL_CHANGE", raising=False)
    monkeypatch.delenv("SPACE_ID", raising=False)
    if space:
        monkeypatch.setenv("SPACE_ID", "someone/studio")
    permission = Permission.for_page(host, share, asked)
    assert permission.granted is granted
    if asked:
        permission.check({"host": "studio.example", "x-forwarded-for": "203.0.113.7"})
    if not granted:
        with pytest.raises(XPSRError, match="only whoever runs it"):
            permission.check()
        monkeypatch.setenv("XPSR_ALLOW_MODEL_CHANGE", "1")
        assert Permission.for_page(host, share, asked).granted


@pytest.mark.parametrize(
    ("headers", "fine"),
    [
        (None, True),
        ({"host": "127.0.0.1:7860"}, True),
        ({"host": "localhost:7860"}, True),
        ({"host": "[::1]:7860"}, True),
        ({"host": "studio.example"}, False),  # a tunnel, or a name that points to this machine
        ({"host": "127.0.0.1:7860", "x-forwarded-for": "203.0.113.7"}, False),
        ({"host": "[broken"}, False),
        ({}, False),
    ],
)
def test_nor_does_it_where_others_reach_it_through_a_proxy(headers, fine):
    permission = Permission.for_page("127.0.0.1", share=False, asked=False)
    if fine:
        permission.check(headers)
    else:
        with pytest.raises(XPSRError, match="--allow-model-change"):
            permission.check(headers)


def test_the_choice_is_remembered_for_the_next_start(tmp_path):
    last = LastChoice(tmp_path / "outputs")
    assert last.read() is None
    choice = ModelChoice.typed(' "/models/xpsr" ', "  ")
    assert choice == ModelChoice("/models/xpsr", None)
    last.write(choice)
    assert last.read() == choice
    last.write(ModelChoice("mini"))
    assert last.read() is None
    for text in ("{", "[]", '{"model": 7}', '{"model": "x", "extra": 1}'):
        last.path.write_text(text)
        assert last.read() is None
    with pytest.raises(XPSRError, match="Name a model"):
        ModelChoice.typed("  ")
