"""What the handlers of every tab work with."""

from __future__ import annotations

from dataclasses import dataclass

from .models.choice import NOT_ALLOWED, LastChoice, Permission
from .models.engine import Engine
from .results.outputs import Outputs


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
