"""A blind vote between two ways of doing it, A and B: trials, votes, the sign test, the export."""

from __future__ import annotations

import csv
import io
import json
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from xpsr.recipe import Recipe

    from ..results.outputs import Run

MAX_PAIRS, MAX_VOTES = 50, 1000
Side = Literal["A", "B"]
Answer = Literal["left", "right", "same"]
Pair = tuple[str, str]  # the ids of run A and run B


@dataclass(frozen=True)
class Trial:
    """One question to the voter: which pair, and which of the two stands on the left."""

    pair: Pair
    left: Side
    began: float  # time.monotonic()

    def sides(self) -> Pair:
        """The ids of the runs on the left and on the right."""
        return self.pair if self.left == "A" else (self.pair[1], self.pair[0])


@dataclass(frozen=True)
class Vote:
    """One answer. `after_reveal`: the voter had seen the result by then."""

    pair: Pair
    left: Side
    answer: Answer
    seconds: float
    at: str
    after_reveal: bool

    @property
    def winner(self) -> Side | None:
        if self.answer == "same":
            return None
        return "A" if (self.answer == "left") == (self.left == "A") else "B"


@dataclass(frozen=True)
class Tally:
    """Votes counted, and how often chance alone gives a split at least as uneven."""

    for_a: int
    for_b: int
    ties: int

    @property
    def chance(self) -> float:
        """The exact two-sided sign test; those who saw no difference are left out, as usual."""
        from scipy.stats import binomtest

        count = self.for_a + self.for_b
        return float(binomtest(self.for_a, count, 0.5).pvalue) if count else 1.0


class Ballot:
    """The votes of one visitor, in a `gr.State`; changed in place, as `Visit` is."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget all pairs and votes."""
        self.pairs: list[Pair] = []
        self.votes: list[Vote] = []
        self.trial: Trial | None = None
        self.revealed = False

    def add(self, pair: Pair) -> bool:
        """Take a pair in; False where there is no room. One that is in, either way round, stays."""
        if pair in self.pairs or pair[::-1] in self.pairs:
            return True
        if len(self.pairs) >= MAX_PAIRS:
            return False
        self.pairs.append(pair)
        return True

    def draw(self) -> Trial:
        """The next question: a pair that was asked least often, its sides by chance."""
        asked = {pair: sum(vote.pair == pair for vote in self.votes) for pair in self.pairs}
        fewest = min(asked.values())
        pair = secrets.choice([pair for pair in self.pairs if asked[pair] == fewest])
        left: Side = "A" if secrets.randbits(1) else "B"
        self.trial = Trial(pair, left, time.monotonic())
        return self.trial

    def answer(self, answer: Answer) -> None:
        """Count an answer to the present question; without one nothing happens."""
        trial, self.trial = self.trial, None
        if trial is None or len(self.votes) >= MAX_VOTES:
            return
        took = round(time.monotonic() - trial.began, 2)
        at = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        self.votes.append(Vote(trial.pair, trial.left, answer, took, at, self.revealed))

    def drop(self, pair: Pair) -> None:
        """A pair whose pictures are gone is asked no more; its votes stay."""
        self.pairs.remove(pair)
        self.trial = None

    def tally(self, *pairs: Pair) -> Tally:
        """The votes on these pairs together: they should differ in the same way, see `kinds`."""
        winners = [vote.winner for vote in self.votes if vote.pair in pairs]
        return Tally(winners.count("A"), winners.count("B"), winners.count(None))

    def voted_pairs(self) -> list[Pair]:
        return list(dict.fromkeys(vote.pair for vote in self.votes))


def matching(pair: tuple[Run, Run], runs: Sequence[Run]) -> list[tuple[Run, Run]]:
    """Other pairs that differ as `pair` does, each of one picture: the same change, elsewhere."""
    first, second = (_facts(run.recipe) for run in pair)
    changed = {name for name in first if first[name] != second[name]}
    like_a, like_b = (
        [run for run in runs if all(_facts(run.recipe)[name] == one[name] for name in changed)]
        for one in (first, second)
    )
    return [
        (a, b)
        for a in like_a
        for b in like_b
        if changed and (a.id, b.id) != (pair[0].id, pair[1].id) and _alike(a, b, changed)
    ]


def kinds(ballot: Ballot, runs: Mapping[str, Run]) -> list[list[Pair]]:
    """The pairs that were voted on, those together that differ in the same way.

    The kind that was voted on last comes first. `runs`: those that are still there, by id; a pair
    of which one is gone stands alone.
    """
    found: dict[Any, list[Pair]] = {}
    for pair in ballot.voted_pairs():
        a, b = (runs.get(run_id) for run_id in pair)
        found.setdefault(_change(a, b) if a and b else pair, []).append(pair)
    last = ballot.votes[-1].pair if ballot.votes else None
    return sorted(found.values(), key=lambda pairs: last not in pairs)


def _change(a: Run, b: Run) -> frozenset[tuple[str, Any, Any]]:
    one, other = _facts(a.recipe), _facts(b.recipe)
    return frozenset((name, one[name], other[name]) for name in one if one[name] != other[name])


def _alike(a: Run, b: Run, apart_from: set[str]) -> bool:
    one, other = _facts(a.recipe), _facts(b.recipe)
    return comparable(a, b) and all(
        one[name] == other[name] for name in one if name not in apart_from
    )


def comparable(a: Run, b: Run) -> bool:
    """Whether a vote between them makes sense: two results of one picture and one size."""
    from xpsr.recipe_changes import same_input

    return (
        a.id != b.id
        and a.recipe.output_size == b.recipe.output_size
        and same_input(a.recipe, b.recipe) is not False
    )


def _facts(recipe: Recipe) -> dict[str, Any]:
    own = {"model": recipe.model, "revision": recipe.revision}
    return {**asdict(recipe.prompts), **asdict(recipe.settings), **own}


def to_json(ballot: Ballot, runs: Mapping[str, Run]) -> str:
    """Votes, result, and the recipes of the pairs. `runs`: those that are still there, by id."""
    pairs = ballot.voted_pairs()
    told = [
        {
            "pair": number,
            **{
                side: json.loads(runs[run_id].recipe.to_json()) if run_id in runs else None
                for side, run_id in zip("AB", pair, strict=True)
            },
            **asdict(ballot.tally(pair)),
        }
        for number, pair in enumerate(pairs, 1)
    ]
    results = [
        {"pairs": [pairs.index(one) + 1 for one in kind], **asdict(tally), "p_value": tally.chance}
        for kind, tally in ((kind, ballot.tally(*kind)) for kind in kinds(ballot, runs))
    ]
    whole = {
        "kind": "xpsr blind vote",
        "schema_version": 2,
        "test": "exact two-sided sign test over the pairs that differ in the same way; ties are "
        "left out",
        "results": results,
        "votes": _rows(ballot),
        "pairs": told,
    }
    return json.dumps(whole, ensure_ascii=False, indent=2)


def to_csv(ballot: Ballot) -> str:
    """A line for each vote; numbers and fixed words alone, so no program takes it for a formula."""
    text = io.StringIO()
    names = ["vote", "pair", "left", "answer", "winner", "seconds", "at", "after_reveal"]
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(_rows(ballot))
    return text.getvalue()


def _rows(ballot: Ballot) -> list[dict[str, Any]]:
    numbers = {pair: number for number, pair in enumerate(ballot.voted_pairs(), 1)}
    return [
        {
            "vote": number,
            **asdict(vote),
            "pair": numbers[vote.pair],
            "winner": vote.winner or "none",
        }
        for number, vote in enumerate(ballot.votes, 1)
    ]
