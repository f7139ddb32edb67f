"""Every control says what it is, and in a line what it is for."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import gradio as gr
import pytest
from gradio.components import Component

from studio.build import Where, build
from studio.labels import as_labelled
from studio.models.choice import Permission
from studio.models.engine import Engine, EngineOptions
from xpsr.seesr import ONE_TEXT

SILENT = (gr.HTML, gr.Markdown, gr.State, gr.BrowserState)
NOT_FOR_PEOPLE = {"greeted", "back"}  # see studio/restore/layout.py


@pytest.fixture(scope="module")
def controls(tmp_path_factory) -> list[Component]:
    everything = Permission(True)
    where = Where(str(tmp_path_factory.mktemp("outputs")))
    demo = build(Engine(EngineOptions()), where, everything)
    tabs = next(number for number, one in demo.blocks.items() if one.elem_id == "tabs")
    return [
        one
        for one in map(demo.blocks.__getitem__, _inside(demo.config["layout"], tabs))
        if isinstance(one, Component)
        and not isinstance(one, SILENT)
        and one.label not in NOT_FOR_PEOPLE
    ]


def _inside(layout: dict, place: int, found: bool = False) -> Iterator[int]:
    """What stands in the block of that number; the components of the endpoints stand elsewhere."""
    found = found or layout["id"] == place
    if found:
        yield layout["id"]
    for child in layout.get("children") or []:
        yield from _inside(child, place, found)


def name(control: Component) -> str:
    return f"{control.get_block_name()} {control.elem_id or control.label}"


def test_every_control_has_a_label(controls):
    nameless = [
        name(one)
        for one in controls
        if not (one.value if isinstance(one, gr.Button) else one.label) and one.visible != "hidden"
    ]
    assert len(controls) > 80 and not nameless


def test_every_control_says_what_it_is_for(controls):
    able = [one for one in controls if "info" in inspect.signature(type(one)).parameters]
    assert len(able) > 30
    assert not [name(one) for one in able if not one.info]


def test_no_line_is_longer_than_two_rows(controls):
    """A hint is read in a glance; what takes longer belongs under “Good to know”."""
    long = [name(one) for one in controls if len(getattr(one, "info", None) or "") > 180]
    assert not long


def test_pictures_have_an_alternative_text(controls):
    images = [one for one in controls if isinstance(one, gr.Image)]
    assert len(images) > 10 and not [name(one) for one in images if not one.alt_text]


def test_a_sentence_about_a_choice_is_told_by_the_names_on_the_page():
    said = as_labelled(ONE_TEXT)
    assert "“What is wrong with it goes: before the content” it stands" in said
    assert "lowlevel_route" not in said
    assert "(“Begin from: your picture alone”)" in as_labelled("without noise (start is lr_bare)")
    assert as_labelled("start is lr_barely") == "“Begin from” is lr_barely"
    assert "“Sampling method: DPM++ 2M”" in as_labelled("with scheduler=dpm++ it differs")
