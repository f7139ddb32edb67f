"""What the handlers of every tab work with."""

from __future__ import annotations

from dataclasses import dataclass

from .engine import Engine
from .outputs import Outputs


@dataclass(frozen=True)
class Services:
    """The models and the finished runs of one studio."""

    engine: Engine
    outputs: Outputs
