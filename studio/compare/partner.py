"""What a finished run is best compared with, and the way to see it so."""

from __future__ import annotations

import secrets

from ..results.outputs import Outputs, Run
from ..visit import Visit
from .vote import comparable


def partner_of(run: Run, outputs: Outputs, visit: Visit) -> Run | None:
    """The pinned run or the newest one of the same picture, an example as well.

    Where there is none, the pinned or the newest run at all; None: it is the only one.
    """
    others = [one for one in outputs.found(reversed(visit.runs)) if one.id != run.id]
    others.sort(key=lambda one: one.id != visit.pinned)
    alike = (one for one in (*others, *outputs.examples.values()) if comparable(one, run))
    return next(alike, others[0] if others else None)


def to_compare(first: str, second: str) -> tuple[str, str, str]:
    """Asks the Compare tab for two runs; never twice the same, so that it opens them each time."""
    return first, second, secrets.token_hex(4)
