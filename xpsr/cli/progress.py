"""A bar on stderr that shows how far a run is; nothing where stderr is no terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

if TYPE_CHECKING:
    from xpsr.sampling import Step, TileDone


def _bar(count: ProgressColumn) -> Progress:
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        count,
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
        transient=True,
        # The results on stdout are not rich's to redraw.
        redirect_stdout=False,
        redirect_stderr=False,
    )


class Steps:
    """Shows the picture that is worked on, its place in the run, and its steps."""

    def __init__(self, pictures: int) -> None:
        self._bar = _bar(MofNCompleteColumn())
        self._pictures = pictures
        self._begun = 0
        self._task = self._bar.add_task("", total=None)

    @contextmanager
    def picture(self, name: str) -> Iterator[None]:
        """Show the bar for one picture; it is gone again before its result is printed."""
        self._begun += 1
        label = f"{self._begun}/{self._pictures} {Path(name).name}"
        self._bar.reset(self._task, description=label, total=None)
        with self._bar:
            yield

    def step(self, item: Step | TileDone) -> None:
        """Show how many steps are done; tiles are parts of one."""
        self._bar.update(self._task, completed=item.done, total=item.total)


class Bytes:
    """Shows how many bytes of a whole are written, and which part is worked on."""

    def __init__(self) -> None:
        self._bar = _bar(DownloadColumn())
        self._task = self._bar.add_task("", total=None)

    def __enter__(self) -> Bytes:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def update(self, part: str, done: int, total: int) -> None:
        """`part` is worked on; `done` of `total` bytes are written."""
        self._bar.update(self._task, description=part, completed=done, total=total)
