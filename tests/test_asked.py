"""What the endpoints say to values of a wrong type."""

from __future__ import annotations

import math

import gradio as gr
import pytest
from gradio.utils import get_function_description

from studio.api import asked
from studio.api.endpoints import Endpoints
from studio.models.engine import Engine, EngineOptions
from studio.results.outputs import Outputs
from studio.results.shelf import Shelf
from studio.services import Services
from xpsr.errors import XPSRError


@pytest.mark.parametrize(
    ("model", "given", "said"),
    [
        (asked.Restore, {"seed": "5"}, 'seed is the text "5"; it must be a number.'),
        (asked.Restore, {"seed": True}, "seed is true; it must be a number."),
        (asked.Restore, {"seed": [1]}, "seed is a list; it must be a number."),
        (
            asked.Restore,
            {"guidance_scale": math.nan},
            "guidance_scale is nan; it must be a number.",
        ),
        (
            asked.Restore,
            {"guidance_scale": math.inf},
            "guidance_scale is inf; it must be a number.",
        ),
        (asked.Restore, {"prompt": 5}, "prompt is 5; it must be a text."),
        (asked.Restore, {"preset": {"a": 1}}, "preset is an object; it must be a text."),
        (asked.Restore, {"scheduler": ["ddpm"]}, "scheduler is a list; it must be a text."),
        (asked.Score, {"metrics": ["piqe"]}, "metrics is a list; it must be a text."),
        (asked.CountTokens, {"text": None}, "text is missing; it must be a text."),
    ],
)
def test_a_wrong_type_gives_one_sentence(model, given, said):
    with pytest.raises(XPSRError) as caught:
        asked.check(model, given)
    assert str(caught.value) == said


def test_what_is_right_or_left_out_passes():
    asked.check(asked.Restore, {"seed": 5, "guidance_scale": 4, "prompt": "A cat.", "preset": None})
    asked.check(asked.Restore, {"num_inference_steps": 10**30})  # a number: its range is told later
    asked.check(asked.CountTokens, {"text": ""})


def test_a_text_that_cannot_be_counted_goes_by_the_name_that_its_caller_knows(tmp_path):
    """It may be any of the five."""
    endpoints = Endpoints(Services(Engine(EngineOptions()), Outputs(tmp_path, Shelf())))
    for wrong, said in (
        ({"text": "long " * 1000}, "'text has 5,000 characters; shorten it"),
        ({"text": "a\0"}, "'text holds an unprintable character"),
        ({"text": "", "added_prompt": "long " * 1000}, "'added_prompt has 5,000 characters"),
    ):
        with pytest.raises(gr.Error, match=said):
            endpoints.count_tokens(**wrong)


@pytest.mark.parametrize("name", ["describe", "restore", "score", "count_tokens"])
def test_what_an_assistant_reads_of_an_argument_is_whole(name):
    """Gradio reads one line of each."""
    _, about, _ = get_function_description(getattr(Endpoints, name))
    assert {argument for argument, said in about.items() if not said.endswith(".")} == {"self"}
