"""What this machine has free, measured: disk, memory, memory of the GPU."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Machine:
    """Free bytes of this machine.

    Attributes:
        disk: on the disk of the working folder.
        memory: for programs.
        gpu: of the graphics processor; None where PyTorch can use none.
        gpu_name: what it is called.
    """

    disk: int
    memory: int
    gpu: int | None = None
    gpu_name: str = ""

    @classmethod
    def here(cls, folder: str | Path = ".") -> Machine:
        """Measured now."""
        import torch

        from xpsr.placement import choose_device, free_bytes, hardware

        disk, memory = shutil.disk_usage(folder).free, free_bytes(torch.device("cpu"))
        device = choose_device()
        if device.type == "cpu":
            return cls(disk, memory)
        return cls(disk, memory, free_bytes(device), hardware(device))
