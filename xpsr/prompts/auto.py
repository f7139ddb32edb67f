"""The describer "auto": LLaVA where it would run well, else measured, and why."""

from __future__ import annotations

from dataclasses import dataclass

from xpsr.prompts.llava import MODEL, REVISION
from xpsr.prompts.weights import are_here, fetch_config


@dataclass(frozen=True)
class Choice:
    """What "auto" stands for on this machine.

    Attributes:
        spec: for `make_describer`.
        reason: one sentence for the user.
    """

    spec: str
    reason: str


def choose() -> Choice:
    """LLaVA if a GPU and its weights are here and it fits; never downloads, never loads."""
    import torch

    if not torch.cuda.is_available():
        return Choice("measured", "There is no GPU that PyTorch can use, so LLaVA was not chosen.")
    revision = next((r for r in (REVISION, "main") if are_here(MODEL, r)), None)
    if revision is None:
        return Choice("measured", f"The weights of {MODEL} are not on this machine.")
    from xpsr.placement import free_bytes
    from xpsr.prompts.footprint import Footprint
    from xpsr.prompts.llava_model import read_config

    footprint = Footprint.of(read_config(fetch_config(MODEL, revision), MODEL))
    free = free_bytes(torch.device("cuda"))
    for bits in (16, 8, 4):
        if footprint.bytes(bits) <= free:
            reason = f"A GPU and the weights of {MODEL} are here; it fits in {bits} bits."
            return Choice(f"llava?bits={bits}&revision={revision}", reason)
    return Choice("measured", f"The free memory of the GPU does not suffice for {MODEL}.")
