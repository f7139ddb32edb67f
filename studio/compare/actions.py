"""What happens in the Compare tab: two finished runs beside each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gradio as gr

from .. import markup
from ..filling import fill
from ..incoming import sentence
from ..restore import closer
from ..results import changes_markup
from ..results.difference import change_size, open_rgb
from ..results.outputs import Run
from ..results.run_list import caption_of, offered
from ..services import Services
from ..visit import Visit
from . import markup as compare_markup
from . import words
from .partner import partner_of
from .vote import Pair, comparable, matching

# What the handlers give values for, in this order.
VIEW = (
    "taken", "ids", "strip_a", "strip_b", "pair", "first", "note", "over", "slider", "beside",
    "side_a", "side_b", "difference_box", "map", "texts", "settings", "scores", "size",
    "more_pairs", "start",
)  # fmt: skip
NO_PAIR: Pair = ("", "")
LOOK_BACK = 8  # so many results are looked through for two of one picture
# What another tab asks for: the ids of A and B, and anything behind them to ask for them again.
Asked = tuple[str, ...] | None
HALF: dict[str, Any] = {
    "note": markup.notice(words.NONE_CHOSEN),
    "start": gr.update(interactive=False),
}


class Compare:
    """The handlers of one studio."""

    def __init__(self, services: Services) -> None:
        self.outputs = services.outputs

    def enter(
        self, visit: Visit, pair: Pair, chosen: Asked, taken: Asked, first: Pair = NO_PAIR
    ) -> tuple:
        """The tab is opened: the runs of today, and a first pair where the visitor has chosen none.

        The `first` one that was shown so makes room for a newer one.

        Another tab that asks for a pair opens this one as well. Which of the two events comes
        first must not matter, so both bring what was asked for.
        """
        if chosen and chosen != taken:
            pair, first = (chosen[0], chosen[1]), NO_PAIR
        own = pair if pair != first else NO_PAIR
        found = offered(self.outputs, visit)
        strip = [(str(run.thumb), caption_of(run, visit)) for run in found.values()]
        changes: dict[str, Any] = {"ids": tuple(run.id for run in found.values()), "taken": chosen}
        if not any(own):
            changes["first"] = own = self._first_pair(visit)
        return self._view(own, visit, strip, **changes)

    def _first_pair(self, visit: Visit) -> Pair:
        """The newest run of a picture that was restored twice; else the newest one and another.

        Behind a batch the newest ones are single results, which there is little to compare with.
        """
        runs = self.outputs.found(reversed(visit.runs))
        pairs = [(partner_of(run, self.outputs, visit), run) for run in runs[:LOOK_BACK]]
        both = [(a, b) for a, b in pairs if a is not None]
        of_one = (pair for pair in both if comparable(*pair))
        chosen = next(of_one, both[0] if both else None)
        return (chosen[0].id, chosen[1].id) if chosen else NO_PAIR

    def choose_a(self, pair: Pair, ids: tuple[str, ...], visit: Visit, event: gr.SelectData) -> Any:
        """A click into the strip of A."""
        return self._choose(pair, (_clicked(ids, event), pair[1]), visit)

    def choose_b(self, pair: Pair, ids: tuple[str, ...], visit: Visit, event: gr.SelectData) -> Any:
        return self._choose(pair, (pair[0], _clicked(ids, event)), visit)

    def _choose(self, pair: Pair, new: Pair, visit: Visit) -> Any:
        if new == pair:  # the strips tell of marks that we have set ourselves as well
            return gr.skip()
        return self._view(new, visit)

    def swap(self, pair: Pair, visit: Visit) -> tuple:
        return self._view((pair[1], pair[0]), visit)

    def _view(
        self,
        pair: Pair,
        visit: Visit,
        strip: list[tuple[str, str]] | None = None,
        **changes: Any,
    ) -> tuple:
        """Values for the components in `VIEW`; `strip`: the pictures of both strips, if new."""
        found = offered(self.outputs, visit)
        places = {run.id: index for index, run in enumerate(found.values())}
        shown = {"pair": pair, "first": NO_PAIR, **changes}
        for name, run_id in zip(("strip_a", "strip_b"), pair, strict=True):
            new: dict[str, Any] = {} if strip is None else {"value": strip}
            shown[name] = gr.update(selected_index=places.get(run_id), **new)
        labels = {run.id: label for label, run in found.items()}
        try:
            runs = [self.outputs.find(run_id) for run_id in pair if run_id]
            shown |= self._both(runs[0], runs[1], visit, labels) if len(runs) == 2 else HALF
        except Exception as error:
            shown["note"] = markup.notice(sentence(error), bad=True)
        return fill(VIEW, **shown)

    def _both(self, a: Run, b: Run, visit: Visit, labels: Mapping[str, str]) -> dict[str, Any]:
        same_size = a.recipe.output_size == b.recipe.output_size
        files = (str(a.after), str(b.after))
        may_vote = comparable(a, b)
        more = len(matching((a, b), self.outputs.found(visit.runs))) if may_vote else 0
        return {
            "note": compare_markup.pair_note(a, b, labels),
            "over": gr.update(visible=same_size),
            "slider": gr.update(value=files if same_size else None),
            "beside": gr.update(visible=not same_size),
            "side_a": None if same_size else files[0],
            "side_b": None if same_size else files[1],
            "difference_box": gr.update(visible=same_size),
            "map": None,
            "texts": changes_markup.texts(a.recipe.prompts, b.recipe.prompts, words.MARKS),
            "settings": compare_markup.settings(a, b),
            "scores": compare_markup.scores(a, b),
            "size": markup.quiet(words.MEASURING) if same_size else "",
            "more_pairs": gr.update(visible=more > 0, label=words.more_pairs(more)),
            "start": gr.update(interactive=may_vote),
        }

    def draw(self, pair: Pair, gain: float, unfolded: bool) -> Any:
        """The difference map, where it is looked at; apart from the rest, as `measure` is."""
        try:
            a, b = (self.outputs.find(run_id) for run_id in pair)
            if not unfolded or a.recipe.output_size != b.recipe.output_size:
                return gr.skip()
            return closer.difference_file(a.after, b.after, gain, self.outputs.shelf)
        except Exception:  # the pair says itself what is wrong with it
            return gr.skip()

    def measure(self, pair: Pair) -> Any:
        """How far the two are apart; apart from the rest, as it takes a moment."""
        try:
            a, b = (self.outputs.find(run_id) for run_id in pair)
            if a.recipe.output_size != b.recipe.output_size:
                return ""
            found = change_size(open_rgb(a.after), open_rgb(b.after))
            return compare_markup.size(found)
        except Exception:
            return ""


def _clicked(ids: tuple[str, ...], event: gr.SelectData) -> str:
    index = event.index if isinstance(event.index, int) else -1
    return ids[index] if 0 <= index < len(ids) else ""
