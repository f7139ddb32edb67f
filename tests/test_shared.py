"""What several runs on one picture share never changes what they make."""

from __future__ import annotations

import pytest

from xpsr.pipeline import Restored, XPSRPipeline
from xpsr.prompts import Prompts
from xpsr.settings import Settings
from xpsr.shared import Shared


@pytest.mark.parametrize("residual", [False, True])
def test_another_size_is_another_picture(tiny_pipeline, picture, residual: bool) -> None:
    """130 and 132 pixels are both padded to 136."""
    pipe = XPSRPipeline(**tiny_pipeline.components, residual_latents=residual)

    def made(size: int, shared: Shared | None) -> str:
        settings = Settings(num_inference_steps=1, upscale=2, process_size=size)
        *_, last = pipe.stream(picture(32, 32), Prompts(prompt="a wall"), settings, shared)
        assert isinstance(last, Restored)
        return last.recipe.output_sha256

    shared = Shared()
    assert made(130, shared) != made(132, shared) == made(132, None)
