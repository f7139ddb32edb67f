"""What the handlers of every tab work with."""

from __future__ import annotations

from dataclasses import dataclass

from .engine import Engine
from .model_choice import NOT_ALLOWED, LastChoice, Permission
from .outputs import Outputs


@dataclass(frozen=True)
class Services:
    """The models and the finished runs of one studio.

    Attributes:
        may_change_model: whether visitors may; see there.
        last_choice: remembers the model; None: nobody does.
    """

    engine: Engine
    outputs: Outputs
    may_change_model: Permission = NOT_ALLOWED
    last_choice: LastChoice | None = None
