"""XPSR: restore photographs with two descriptions, one of the content and one of the quality.

```python
import xpsr

pipe = xpsr.load("mini")
out = pipe("photo.jpg", prompt="A cat on a roof.", lowlevel_prompt="Blurred, with noise.", seed=7)
out.images[0].save("restored.png")
```
"""

from __future__ import annotations

import importlib
import logging
from typing import TYPE_CHECKING, Any

from xpsr.errors import XPSRError

__version__ = "0.1.0"

# diffusers imports xformers wherever it is installed, and an xformers built for another torch
# then prints seven lines of warnings. Attention runs on torch's own kernels, so they say nothing.
logging.getLogger("xformers").setLevel(logging.ERROR)
# Imported by diffusers in the same way; without a GPU it misses a package that we do not use.
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)

if TYPE_CHECKING:
    from xpsr.loading import load
    from xpsr.pipeline import XPSROutput, XPSRPipeline
    from xpsr.prompts import Prompts
    from xpsr.recipe import Recipe, read_recipe, save_png
    from xpsr.seesr import SeeSRPipeline
    from xpsr.settings import PRESETS, Settings

# Looked up on first use: `python -m xpsr --help` must not wait for torch.
_HOMES = {
    "load": "loading",
    "XPSROutput": "pipeline",
    "XPSRPipeline": "pipeline",
    "Prompts": "prompts",
    "Recipe": "recipe",
    "read_recipe": "recipe",
    "save_png": "recipe",
    "SeeSRPipeline": "seesr",
    "PRESETS": "settings",
    "Settings": "settings",
}

__all__ = [
    "PRESETS",
    "Prompts",
    "Recipe",
    "SeeSRPipeline",
    "Settings",
    "XPSRError",
    "XPSROutput",
    "XPSRPipeline",
    "load",
    "read_recipe",
    "save_png",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
