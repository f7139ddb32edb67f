"""What a command says: how far a long run is, and in one sentence what went wrong."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from xpsr.errors import XPSRError, is_disk_full
from xpsr.launch import is_first
from xpsr.stopping import exit_code, minding_sigterm

SECONDS_BETWEEN_LINES = 30.0
GOES_ON = "Stopped. What is finished is kept: the same command goes on from there."
SOME_LEFT_OUT = 1  # as `python -m xpsr` ends where something of what was asked for was not done


def duration(seconds: float) -> str:
    """3725 → 1:02:05."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


class _Rate(ProgressColumn):
    def render(self, task) -> Text:
        return Text(f"{task.speed or 0:.1f}/s")


class Bar:
    """Counts `what` with rate and time left: a bar on a terminal, elsewhere a line now and then."""

    def __init__(self, what: str):
        self.what = what
        self.console = Console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            _Rate(),
            TimeRemainingColumn(),
            console=self.console,
            disable=not self.console.is_terminal,
        )
        self._task = self._bar.add_task(what, total=None)
        self._began = self._told = time.monotonic()

    def __enter__(self) -> "Bar":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def update(self, done: int, total: int) -> None:
        self._bar.update(self._task, completed=done, total=total)
        now = time.monotonic()
        if self.console.is_terminal or now - self._told < SECONDS_BETWEEN_LINES or not done:
            return
        self._told = now
        rate = done / (now - self._began)
        left = duration((total - done) / rate)
        self.say(f"{self.what}: {done} of {total}, {rate:.1f}/s, {left} left")

    def say(self, message: str) -> None:
        self.console.print(message, highlight=False, markup=False, soft_wrap=True)


def follow(what: str, work: Iterable[tuple[int, int, str | None]]) -> int:
    """Show the progress of (done, total, complaint); how many complaints there were."""
    complaints = 0
    with Bar(what) as bar:
        for done, total, complaint in work:
            bar.update(done, total)
            if complaint:
                complaints += 1
                bar.say(complaint)
    return complaints


@contextmanager
def sentences(stopped: str = GOES_ON) -> Iterator[None]:
    """Errors that the user can mend become one sentence and exit code 2.

    Args:
        stopped: what is said of Ctrl-C (exit code 130) and of SIGTERM (143); of several processes
            one says it.
    """
    try:
        with minding_sigterm():
            yield
    except KeyboardInterrupt as stop:
        if is_first():
            typer.echo(stopped, err=True)
        raise typer.Exit(exit_code(stop)) from None
    except (XPSRError, OSError) as error:
        typer.echo(_in_words(error), err=True)
        raise typer.Exit(2) from None


def _in_words(error: XPSRError | OSError) -> str:
    if isinstance(error, FileExistsError | NotADirectoryError):
        return f"{error.filename} is a file; a folder is needed there."
    if isinstance(error, PermissionError):
        return f"{error.filename} must not be read or written by this user."
    if is_disk_full(error):
        return (
            "The disk is full. What is finished is kept: make room and run the same command again."
        )
    if isinstance(error, OSError) and error.filename:  # a disk that is only to be read, …
        return f"{error.filename} cannot be used: {error.strerror}."
    return str(error)
