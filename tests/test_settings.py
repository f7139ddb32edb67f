"""Settings: presets, ranges, sentences."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import FrozenInstanceError, asdict, fields

import pytest

from xpsr.errors import XPSRError
from xpsr.prompts import PRESET_PROMPTS, Prompts
from xpsr.settings import CHOICES, DEFAULTS, LIMITS, PRESETS, SMALLEST_TILE, Settings


def test_presets_are_what_paper_and_code_say():
    paper, official = PRESETS["paper"], PRESETS["official"]
    assert (paper.num_inference_steps, paper.guidance_scale) == (50, 6.5)
    assert (paper.scheduler, paper.start, paper.negative) == ("ddpm", "lr", "high")
    assert (official.num_inference_steps, official.guidance_scale) == (20, 4.5)
    assert (official.scheduler, official.start, official.negative) == ("ddpm", "lr_twice", "both")
    assert (official.added_noise_level, official.color_fix) == (800, "adain")
    assert official.process_size == 512
    assert Settings() == official
    assert PRESETS["fast"].num_inference_steps < official.num_inference_steps
    assert PRESETS["fast"].scheduler in ("dpm++", "unipc")


def test_every_preset_has_texts_and_every_field_a_range():
    assert list(PRESETS) == list(PRESET_PROMPTS)
    assert {field.name for field in fields(Settings)} == {*CHOICES, *LIMITS} == set(DEFAULTS)


@pytest.mark.parametrize("name", LIMITS)
def test_limits_hold_and_are_named(name):
    low, high = LIMITS[name]
    fitting = {"tile_size": 0} if name == "tile_overlap" else {"tile_overlap": 0}
    for value in (low, high):
        assert getattr(Settings(**{**fitting, name: value}), name) == value
    least = SMALLEST_TILE if name == "tile_size" else low
    for value in (low - 1, high + 1, float("nan"), float("inf"), "4", None, True, [1]):
        with pytest.raises(XPSRError, match=rf"^{name} is .* from {least:g} to .*\.$"):
            Settings(**{**fitting, name: value})


@pytest.mark.parametrize("size", [1, 8, SMALLEST_TILE - 1])
def test_tiles_are_not_too_small_to_see_anything(size):
    with pytest.raises(XPSRError, match=f"tile_size is {size}; it must be 0, for no tiles, or a "):
        Settings(tile_size=size, tile_overlap=0)
    assert Settings(tile_size=SMALLEST_TILE, tile_overlap=0).tile_size == SMALLEST_TILE


@pytest.mark.parametrize("name", CHOICES)
def test_choices_hold_and_are_named(name):
    for value in CHOICES[name]:
        assert getattr(Settings(**{name: value}), name) == value
    for value in ("", "something else", None, 3, ["none"]):
        with pytest.raises(XPSRError) as error:
            Settings(**{name: value})
        assert all(choice in str(error.value) for choice in CHOICES[name])
    with pytest.raises(XPSRError) as error:
        Settings(**{name: "such as an object of diffusers, " * 99})
    assert len(str(error.value)) < 200


def test_whole_numbers_may_come_as_floats_but_must_be_whole():
    settings = Settings(num_inference_steps=20.0, guidance_scale=4)
    assert type(settings.num_inference_steps) is int and type(settings.guidance_scale) is float
    assert settings == Settings(num_inference_steps=20, guidance_scale=4.0)
    with pytest.raises(XPSRError, match="whole number"):
        Settings(seed=1.5)


def test_overlap_is_less_than_the_tile():
    with pytest.raises(XPSRError, match="smaller than tile_size"):
        Settings(tile_size=64, tile_overlap=64)
    assert Settings(tile_size=0, tile_overlap=64).tile_size == 0


def test_overrides_keep_the_rest():
    changed = Settings.from_preset("paper", seed=9, guidance_scale=None)
    assert asdict(changed) == {**asdict(PRESETS["paper"]), "seed": 9}
    with pytest.raises(XPSRError, match=r'no setting "sead"; the settings are .*seed'):
        Settings.from_preset("paper", sead=9)
    with pytest.raises(XPSRError, match="official, paper, mini, faithful, fast"):
        Settings.from_preset("best")
    for kind in Settings, Prompts:
        with pytest.raises(XPSRError, match="no preset"):
            kind.from_preset(["mini"])  # type: ignore[arg-type]


def test_settings_are_frozen():
    with pytest.raises(FrozenInstanceError):
        Settings().seed = 1  # type: ignore[misc]


def test_settings_and_texts_come_without_torch():
    """The command line's help and the page's layout must not wait for it."""
    code = (
        "import sys, xpsr; xpsr.Settings.from_preset('paper'), xpsr.Prompts();"
        "assert not {'torch', 'diffusers', 'transformers'} & set(sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("given", [("A cat.",), (None, {"seed": 7})])
def test_a_stream_takes_texts_and_settings_as_values(tiny_pipeline, picture, given) -> None:
    with pytest.raises(XPSRError, match=r"xpsr\.Prompts\(.* xpsr\.Settings\("):
        next(tiny_pipeline.stream(picture(16, 16), *given))
