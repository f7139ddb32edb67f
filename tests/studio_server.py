"""One running studio for the tests: `python app.py` with the tiny pipeline."""

from __future__ import annotations

import functools
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).resolve().parents[1]
START_SECONDS = 240  # a machine that is busy with other things


Process = subprocess.Popen[bytes]


@dataclass(frozen=True)
class Studio:
    url: str
    port: int
    model: Path
    log: Path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def app_environment(**extra: str) -> dict[str, str]:
    """The surroundings without what a developer's shell may have set for Gradio."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("GRADIO_")}
    own = {"OMP_NUM_THREADS": "1", "XPSR_OUTPUTS": str(_folder() / "outputs")}
    return {**kept, **own, **extra}


@functools.cache
def _folder() -> Path:
    folder = tempfile.TemporaryDirectory(prefix="xpsr-test-studio-")
    _folders.append(folder)
    return Path(folder.name)


def save_tiny(pipeline: Any) -> Path:
    """The tiny pipeline as a folder whose own preset is the cheapest one."""
    folder = _folder() / "tiny"
    if not folder.exists():
        pipeline.save_pretrained(folder)
        index = folder / "model_index.json"
        described = {**json.loads(index.read_text()), "default_preset": "mini"}
        index.write_text(json.dumps(described))
    return folder


_running: dict[Path, Studio] = {}
_started: list[Process] = []
_folders: list[tempfile.TemporaryDirectory[str]] = []


def end_all() -> None:
    """Every server that was started here and still runs; not left to `atexit`, which a process of
    pytest-xdist may not come to."""
    for process in _started:
        process.terminate()  # it takes what it served along, as it could not if it were killed
    for process in _started:
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    for folder in _folders:
        folder.cleanup()


def studio_for(model: Path) -> Studio:
    """Start the studio once for all test files; it ends with the tests."""
    if model not in _running:
        _running[model] = _start(model)
    return _running[model]


def _start(model: Path) -> Studio:
    port, log = free_port(), _folder() / "studio.log"
    return start(model, port, log)[0]


def start(model: Path, port: int, log: Path, **environment: str) -> tuple[Studio, Process]:
    """Start a studio of one's own, which ends with the tests at the latest."""
    with log.open("a") as output:
        process = subprocess.Popen(
            [sys.executable, "app.py", "--model", str(model), "--port", str(port)],
            cwd=ROOT,
            env=app_environment(**environment),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    _started.append(process)
    url = f"http://127.0.0.1:{port}"
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        try:
            if httpx.get(url, timeout=5).status_code == 200:
                return Studio(url, port, model, log), process
        except httpx.TransportError:
            time.sleep(0.2)
    process.kill()
    raise RuntimeError(f"the studio did not start:\n{log.read_text()}")
