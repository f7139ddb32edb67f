"""Photos from numbers alone, and the training command as a user starts it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors.torch import load_file

from train.config import DataConfig

ROOT = Path(__file__).parents[1]
CONFIGS = ROOT / "train" / "configs"


def make_photos(folder: Path, count: int = 4) -> Path:
    """Photo-like pictures, and two files that no pair can be made of."""
    folder.mkdir(parents=True, exist_ok=True)
    y, x = np.mgrid[0:160, 0:200] / 40
    for i in range(count):
        random = np.random.default_rng(i)
        channels = [np.sin(x * random.uniform(1, 3) + y * random.uniform(1, 3)) for _ in range(3)]
        picture = np.stack(channels, -1) * 90 + 128 + random.normal(0, 6, (160, 200, 1))
        Image.fromarray(picture.clip(0, 255).astype("uint8")).save(folder / f"photo{i}.png")
    (folder / "broken.jpg").write_bytes(b"not a picture")
    Image.new("RGB", (40, 300)).save(folder / "narrow.png")
    return folder


# By itself a process starts some seconds faster than by `accelerate launch`.
ALONE: tuple[str, ...] = ()
LAUNCH = ("accelerate.commands.launch", "--cpu", "--num_processes=1", "--num_machines=1")
# accelerate leaves several processes without a GPU to MPI; torchrun starts them as well.
LAUNCH_TWO = ("torch.distributed.run", "--standalone", "--nproc-per-node=2")


def start(command: list[str], launcher: tuple[str, ...] = ALONE, **environment: str):
    """A command of ours as users launch it, on CPUs, in a process group of its own."""
    fixed = {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1", "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.Popen(
        [sys.executable, *(["-m", *launcher] if launcher else []), "-m", *command],
        cwd=ROOT,
        env={**os.environ, **fixed, **environment},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finish(process) -> str:
    """Its messages, once it has ended well."""
    _, log = process.communicate()
    assert process.returncode == 0, log
    return log


def train(
    data: Path,
    out: Path,
    *overrides: str,
    launcher: tuple[str, ...] = ALONE,
    **environment: str,
):
    """`smoke.yaml` with other values."""
    command = ["train", "--config", str(CONFIGS / "smoke.yaml"), f"data={data}", f"out={out}"]
    return start([*command, *overrides], launcher, **environment)


def weights(out: Path) -> dict:
    """All weights of an exported pipeline."""
    found = {}
    for part in ("unet", "controlnet", "text_encoder", "vae"):
        for path in sorted((out / part).glob("*.safetensors")):
            found |= {f"{part}.{k}": v for k, v in load_file(path).items()}
    return found


class Unstopped:
    """In place of samples: whether a data worker passes over Ctrl-C."""

    config = DataConfig(data_workers=1)

    def batch(self, _numbers: list[int]) -> bool:
        return signal.getsignal(signal.SIGINT) == signal.SIG_IGN
