"""The results of all pages that one browser has open: each page knows only its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

MAX_BROWSERS = 512  # each twice: its runs, and the cells of its ablations
_TIME = slice(len("20260131-235959"))  # the part of a run's id that tells when it was finished


class Together:
    """For each browser, by a name that nobody can guess, the ids of its runs.

    The browser has one memory for all its pages, and the page that writes last would take the
    results of the others out of it.

    Args:
        there: whether there still is such a run.
    """

    def __init__(self, there: Callable[[str], bool]) -> None:
        self.there = there
        self._known: dict[str, list[str]] = {}
        self._lock = threading.Lock()

    def unite(self, browser: str, runs: Sequence[str], most: int) -> list[str]:
        """`runs` of one page, with those that other pages of this browser told of; by time.

        The newest `most` of them are remembered and returned.
        """
        with self._lock:
            others = [one for one in self._known.pop(browser, ()) if self.there(one)]
            united = sorted(dict.fromkeys([*others, *runs]), key=lambda one: one[_TIME])
            self._known[browser] = united[-most:]
            if len(self._known) > MAX_BROWSERS:
                del self._known[next(iter(self._known))]  # silent for longest
            return self._known[browser]
