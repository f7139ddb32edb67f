"""Builds the judges of pyiqa: once per process, quietly, and without hanging where no net is."""

import io
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, TextIO

from torch import Tensor

from xpsr.background import in_background
from xpsr.building import built
from xpsr.errors import XPSRError

NEEDS_DOWNLOAD = "needs a download"  # how a reason begins that may be gone next time
PROBE_SECONDS = 4.0
OFFLINE_SECONDS = 20.0  # for weights that lie on the disk; nothing can arrive
ONLINE_SECONDS = 600.0  # somebody asked for this score: a real download is no hang

# As the tables of this field: the Y of BT.601 video, 16..235 (pyiqa's own default is 0..255).
OPTIONS: dict[str, dict[str, Any]] = {"psnr": {"test_y_channel": True, "color_space": "ycbcr"}}

Judge = Callable[..., Tensor]


@dataclass(frozen=True)
class _Attempt:
    future: "Future[Judge]"
    online: bool
    deadline: float


_attempts: dict[str, _Attempt] = {}
_lock = threading.Lock()
_building = threading.Lock()


def judge(name: str, needs_download: bool) -> Judge:
    """The metric that pyiqa calls `name`, on the CPU.

    Each is tried once per process; a failure is remembered.

    Raises:
        XPSRError: it cannot be had; the sentence begins with "needs a download" if that is why.
    """
    with _lock:
        attempt = _attempts.get(name)
        if attempt is None:
            attempt = _attempts[name] = _start(name, online=not needs_download or _online())
    try:
        return attempt.future.result(timeout=max(0.1, attempt.deadline - time.monotonic()))
    except ImportError as error:
        raise XPSRError(f"needs pyiqa, which cannot be loaded ({error})") from error
    except Exception as error:
        if not needs_download:
            raise XPSRError(f"could not be set up ({type(error).__name__})") from error
        if not attempt.online:
            reason = "there is no connection to the internet"
        elif attempt.future.done():
            reason = "the server did not deliver it"
        else:
            reason = "it is still under way, ask again later"
        raise XPSRError(f"{NEEDS_DOWNLOAD}: {reason}") from error


def is_to_be_had(name: str) -> bool:
    """Whether a metric that needs a download can be computed now; fetches it if it can."""
    try:
        judge(name, needs_download=True)
    except XPSRError:
        return False
    return True


def _start(name: str, online: bool) -> _Attempt:
    """Build in a thread: a download that never answers must not hold up the one who asks."""

    def build() -> Judge:
        with _building, _quiet(), nullcontext() if online else _hub_offline():
            return _create(name)

    future = in_background(build, f"xpsr-metric-{name}")
    seconds = ONLINE_SECONDS if online else OFFLINE_SECONDS
    return _Attempt(future, online, time.monotonic() + seconds)


@contextmanager
def _hub_offline() -> Iterator[None]:
    """Use what is on the disk; without this the hub's client retries for a minute."""
    from huggingface_hub import constants

    before, constants.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE, True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def _create(name: str) -> Judge:
    import pyiqa

    return built(lambda: pyiqa.create_metric(name, device="cpu", **OPTIONS.get(name, {})))


def _online() -> bool:
    """Whether the host of the weights answers, proxies included; in a thread, as DNS may hang."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return False
    answer: Future[bool] = Future()

    def ask() -> None:
        request = urllib.request.Request(constants.ENDPOINT, method="HEAD")
        try:
            with urllib.request.urlopen(request, timeout=PROBE_SECONDS):
                answer.set_result(True)
        except urllib.error.HTTPError:
            answer.set_result(True)
        except Exception:  # no route, no name, no answer: all mean the same here
            answer.set_result(False)

    threading.Thread(target=ask, daemon=True).start()
    try:
        return answer.result(timeout=PROBE_SECONDS + 1.0)
    except FutureTimeout:
        return False


class _Deaf(io.TextIOBase):
    """Passes on what other threads write and drops what this one does."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.owner = threading.get_ident()

    def write(self, text: str) -> int:
        return len(text) if threading.get_ident() == self.owner else self.stream.write(text)

    def flush(self) -> None:
        self.stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep pyiqa's prints and progress bars off a standard output that others parse."""
    outs = sys.stdout, sys.stderr
    deaf = _Deaf(outs[0]), _Deaf(outs[1])
    sys.stdout, sys.stderr = deaf
    try:
        yield
    finally:
        if sys.stdout is deaf[0]:
            sys.stdout = outs[0]
        if sys.stderr is deaf[1]:
            sys.stderr = outs[1]
