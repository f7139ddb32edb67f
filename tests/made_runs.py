"""Finished runs without a model: pictures and recipes put together for tests of the page."""

from __future__ import annotations

from typing import Any

from PIL import Image

from studio.results.outputs import Outputs, Run
from xpsr.image import pixel_sha256
from xpsr.pipeline import Restored
from xpsr.prompts import Prompts
from xpsr.recipe import Recipe, Versions
from xpsr.settings import Settings


def make_recipe(before: Image.Image, after: Image.Image, **changes: Any) -> Recipe:
    made = {
        "model": "mini",
        "prompts": Prompts(prompt="A garden.", lowlevel_prompt="Blurred."),
        "settings": Settings(),
        "versions": Versions.here(),
        "device": "cpu",
        "dtype": "float32",
        "input_sha256": pixel_sha256(before),
        "input_size": before.size,
        "output_sha256": pixel_sha256(after),
        "output_size": after.size,
    }
    return Recipe(**{**made, **changes})


def keep_run(
    outputs: Outputs,
    before: Image.Image,
    shade: int = 0,
    title: str = "garden",
    upscale: int = 2,
    **changes: Any,
) -> Run:
    """A run whose result is the picture enlarged, `shade` grey levels brighter."""
    size = before.width * upscale, before.height * upscale
    after = before.resize(size).point(lambda level: min(255, level + shade))
    recipe = make_recipe(before, after, **changes)
    return outputs.keep(before, Restored(after, recipe, 1.5, ()), title)
