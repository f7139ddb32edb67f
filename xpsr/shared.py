"""What several runs on one picture have in common, computed once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Protocol, TypeVar

Value = TypeVar("Value")
Size = tuple[int, int]

_MOST = 32  # a sweep over sizes must not fill the memory with the hints of all of them


class Keep(Protocol):
    """`Shared.get` for what depends on the size of the picture that the networks see."""

    def __call__(self, key: tuple[Hashable, ...], make: Callable[[], Value]) -> Value:
        """See `Shared.get`."""
        ...


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

    def at(self, size: Size) -> Keep:
        """For everything made from the picture at a working size.

        The size and not the tensor's shape: two sizes can be padded to the same one.
        """
        return lambda key, make: self.get((size, *key), make)
