"""What one visitor has made since the page was opened: ids of runs, no pictures."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..restore.memory import Settled
    from ..restore.mine import Mine

MAX_RUNS = 100
MAX_CELLS = 400
_TAKING = threading.Lock()


@dataclass
class Presses:
    """How often a run was asked for, and which of them are to stop.

    Gradio ends a run by itself, but only one that it knows already: not one whose button was
    pressed a moment before Stop, or that still waits for its picture.
    """

    begun: int = 0
    stopped: int = -1
    ended: int = 0

    def begin(self) -> None:
        self.begun += 1

    def stop(self) -> None:
        self.stopped = self.begun

    def end(self, number: int) -> None:
        """The run with this number has ended; another one may have been asked for since."""
        self.ended = max(self.ended, number)

    @property
    def pending(self) -> bool:
        """Whether a run is waited for: it has neither ended nor been stopped."""
        return self.begun > max(self.ended, self.stopped)

    def stops(self) -> Callable[[], bool]:
        """Tells the run that begins now whether it is to end."""
        mine = self.begun
        return lambda: self.stopped >= mine


class Visit:
    """The runs of one visitor, the newest last.

    One object for each visitor, in a `gr.State`. It is changed in place and not replaced, so that
    two handlers that end at the same time do not undo what the other has added.

    Attributes:
        runs: ids for `Outputs.find`.
        cells: those of them that are cells of an ablation; more of them, as a large ablation would
            otherwise push its own first cells out, and could not go on from them.
        shown: the one on the slider, if any.
        pinned: the baseline that others are compared with, if any.
        against: what is chosen to stand on the left of the slider; see restore/showing.py.
        model: the one that the settings on the page were made for; "": not known yet.
        told: the model that has come since, if the page has said so; see `check_model`.
        title: what the visitor calls the picture on the page: foreign text.
        picture: `xpsr.image.pixel_sha256` of it; "": there is none.
        upload: the path of its file.
        expected: the digest of the picture that the recipe in the form was made from; "": there is
            none, or another picture has come since.
        size: its width and height in pixels; None: there is none.
        restoring: the presses on Restore and its Stop.
        describing: those on Describe and its Stop.
        running: whether a picture of the first tab is being restored.
        elsewhere: whether something was opened since a run was asked for, which is not to take its
            place then.
        recalled: whether the page has got back what the browser remembers.
        greeted: whether the browser remembers that the first steps were read.
        aside: texts and settings for another model, as the browser remembers them.
        mine: what stood in the form until something else took its place, the newest last.
        looking: whether the closer look is open.
        browser: by which other pages of the same browser are known, see `Together`; "": not yet.
    """

    def __init__(
        self, runs: Sequence[str] = (), shown: str | None = None, pinned: str | None = None
    ) -> None:
        self.runs = list(runs)[-MAX_RUNS:]
        self.cells: list[str] = []
        self.shown, self.pinned = shown, pinned
        self.title = self.picture = self.upload = self.against = self.browser = ""
        self.expected = self.model = self.told = ""
        self.size: tuple[int, int] | None = None
        self.restoring, self.describing = Presses(), Presses()
        self.running = self.recalled = self.looking = self.greeted = self.elsewhere = False
        self.aside: Settled | None = None
        self.mine: list[Mine] = []
        self._taking = False

    def takes_back(self) -> bool:
        """Whether what the browser remembers is to be taken back now: for the first who asks."""
        with _TAKING:
            first, self._taking = not (self._taking or self.recalled), True
        return first

    def add(self, run_id: str) -> None:
        """A run has been finished."""
        self.runs.append(run_id)
        del self.runs[:-MAX_RUNS]

    def add_cell(self, run_id: str) -> None:
        """A cell of an ablation has been finished, which is a run as well."""
        self.add(run_id)
        self.cells.append(run_id)
        del self.cells[:-MAX_CELLS]

    def set_for(self, model: str) -> None:
        """The settings on the page are for this model from now on."""
        self.model, self.told = model, ""

    def bring(
        self,
        title: str = "",
        picture: str = "",
        upload: str = "",
        size: tuple[int, int] | None = None,
    ) -> None:
        """Another picture is on the page now, or none."""
        self.title, self.picture, self.upload, self.size = title, picture, upload, size
        self.expected = ""

    def open(self, run_id: str) -> None:
        """The visitor has chosen a run to see, maybe while another picture is being restored."""
        self.shown, self.elsewhere = run_id, True

    @property
    def previewing(self) -> bool:
        """Whether a picture that grows is in the place of the slider."""
        return self.running and not self.elsewhere


def to_compare(first: str, second: str) -> tuple[str, str, str]:
    """Asks the Compare tab for two runs; never twice the same, so that it opens them each time."""
    return first, second, secrets.token_hex(4)
