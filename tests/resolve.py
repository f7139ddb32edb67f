"""Ask the package index whether requirements.txt can be installed, without installing anything.

    python tests/resolve.py

Resolves the project's requirements for every Python, system and Space that it promises, prints
what would be installed, and exits with 1 if one cannot be. uv does the work, because pip cannot
resolve for another Python as long as a dependency comes as source only (openai-clip does).
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FILES = (ROOT / "requirements.txt", ROOT / "tests" / "requirements.txt")
# What a Space adds to its own `pip install -r requirements.txt`. With the extra "mcp" gradio
# needs pydantic <= 2.12.5.
SPACE = (
    "gradio[oauth,mcp]==6.31.0",
    "pydantic<=2.12.5",
    "uvicorn>=0.14.0",
    "websockets>=10.4",
    "spaces>=0.51",
)
# Never to be built from source on a user's machine: compilers, CUDA, half an hour.
WHEELS_ONLY = ("torch", "torchvision", "xformers", "numpy", "scipy", "pillow", "pillow-heif")
SHOWN = ("torch", "torchvision", "xformers", "diffusers", "transformers", "gradio", "pydantic")
UNREACHABLE = ("Failed to fetch", "Could not connect", "error sending request", "dns error")


@dataclass(frozen=True)
class Case:
    """One machine that the requirements are promised for."""

    name: str
    python: str
    platform: str = "linux"
    lines: tuple[str, ...] = ()


CASES = (
    Case("python 3.10", "3.10"),
    Case("python 3.11", "3.11"),
    Case("python 3.12", "3.12"),
    Case("python 3.13", "3.13"),
    Case("python 3.14", "3.14"),
    Case("windows", "3.12", "windows"),
    Case("macos", "3.12", "macos"),
    Case("linux on arm", "3.12", "aarch64-unknown-linux-gnu"),
    Case("space, python 3.10", "3.10", lines=(*SPACE, "torch<=2.11")),
    Case("space, python 3.12", "3.12", lines=(*SPACE, "torch<=2.11")),
    Case("space, oldest torch", "3.12", lines=(*SPACE, "torch==2.8.0")),
    Case("space, newest torch", "3.12", lines=(*SPACE, "torch<=2.13.0")),
)


class UnresolvableError(Exception):
    """The index answered, and no set of packages fits."""


class NoIndexError(Exception):
    """No package index could be asked."""


def resolve(case: Case) -> dict[str, str]:
    """The packages {name: version} that `case` would get.

    Raises:
        UnresolvableError, NoIndexError: as their names say.
    """
    with tempfile.TemporaryDirectory() as folder:
        extra = Path(folder) / "extra.txt"
        extra.write_text("\n".join(case.lines) + "\n", encoding="utf-8")
        options = ["--python-version", case.python, "--python-platform", case.platform]
        for name in WHEELS_ONLY:
            options += ["--only-binary", name]
        return _compile([*map(str, FILES), str(extra)], options)


@cache
def why_no_index() -> str | None:
    """Why nothing can be resolved on this machine, or None if it can."""
    try:
        _compile(["-"], [], stdin="packaging\n")
    except (NoIndexError, UnresolvableError, subprocess.TimeoutExpired) as error:
        return f"no package index can be reached: {error}"
    return None


def _compile(files: list[str], options: list[str], stdin: str = "") -> dict[str, str]:
    from uv import find_uv_bin

    command = [find_uv_bin(), "pip", "compile", "--no-python-downloads", "--no-config"]
    command += ["--no-header", "--no-annotate", "--quiet", "--python", sys.executable]
    command += [*options, *files]
    done = subprocess.run(
        command, input=stdin, capture_output=True, text=True, timeout=240, env=_environment()
    )
    if done.returncode:
        trouble = [line for line in done.stderr.splitlines() if not line.startswith("warning")]
        kind = (
            NoIndexError if any(sign in done.stderr for sign in UNREACHABLE) else UnresolvableError
        )
        raise kind("\n".join(trouble)[-2000:])
    pairs = (line.split(" ;")[0].split("==") for line in done.stdout.splitlines() if "==" in line)
    return {name.strip().lower(): version.strip() for name, version in pairs}


@cache
def _pip_index() -> str:
    """The index that pip asks here, if it is not the public one."""
    command = [sys.executable, "-m", "pip", "config", "get", "global.index-url"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return os.environ.get("PIP_INDEX_URL") or (done.stdout.strip() if not done.returncode else "")


def _environment() -> dict[str, str]:
    index = {"UV_DEFAULT_INDEX": _pip_index()} if _pip_index() else {}
    return {**index, **os.environ}


def main() -> int:
    """Resolve every case and print a line for each."""
    if reason := why_no_index():
        print(reason, file=sys.stderr)
        return 2
    failed = 0
    for case in CASES:
        try:
            found = resolve(case)
        except (UnresolvableError, NoIndexError) as error:
            failed += 1
            print(f"{case.name:20} CANNOT BE INSTALLED\n{error}")
        else:
            print(f"{case.name:20}", *(f"{name}={found.get(name, '-')}" for name in SHOWN))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
