"""The command line for tests: as a process of its own, or in this one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
QUICK = ("--preset", "mini", "--num-inference-steps", "2", "--upscale", "2")
# One thread a process: two cores are quickly crowded, and the sums come out the same every time.
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": str(ROOT),
    "OMP_NUM_THREADS": "1",
    "HF_HUB_OFFLINE": "1",
    "COLUMNS": "200",
}


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str

    @property
    def records(self) -> list[dict]:
        """Every line of stdout; anything on it that is no JSON makes the test fail."""
        return [json.loads(line) for line in self.out.splitlines()]


def process(*arguments: str | Path, **environment: str) -> Done:
    """Run a command as a process of its own, from start to end."""
    command = [sys.executable, "-m", "xpsr", *map(str, arguments)]
    env = {**ENVIRONMENT, **environment}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=280)
    return Done(done.returncode, done.stdout, done.stderr)


def start(*arguments: str | Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "xpsr", *map(str, arguments)],
        cwd=ROOT,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
