"""What several runs on one picture have in common, computed once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Generator, Hashable
from typing import Any, TypeVar

Value = TypeVar("Value")
Item = TypeVar("Item")

_MOST = 32  # a sweep over sizes must not fill the memory with the hints of all of them


class Shared:
    """Keeps text embeddings, image embeddings and start latents from one run to the next.

    One of these is for one picture and one pipeline: pass it to every `XPSRPipeline.stream`. What
    it gives is what would have been computed again, so pixels do not change: what depends on the
    size that the networks see has that size in its key. (Not the tensor's shape: two sizes can be
    padded to the same one.)
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[Hashable, object] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """What `make` gave the first time it was asked for `key`; the oldest keys are dropped."""
        return self._recall(key) if key in self._kept else self._keep(key, make())

    def walk(
        self, key: Hashable, make: Callable[[], Generator[Item, None, Value]]
    ) -> Generator[Item, None, Value]:
        """The same for what is made bit by bit; closed on the way, it keeps nothing."""
        return self._recall(key) if key in self._kept else self._keep(key, (yield from make()))

    def _keep(self, key: Hashable, value: Value) -> Value:
        self._kept[key] = value
        if len(self._kept) > _MOST:
            self._kept.popitem(last=False)
        return value

    def _recall(self, key: Hashable) -> Any:
        self._kept.move_to_end(key)
        return self._kept[key]
