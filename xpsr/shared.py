"""What several runs on one picture have in common, computed once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import TypeVar

Value = TypeVar("Value")

_MOST = 32  # a sweep over sizes must not fill the memory with the hints of all of them


class Shared:
    """Keeps text embeddings, image embeddings and start latents from one run to the next.

    One of these is for one picture and one pipeline: pass it to every `XPSRPipeline.stream`. What
    it gives is what would have been computed again, so pixels do not change.
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[Hashable, object] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """What `make` gave the first time it was asked for `key`; the oldest keys are dropped."""
        if key not in self._kept:
            self._kept[key] = make()
            if len(self._kept) > _MOST:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key]  # type: ignore[return-value]
