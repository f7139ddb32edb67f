"""How fast a long run goes and when it will be done, on stderr every few seconds."""

from __future__ import annotations

import time
from collections.abc import Callable


class Pace:
    """Counts what is done and says so.

    Args:
        total: how many there are.
        say: where the lines go.
        every: seconds between two lines.
    """

    def __init__(self, total: int, say: Callable[[str], None], every: float = 5.0) -> None:
        self.total, self.say, self.every = total, say, every
        self.done = self.failed = 0
        self.started = self.said = time.monotonic()

    def count(self, failed: bool) -> None:
        """One more is done, well or not."""
        self.done += 1
        self.failed += failed
        now = time.monotonic()
        if now - self.said >= self.every and self.done < self.total:
            self.said = now
            rate = self.done / (now - self.started)
            left = (self.total - self.done) / rate
            self.say(f"{self._so_far()}, {rate:.2g} a second, about {_duration(left)} left")

    def end(self) -> None:
        """The last line; nothing where there was but one."""
        if self.total > 1:
            seconds = max(time.monotonic() - self.started, 1e-6)
            self.say(
                f"{self._so_far()} in {_duration(seconds)}, {self.done / seconds:.2g} a second"
            )

    def _so_far(self) -> str:
        failed = f", {self.failed} failed" if self.failed else ""
        return f"{self.done} of {self.total} pictures{failed}"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
