"""Options: what cannot work is refused in a sentence, and numbers are numbers."""

from __future__ import annotations

import pytest

from train.config import TrainConfig
from train.options import read_options
from train.pairing import PrepareConfig
from xpsr.errors import XPSRError


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["size=500"], "The option 'size' cannot be 500: Input should be a multiple of 8."),
        (["size=64", "upscale=8"], "make low-resolution sides of 8 pixels, and texts need 16."),
        (["size=96", "upscale=5"], "size 96 is no multiple of upscale 5."),
    ],
)
def test_sizes_that_cannot_work_are_refused(overrides, says) -> None:
    with pytest.raises(XPSRError) as raised:
        read_options(PrepareConfig, None, overrides)
    assert str(raised.value).endswith(says)
    read_options(PrepareConfig, None, ["size=64", "upscale=4"])


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("degradation.recipe=foo", "'degradation.recipe' cannot be 'foo': Input should be 'paper'"),
        ("degradation.recipe={papr: 1}", "'degradation.recipe' cannot be 'papr': Input should be"),
        ("degradation.recipe={mild: x}", "'degradation.recipe' cannot be 'x': Input should be a"),
        ("degradation.scales=[1, 5]", "'degradation.scales' cannot be 5: Input should be less"),
        ("degradation.sizes=3", "no option 'degradation.sizes'. The options of 'degradation' are"),
        ("trackers=[1]", "'trackers' cannot be 1"),
        ("trackers=wandb", "'trackers' cannot be 'wandb': write a list, as [a, b]."),
        ("model.alpha_bar_range=[0.1]", "_range' cannot be [0.1]: give more values."),
    ],
)
def test_a_sentence_names_options_that_there_are(override, says) -> None:
    with pytest.raises(XPSRError) as raised:
        read_options(TrainConfig, None, ["data=x", "out=y", override])
    assert says in str(raised.value)


def test_a_power_of_ten_is_a_number(tmp_path) -> None:
    numbers = {"1e-4": 1e-4, "2E+3": 2e3, "-1.e2": -100.0, ".5e1": 5.0, "1.0e-4": 1e-4}
    path = tmp_path / "config.yaml"
    for text, number in numbers.items():
        path.write_text(f"data: x\nout: y\nmodel: {{scheduler: {{beta_start: {text}}}}}\n")
        given = read_options(TrainConfig, path).model.scheduler
        path.write_text("data: x\n")
        options = [f"model.scheduler.beta_start={text}", "out=1e-4"]
        config = read_options(TrainConfig, path, options)
        assert given == config.model.scheduler == {"beta_start": number} and config.out == "1e-4"
    config = read_options(TrainConfig, path, ["out=y", "model.scheduler.name=1e-4x"])
    assert config.model.scheduler == {"name": "1e-4x"}


def test_an_option_that_stands_there_twice_is_refused(tmp_path) -> None:
    """Of two the one further down would be taken, whichever was meant."""
    path = tmp_path / "config.yaml"
    for text, name in (
        ("data: x\nout: y\nsteps: 1\nsteps: 2\n", "steps"),
        ("data: x\nout: y\nloss: {pixel_weight: 0, pixel_weight: 1}\n", "pixel_weight"),
    ):
        path.write_text(text)
        with pytest.raises(XPSRError, match=f"config.yaml .* {name} stands there twice"):
            read_options(TrainConfig, path)
    path.write_text("data: &a x\nout: y\nmodel: {unet: &b {c: 1}, autoencoder: {<<: *b, c: 2}}\n")
    assert read_options(TrainConfig, path).model.autoencoder == {"c": 2}
