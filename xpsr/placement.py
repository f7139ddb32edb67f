"""Where the networks run, in which number format, and how much memory is free there."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import psutil
import torch

from xpsr.errors import NotEnoughMemoryError, XPSRError, is_out_of_memory

Module = TypeVar("Module", bound=torch.nn.Module)

_CGROUP = Path("/sys/fs/cgroup")
DTYPES = {
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
}


def choose_device(wanted: str | torch.device | None = None) -> torch.device:
    """The wanted device, or the best one there is: CUDA, then Apple's MPS, then the CPU.

    Raises:
        XPSRError: no such kind of device, or this machine has none that PyTorch can use.
    """
    if wanted is None:
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(wanted)
    except (RuntimeError, TypeError):
        raise XPSRError(f'There is no device "{wanted}"; choose one of cuda, mps, cpu.') from None
    if not _is_there(device):
        have = ", ".join(kind for kind in ("cuda", "mps", "cpu") if _is_there(torch.device(kind)))
        raise XPSRError(f'PyTorch cannot use the device "{wanted}" here; choose one of {have}.')
    return device


def own_gpu() -> str | None:
    """The GPU that a launcher has in mind for this process; None: there is no GPU or no launcher.

    Its processes on one machine are numbered, and share the GPUs where there are more of them.
    """
    number = os.environ.get("LOCAL_RANK", "")
    if not number.isdecimal() or not torch.cuda.is_available():
        return None
    return f"cuda:{int(number) % torch.cuda.device_count()}"


def choose_dtype(device: torch.device, wanted: str | torch.dtype | None = None) -> torch.dtype:
    """The wanted number format, or the usual one: float16 on GPUs, float32 on the CPU.

    float16 and not bfloat16: it has three more bits for the fine differences a diffusion step is
    made of, and Stable Diffusion's numbers stay within its range.

    Raises:
        XPSRError: no such format.
    """
    if wanted is None:
        return torch.float32 if device.type == "cpu" else torch.float16
    dtype = DTYPES.get(wanted) if isinstance(wanted, str) else wanted
    if dtype is None or dtype not in DTYPES.values():
        raise XPSRError(
            f'There is no number format "{wanted}" here; choose one of {", ".join(DTYPES)}.'
        )
    return dtype


def hardware(device: torch.device) -> str:
    """What computes on a device, as far as it decides how numbers are rounded."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)[:100]
    if device.type == "cpu":
        return f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}"
    return platform.machine()


def threads(device: torch.device) -> int | None:
    """Among how many threads work on the CPU is divided; None on another device.

    Sums are taken in another order with another number of them, so pixels differ slightly.
    """
    return torch.get_num_threads() if device.type == "cpu" else None


@contextmanager
def using_threads(count: int | None) -> Iterator[None]:
    """Divide work on the CPU among so many threads for a while; None leaves it alone."""
    before = torch.get_num_threads()
    if count is not None:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def free_bytes(device: torch.device) -> int:
    """Bytes that this process can still get on a device."""
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + unused
    if device.type == "mps":
        return max(torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory(), 0)
    return max(min(psutil.virtual_memory().available, _container_bytes()), 0)


def _container_bytes() -> int:
    """What the limit of a container leaves; without one, more than any machine has."""
    try:
        limit = int((_CGROUP / "memory.max").read_text())
        used = int((_CGROUP / "memory.current").read_text())
        files = dict(line.split() for line in (_CGROUP / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):
        return 2**62  # no container, or one without a limit ("max")
    return limit - used + int(files.get("inactive_file", 0))


def moved_in(module: Module) -> Module:
    """`module`, brought to its device if offloading keeps it elsewhere.

    Offload hooks fire before `forward`; encoding, decoding and embedding the picture are other
    methods, and only some of diffusers' own classes call the hook there.
    """
    hook = getattr(module, "_hf_hook", None)
    if hook is not None:
        hook.pre_forward(module)
    return module


@contextmanager
def telling_of_memory(sentence: str) -> Iterator[None]:
    """Where memory runs out inside, this sentence for the user is raised.

    Raises:
        NotEnoughMemoryError: instead of what torch or Python raised.
    """
    try:
        yield
    except (RuntimeError, OSError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise NotEnoughMemoryError(sentence) from error


def _is_there(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count()
    if device.type == "mps":
        return torch.backends.mps.is_available()
    return device.type == "cpu"
