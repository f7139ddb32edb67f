"""A run that somebody has asked for by a button, and how far it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(eq=False)
class Job:
    """One press on a button that begins a run; the next press makes another.

    Gradio ends a run by itself when Stop is pressed, but only one that it knows already: not one
    whose button was pressed a moment before, or that still waits for its picture. So whoever does
    the work looks here as well.

    Attributes:
        state: "waiting" for its turn, "working", "stopping" while it works, or at rest: "stopped",
            of which the page may not know yet, or "over".
    """

    state: Literal["waiting", "working", "stopping", "stopped", "over"] = "over"

    def work(self) -> None:
        """Its turn has come."""
        if not self.is_stopped:
            self.state = "working"

    def stop(self) -> None:
        """Stop was pressed."""
        next_states = {"waiting": "stopped", "working": "stopping"}
        self.state = next_states.get(self.state, self.state)

    def end(self) -> None:
        """Whoever did the work has let go of it."""
        self.state = "stopped" if self.is_stopped else "over"

    def fail(self) -> bool:
        """It has ended without a word: whether it was refused before its turn, and not stopped."""
        refused, self.state = self.state == "waiting", "over"
        return refused

    @property
    def is_stopped(self) -> bool:
        """Whether whoever does the work is to let go of it."""
        return self.state in ("stopping", "stopped")

    @property
    def is_under_way(self) -> bool:
        """Whether it still has to tell how it ended."""
        return self.state in ("waiting", "working", "stopping")
