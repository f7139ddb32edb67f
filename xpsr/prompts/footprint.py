"""How much memory a vision model takes, told from its configuration before anything is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from xpsr.placement import free_bytes
from xpsr.prompts.description import DescriberUnavailableError

if TYPE_CHECKING:
    from transformers import PretrainedConfig

GIB = 1024**3
# Bytes for each weight of a linear layer; 4 and 8 bits carry scales along.
_LINEAR = {32: 4.0, 16: 2.0, 8: 1.03, 4: 0.57}
TOKENS = 1700  # of both questions about a picture: the picture, words and answers


@dataclass(frozen=True)
class Footprint:
    """The size of a model, counted once.

    Attributes:
        linear: weights of linear layers, which can be stored in 4 or 8 bits.
        others: all other weights.
        cache: bytes of keys and values in 16 bits, for `TOKENS` tokens.
    """

    linear: int
    others: int
    cache: int

    @classmethod
    def of(cls, config: PretrainedConfig) -> Footprint:
        """Count a model from its configuration; its networks are laid out without memory."""
        from transformers import AutoModelForImageTextToText

        with torch.device("meta"):
            model = AutoModelForImageTextToText.from_config(config)
        kept_whole = model.get_output_embeddings()
        linear = sum(
            module.weight.numel()
            for module in model.modules()
            if isinstance(module, torch.nn.Linear) and module is not kept_whole
        )
        others = sum(parameter.numel() for parameter in model.parameters()) - linear
        text: Any = config.get_text_config()
        heads = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
        size = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
        return cls(linear, others, 2 * 2 * TOKENS * text.num_hidden_layers * heads * size)

    def bytes(self, bits: int, pictures: int = 1) -> int:
        """Bytes to load the model in 4, 8, 16 or 32 bits and to answer about pictures at once."""
        weights = self.linear * _LINEAR[bits] + self.others * max(_LINEAR[bits], 2.0)
        # What is in flight besides is small: a twentieth of the weights, and a quarter GiB.
        return int(weights * 1.05) + pictures * (self.cache + GIB // 4)

    def pictures(self, bits: int, free: int) -> int:
        """How many pictures at once fit into `free` bytes beside the model; 1 at least."""
        return max(1, (free - self.bytes(bits, 0)) // (self.cache + GIB // 4))


def check_room(name: str, config: PretrainedConfig, bits: int, device: torch.device) -> int:
    """How many pictures at once fit; refuses what cannot, before it is fetched or loaded.

    Raises:
        DescriberUnavailableError: says how much is needed, how much is free, and what would fit.
    """
    footprint = Footprint.of(config)
    needed, free = footprint.bytes(bits), free_bytes(device)
    if needed <= free:
        return footprint.pictures(bits, free)
    ways = ["choose a smaller model", "free some memory", "use the describer measured"]
    for fewer in (8, 4):
        if fewer < bits and (fits := footprint.bytes(fewer)) <= free:
            ways.insert(0, f"use llava?bits={fewer}, which needs {fits / GIB:.1f} GiB")
            break
    raise DescriberUnavailableError(
        f"{name} needs about {needed / GIB:.1f} GiB of memory in {bits} bits, and "
        f"{free / GIB:.1f} GiB are free on {device}: {', '.join(ways[:-1])} or {ways[-1]}."
    )
