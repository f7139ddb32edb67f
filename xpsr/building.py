"""Networks that are built while another thread loads a model."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from torch import nn

Network = TypeVar("Network", bound="nn.Module")


def built(make: Callable[[], Network]) -> Network:
    """What `make` builds, with memory behind its weights.

    While diffusers loads a model, whatever any thread of the process builds has none, also what
    transformers loads; so it is made again until it has.
    """
    network = make()
    while any(weight.is_meta for weight in network.parameters()):
        time.sleep(0.05)
        network = make()
    return network
