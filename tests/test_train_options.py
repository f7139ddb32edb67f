"""Options: what cannot work is refused in a sentence, and numbers are numbers."""

from __future__ import annotations

import pytest

from train.options import read_options
from train.prepare import PrepareConfig
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
