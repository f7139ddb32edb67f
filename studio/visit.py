"""One visitor's page, as the server knows it: ids of runs, no pictures."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from .job import Job
from .texts import Brought

MAX_RUNS = 100
MAX_CELLS = 400
_TAKING = threading.Lock()


@dataclass(frozen=True)
class Picture:
    """The picture on the page; all is empty where there is none.

    Attributes:
        title: what the visitor calls it: foreign text.
        digest: `xpsr.image.pixel_sha256` of it.
        file: the path of its file.
        size: its width and height in pixels.
    """

    title: str = ""
    digest: str = ""
    file: str = ""
    size: tuple[int, int] | None = None


class Mine(NamedTuple):
    """What stood in the form, by the names in `FORM`, and who wrote the sentences."""

    values: dict[str, Any]
    written: Brought


class Visit:
    """The runs of one visitor, the newest last, and what the page has.

    One object for each visitor, in a `gr.State`. It is changed in place and not replaced, so that
    two handlers that end at the same time do not undo what the other has added.

    Attributes:
        runs: ids for `Outputs.find`.
        cells: those of them that are cells of an ablation; more of them, as a large ablation would
            otherwise push its own first cells out, and could not go on from them.
        shown: the one on the slider, if any.
        pinned: the baseline that others are compared with, if any.
        against: what is chosen to stand on the left of the slider; see restore/showing.py.
        restoring: the last press on Restore.
        elsewhere: whether something was opened since then, which that run is not to take the place
            of.
        describing: the last press on Describe.
        picture: the one on the page.
        expected: the digest of the picture that the recipe in the form was made from; "": there is
            none, or another picture has come since.
        mine: what stood in the form until something else took its place, the newest last.
        model: the one that the settings on the page were made for; "": not known yet.
        told: the model that has come since, if the page has said so; see `check_model`.
        recalled: whether the page has got back what the browser remembers.
    """

    def __init__(
        self, runs: Sequence[str] = (), shown: str | None = None, pinned: str | None = None
    ) -> None:
        self.runs = list(runs)[-MAX_RUNS:]
        self.cells: list[str] = []
        self.shown, self.pinned, self.against = shown, pinned, ""
        self.restoring, self.describing = Job(), Job()
        self.elsewhere = False
        self.picture, self.expected = Picture(), ""
        self.mine: list[Mine] = []
        self.model = self.told = ""
        self.recalled = self._taking = False

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

    def bring(self, picture: Picture) -> None:
        """Another picture is on the page now, or none."""
        self.picture, self.expected = picture, ""

    def open(self, run_id: str) -> None:
        """The visitor has chosen a run to see, maybe while another picture is being restored."""
        self.shown, self.elsewhere = run_id, True
