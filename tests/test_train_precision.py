"""Half precision that costs time instead of saving it is told."""

import pytest
import torch

from train import precision
from train.precision import advice, seconds

CPU = torch.device("cpu")


def test_float32_needs_no_advice():
    assert advice("no", CPU) is None


def test_advice_agrees_with_what_the_processor_can_do():
    capabilities = getattr(torch.cpu, "get_capabilities", dict)  # newer than the oldest torch
    can = capabilities()
    if can.get("architecture") != "x86_64":
        pytest.skip("torch does not tell, or in other words than those of x86")
    said = advice("bf16", CPU)
    if can["avx512_bf16"] or can["amx_bf16"]:
        assert said is None
    elif not can["avx512_f"]:
        assert said is not None and "mixed_precision=no is faster" in said


@pytest.mark.parametrize(("half", "told"), [(0.9, False), (1.4, False), (4.0, True)])
def test_only_what_is_clearly_slower_is_told(monkeypatch, half, told):
    times = {torch.float32: 1.0, torch.bfloat16: half}
    monkeypatch.setattr(precision, "seconds", lambda device, dtype: times[dtype])
    said = advice("bf16", CPU)
    assert (said is not None) is told
    if told:
        assert said == (
            "This processor only imitates bf16: a convolution takes 4.0 times as long as in"
            " float32. mixed_precision=no is faster here."
        )
    # Muon computes in it whatever the networks do.
    alone, both = advice("no", CPU, "muon"), advice("bf16", CPU, "muon")
    assert (alone is not None and both is not None) is told
    if told:
        assert alone and "adamw" in alone and "mixed_precision" not in alone
        assert both and "adamw" in both and "mixed_precision=no" in both


def test_measuring_leaves_the_random_state_alone():
    seconds.cache_clear()
    before = torch.get_rng_state()
    assert seconds(CPU, torch.float32) > 0
    assert torch.equal(before, torch.get_rng_state())
