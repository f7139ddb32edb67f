"""What happens in the blind vote of the Compare tab. See vote.py for the counting."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from xpsr.errors import XPSRError

from .. import markup
from ..filling import fill
from ..incoming import plain_errors, sentence
from ..results.difference import open_rgb
from ..results.outputs import Run
from ..results.run_list import offered
from ..services import Services
from ..visit import Visit
from . import markup as compare_markup
from . import memory, vote, words
from .vote import Answer, Ballot, Pair, Trial

# What the handlers give values for, in this order.
PANEL = (
    "looking", "voting", "question", "left", "right", "asked", "reveal", "result",
    "save_json", "save_csv", "discard", "entry", "kept", "resume",
)  # fmt: skip
panel = partial(fill, PANEL)


class BlindVote:
    """The handlers of one studio. Which side is which never leaves the server before it is told."""

    def __init__(self, services: Services) -> None:
        self.outputs = services.outputs

    def start(self, pair: Pair, more: bool, visit: Visit, ballot: Ballot) -> tuple:
        """Hide the comparison and ask the first question."""
        try:
            a, b = (self.outputs.find(run_id) for run_id in pair)
            if not vote.comparable(a, b):
                raise XPSRError(words.CANNOT_VOTE)
            runs = self.outputs.found(visit.runs)
            wanted = [(a, b), *(vote.matching((a, b), runs) if more else ())]
            took = [ballot.add((one.id, other.id)) for one, other in wanted]
            full = "" if all(took) else words.TOO_MANY_PAIRS.format(count=vote.MAX_PAIRS)
            asked = self._ask(ballot, visit, full)
            return panel(**asked, looking=gr.update(visible=False), voting=gr.update(visible=True))
        except Exception as error:  # said beside the button, as there is no question yet
            kept = _kept(ballot)
            return panel(**kept | {"kept": kept["kept"] + markup.notice(sentence(error), bad=True)})

    def recall(self, stored: Any, ballot: Ballot) -> tuple:
        """The tab is opened: the votes that the browser remembers, where there are none yet."""
        memory.recall(stored, ballot)
        entry = gr.update(open=True) if ballot.votes else gr.skip()
        return panel(entry=entry, **_kept(ballot))

    def keep(self, ballot: Ballot) -> Any:
        """What the browser is to remember."""
        return memory.to_keep(ballot)

    @plain_errors()
    def resume(self, ballot: Ballot, visit: Visit) -> tuple:
        """The votes so far, without another question."""
        shown = self._told(ballot, visit)
        shown |= {"looking": gr.update(visible=False), "voting": gr.update(visible=True)}
        return panel(**shown, question="", asked=gr.update(visible=False))

    def answer(self, answer: Answer, ballot: Ballot, visit: Visit) -> tuple:
        ballot.answer(answer)
        try:
            return panel(**self._ask(ballot, visit))
        except Exception as error:
            return panel(question=markup.notice(sentence(error), bad=True))

    def _ask(self, ballot: Ballot, visit: Visit, note: str = "") -> dict[str, Any]:
        """The next question; where no pair is left for one, the votes."""
        before = len(ballot.pairs)
        while ballot.pairs:
            trial = ballot.draw()
            try:
                left, right = self._serve(trial)
                break
            except XPSRError:
                ballot.drop(trial.pair)
        else:
            said = markup.notice(words.NO_PAIR_LEFT, bad=True)
            nothing = {"left": None, "right": None, "asked": gr.update(visible=False)}
            return {**self._told(ballot, visit), **nothing, "question": said}
        count, gone = len(ballot.votes), before - len(ballot.pairs)
        said = [words.trial(count + 1, count, len(ballot.pairs)), words.pairs_gone(gone), note]
        return {
            "question": markup.notice(" ".join(filter(None, said))),
            "left": str(left),
            "right": str(right),
            "asked": gr.update(visible=True),
            "reveal": gr.update(interactive=count > 0),
            "result": "",
            "save_json": gr.update(visible=False),
            "save_csv": gr.update(visible=False),
        }

    def _serve(self, trial: Trial) -> tuple[Path, Path]:
        """Pixels alone, under names that are the same in every comparison."""
        folder = self.outputs.shelf.new_folder()
        paths = folder / "left.png", folder / "right.png"
        for path, run_id in zip(paths, trial.sides(), strict=True):
            pixels = open_rgb(self.outputs.find(run_id).after)
            pixels.info.clear()  # the recipe is in there
            pixels.save(path, compress_level=1)
        return paths

    @plain_errors()
    def reveal(self, ballot: Ballot, visit: Visit) -> tuple:
        """Tell the result, and allow it to be taken away."""
        return panel(**self._told(ballot, visit))

    def _told(self, ballot: Ballot, visit: Visit) -> dict[str, Any]:
        ballot.revealed = True
        last = ballot.votes[-1].left if ballot.votes else ""
        runs = self._runs(ballot)
        labels = {run.id: label for label, run in offered(self.outputs, visit).items()}
        names = {
            pair: words.chosen(*(labels.get(one, words.GONE) for one in pair))
            for pair in ballot.voted_pairs()
        }
        folder = self.outputs.shelf.new_folder()
        saved = folder / "blind-vote.json", folder / "blind-vote.csv"
        saved[0].write_text(vote.to_json(ballot, runs), encoding="utf-8")
        saved[1].write_text(vote.to_csv(ballot), encoding="utf-8")
        as_json, as_csv = (gr.update(value=str(path), visible=True) for path in saved)
        return {
            "reveal": gr.update(interactive=False),
            "result": compare_markup.result(ballot, vote.kinds(ballot, runs), names, last),
            "save_json": as_json,
            "save_csv": as_csv,
            "discard": gr.update(visible=True),
        }

    def _runs(self, ballot: Ballot) -> dict[str, Run]:
        ids = {run_id for pair in ballot.voted_pairs() for run_id in pair}
        return {run.id: run for run in self.outputs.found(ids)}

    def back(self, ballot: Ballot) -> tuple:
        """The votes stay; a further pair may be added to them."""
        return panel(looking=gr.update(visible=True), voting=gr.update(visible=False),
                     left=None, right=None, **_kept(ballot))  # fmt: skip

    def discard(self, ballot: Ballot) -> tuple:
        ballot.clear()
        hidden = gr.update(value=None, visible=False)
        return panel(
            looking=gr.update(visible=True),
            voting=gr.update(visible=False),
            left=None,
            right=None,
            result="",
            save_json=hidden,
            save_csv=hidden,
            discard=gr.update(visible=False),
            **_kept(ballot),
        )


def _kept(ballot: Ballot) -> dict[str, Any]:
    count = len(ballot.votes)
    said = markup.notice(words.kept(count)) if count else ""
    return {"kept": said, "resume": gr.update(visible=count > 0)}
