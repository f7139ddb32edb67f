"""Is half precision any faster here? Measured, since drivers and processors do not say."""

import time
from functools import cache

import torch
from torch import nn

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
ENOUGH = 0.5  # seconds; what takes longer needs no second look
SLOWER = 1.5  # from here on it is no matter of noise: processors without it take several times


@cache
def seconds(device: torch.device, dtype: torch.dtype) -> float:
    """Of one convolution like those of small U-Nets, with its gradients; the best of up to three.

    Measured once: it takes a second or more where a format is imitated.
    """
    # Neither reads nor moves the global random state, on which resumed runs depend.
    convolution = nn.utils.skip_init(nn.Conv2d, 64, 64, 3, device=device)
    nn.init.constant_(convolution.weight, 1e-2)
    nn.init.zeros_(convolution.bias)
    picture = torch.ones(4, 64, 64, 64, device=device, requires_grad=True)
    times = []
    for _ in range(4):  # the first one only warms up
        _wait(device)
        began = time.perf_counter()
        with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            convolution(picture).float().mean().backward()
        _wait(device)
        times.append(time.perf_counter() - began)
        if len(times) > 1 and times[-1] > ENOUGH:
            break
    return min(times[1:])


def advice(mixed_precision: str, device: torch.device, optimizer: str = "adamw") -> str | None:
    """What to say where half precision costs time instead of saving it; None = nothing."""
    half = "bf16" if mixed_precision == "no" and optimizer == "muon" else mixed_precision
    if half not in DTYPES:
        return None
    ratio = seconds(device, DTYPES[half]) / seconds(device, torch.float32)
    if ratio < SLOWER:
        return None
    what = "processor" if device.type == "cpu" else "GPU"
    remedies = []
    if half == mixed_precision:
        remedies.append("mixed_precision=no is faster here.")
    if optimizer == "muon":
        remedies.append("optimizer=muon always computes in bf16: adamw has shorter steps here.")
    return (
        f"This {what} only imitates {half}: a convolution takes {ratio:.1f} times as long as in"
        f" float32. {' '.join(remedies)}"
    )


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
