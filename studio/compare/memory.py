"""What the browser keeps of a blind vote: ids of runs and answers. No pictures."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from .vote import MAX_PAIRS, MAX_VOTES, Answer, Ballot, Side, Vote

STORAGE_KEY = "xpsr-studio-votes"
# Pairs whose pictures have gone give way to others, so more may have been voted on.
MOST_PAIRS = 4 * MAX_PAIRS

Id = Annotated[str, Field(max_length=80)]
Place = Annotated[int, Field(ge=0, lt=MOST_PAIRS)]


class KeptVote(BaseModel):
    """One answer; `pair` is a place in the list of pairs."""

    model_config = ConfigDict(extra="forbid")

    pair: Place
    left: Side
    answer: Answer
    seconds: float
    at: Annotated[str, Field(max_length=40)]
    after_reveal: bool


class KeptBallot(BaseModel):
    """All votes; `asked`: the places of the pairs that are still asked."""

    model_config = ConfigDict(extra="forbid")

    version: Literal[1] = 1
    pairs: Annotated[list[tuple[Id, Id]], Field(max_length=MOST_PAIRS)]
    asked: Annotated[list[Place], Field(max_length=MAX_PAIRS)]
    votes: Annotated[list[KeptVote], Field(max_length=MAX_VOTES)]
    revealed: bool = False


def to_keep(ballot: Ballot) -> dict[str, Any] | None:
    """What the browser is given; None: there is nothing, or more than it takes."""
    pairs = list(dict.fromkeys((*ballot.voted_pairs(), *ballot.pairs)))
    if not ballot.votes or len(pairs) > MOST_PAIRS:
        return None
    places = {pair: place for place, pair in enumerate(pairs)}
    votes = [
        KeptVote.model_validate({**asdict(vote), "pair": places[vote.pair]})
        for vote in ballot.votes
    ]
    asked = [places[pair] for pair in ballot.pairs]
    kept = KeptBallot(pairs=pairs, asked=asked, votes=votes, revealed=ballot.revealed)
    return kept.model_dump()


def recall(stored: Any, ballot: Ballot) -> None:
    """Fill an empty ballot with what a browser kept; of another version or damaged, nothing."""
    if ballot.votes or ballot.pairs or not stored:
        return
    try:
        kept = KeptBallot.model_validate(stored)
        ballot.votes = [
            Vote(kept.pairs[one.pair], **one.model_dump(exclude={"pair"})) for one in kept.votes
        ]
        ballot.pairs = [kept.pairs[place] for place in dict.fromkeys(kept.asked)]
        ballot.revealed = kept.revealed
    except (ValidationError, IndexError):
        ballot.clear()
