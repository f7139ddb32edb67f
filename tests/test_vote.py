"""The blind vote: fair draws, the sign test, what is told and what is not."""

from __future__ import annotations

import csv
import errno
import io
import json
from collections import Counter
from pathlib import Path

import gradio as gr
import pytest
from made_runs import keep_run
from PIL import Image

from studio.compare import words as words_compare
from studio.compare.vote import (
    MAX_PAIRS,
    Ballot,
    Tally,
    Vote,
    comparable,
    matching,
    to_csv,
    to_json,
)
from studio.compare.voting import PANEL, BlindVote
from studio.models.engine import Engine, EngineOptions
from studio.results.outputs import Outputs
from studio.results.shelf import Shelf
from studio.services import Services
from studio.visit import Visit
from xpsr.recipe import Recipe
from xpsr.settings import Settings

PAIR = ("run-a", "run-b")


@pytest.fixture
def outputs(tmp_path) -> Outputs:
    return Outputs(tmp_path / "outputs", Shelf())


@pytest.fixture
def vote(outputs) -> BlindVote:
    return BlindVote(Services(Engine(EngineOptions()), outputs))


def told(values: tuple) -> dict:
    return dict(zip(PANEL, values, strict=True))


def decide(ballot: Ballot, winner: str) -> None:
    """Vote as somebody would who knows the sides, for A, for B, or for none."""
    trial = ballot.draw()
    ballot.answer("same" if winner == "none" else "left" if trial.left == winner else "right")


@pytest.mark.parametrize("handler", ["reveal", "resume"])
def test_votes_that_cannot_be_written_are_told_of_and_kept(vote, outputs, picture, handler):
    ballot, visit = Ballot(), Visit([keep_run(outputs, picture(24, 16), one).id for one in (0, 9)])
    ballot.add((visit.runs[0], visit.runs[1]))
    decide(ballot, "A")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Path, "write_text", full_disk)
        with pytest.raises(gr.Error, match="disk of temporary files is full"):
            getattr(vote, handler)(ballot, visit)
    assert len(ballot.votes) == 1


def full_disk(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_sides_are_fair_and_pairs_take_turns():
    ballot = Ballot()
    others = [("x", "y"), ("v", "w")]
    for pair in (PAIR, *others):
        assert ballot.add(pair) and ballot.add(pair[::-1])
    assert ballot.pairs == [PAIR, *others]
    for _ in range(300):
        decide(ballot, "A")
    assert Counter(vote.pair for vote in ballot.votes) == dict.fromkeys([PAIR, *others], 100)
    left = Counter(vote.left for vote in ballot.votes)["A"]
    assert 100 < left < 200  # outside once in a hundred million runs of this test


def test_votes_count_for_the_run_and_not_for_the_side():
    ballot = Ballot()
    ballot.add(PAIR)
    for winner in (*"AAAAAAAAAB", "none", "none"):
        decide(ballot, winner)
    assert ballot.tally(PAIR) == Tally(9, 1, 2)
    ballot.answer("left")  # to a question nobody asked
    assert len(ballot.votes) == 12
    for _ in range(MAX_PAIRS - 1):
        assert ballot.add((str(_), "other"))
    assert not ballot.add(("one", "too many"))


@pytest.mark.parametrize(
    ("votes", "chance", "said"),
    [
        # 2 * (C(10,0) + C(10,1)) / 2^10 and so on, by hand
        (
            (9, 1, 0),
            22 / 1024,
            "9 of 10 for A; chance alone gives a split as uneven as this in 2",
        ),
        ((0, 5, 0), 2 / 32, "5 of 5 for B; chance alone gives a split as uneven as this in 6"),
        ((12, 0, 0), 2 / 4096, "in less than 0.1 % of cases. That is hard to explain"),
        ((3, 3, 1), 1.0, "3 of 6 votes for each: no preference. 1 time no difference was seen."),
        ((0, 0, 2), 1.0, "No vote for either side. 2 times no difference was seen."),
        ((1, 0, 0), 1.0, "in 100 % of cases. That may well be chance."),
    ],
)
def test_the_sign_test_in_a_plain_sentence(votes, chance, said):
    tally = Tally(*votes)
    assert tally.chance == pytest.approx(chance)
    assert said in words_compare.verdict(*votes, tally.chance)


def test_the_same_change_is_found_on_other_pictures(outputs, picture):
    one, other = picture(24, 16), picture(16, 24)
    few, many = Settings(num_inference_steps=2), Settings(num_inference_steps=9)
    a, b = (keep_run(outputs, one, settings=settings) for settings in (few, many))
    a2, b2 = (keep_run(outputs, other, settings=settings) for settings in (few, many))
    seed = keep_run(outputs, other, settings=many.changed(seed=3))  # differs in more than that
    runs = [a, b, a2, b2, seed]
    assert [(x.id, y.id) for x, y in matching((a, b), runs)] == [(a2.id, b2.id)]
    assert matching((a, a), runs) == []
    assert comparable(a, b)
    assert not comparable(a, a) and not comparable(a, a2)
    assert not comparable(a, keep_run(outputs, one, upscale=3))


def test_nothing_that_is_served_tells_which_is_which(vote, outputs, picture):
    a = keep_run(outputs, picture(24, 16), settings=Settings(seed=1))
    b = keep_run(outputs, picture(24, 16), shade=9, settings=Settings(seed=2))
    ballot, visit = Ballot(), Visit([a.id, b.id])
    served, sides = [], set()
    values = told(vote.start((a.id, b.id), True, visit, ballot))
    for _ in range(40):
        left, right = Path(values["left"]), Path(values["right"])
        assert (left.name, right.name) == ("left.png", "right.png")
        assert left.parent == right.parent and left.parent.parent == outputs.shelf.folder
        for path, run_id in zip((left, right), ballot.trial.sides(), strict=True):
            with Image.open(path) as image, Image.open(outputs.find(run_id).after) as true:
                assert not image.info
                assert image.tobytes() == true.convert("RGB").tobytes()
        text = str([value for value in values.values() if isinstance(value, str)])
        assert a.id not in text and b.id not in text and "seed" not in text
        served.append(left.parent.name)
        sides.add(ballot.trial.left)
        values = told(vote.answer("left", ballot, visit))
    assert len(set(served)) == 40 and sides == {"A", "B"}


def test_the_result_can_be_taken_away_with_the_recipes(vote, outputs, picture):
    a = keep_run(outputs, picture(24, 16), title="=cmd|' /C calc'!A0")
    b = keep_run(outputs, picture(24, 16), shade=9, title="<script>alert(1)</script>")
    ballot, visit = Ballot(), Visit([a.id, b.id])
    vote.start((a.id, b.id), False, visit, ballot)
    for winner in "AAAAAAAAAB":
        decide(ballot, winner)
    shown = told(vote.reveal(ballot, visit))
    assert "9 of 10 for A" in shown["result"] and "<script" not in shown["result"]
    assert "A: 1 · =cmd" in shown["result"] and "B: 2 · &lt;script" in shown["result"]
    saved = json.loads(Path(shown["save_json"]["value"]).read_text(encoding="utf-8"))
    counted = {"for_a": 9, "for_b": 1, "ties": 0, "p_value": 22 / 1024}
    assert saved["results"] == [{"pairs": [1], **counted}]
    (pair,) = saved["pairs"]
    assert Recipe.from_json(json.dumps(pair["A"])) == a.recipe
    assert Recipe.from_json(json.dumps(pair["B"])) == b.recipe
    assert [one["winner"] for one in saved["votes"]] == list("AAAAAAAAAB")
    rows = list(csv.DictReader(io.StringIO(Path(shown["save_csv"]["value"]).read_text())))
    assert Counter(row["winner"] for row in rows) == {"A": 9, "B": 1}
    assert {row["after_reveal"] for row in rows} == {"False"}
    assert not any(cell.startswith(("=", "+", "-", "@")) for row in rows for cell in row.values())
    decide(ballot, "B")
    assert ballot.votes[-1].after_reveal


def test_only_pairs_that_differ_in_the_same_way_are_counted_together(vote, outputs, picture):
    one, other = picture(24, 16), picture(16, 24)
    few, many = Settings(num_inference_steps=2), Settings(num_inference_steps=9)
    a, b = (keep_run(outputs, one, settings=settings) for settings in (few, many))
    a2, b2 = (keep_run(outputs, other, settings=settings) for settings in (few, many))
    seed = keep_run(outputs, one, settings=few.changed(seed=3))
    ballot, visit = Ballot(), Visit([a.id, b.id, a2.id, b2.id, seed.id])
    for pair, winners in (((a.id, seed.id), "BBBB"), ((a.id, b.id), "AA"), ((a2.id, b2.id), "AAB")):
        ballot.pairs = [pair]
        for winner in winners:
            decide(ballot, winner)
    shown = told(vote.reveal(ballot, visit))
    first, second = shown["result"].split(words_compare.OTHER_KINDS)
    assert "4 of 5 for A" in first and first.count("<tr>") == 3  # a head and two pairs
    assert "4 of 4 for B" in second
    saved = json.loads(Path(shown["save_json"]["value"]).read_text(encoding="utf-8"))
    assert [(one["pairs"], one["for_a"], one["for_b"]) for one in saved["results"]] == [
        ([2, 3], 4, 1),
        ([1], 0, 4),
    ]


def test_what_cannot_be_voted_on_is_refused_in_a_sentence(vote, outputs, picture):
    a, other = keep_run(outputs, picture(24, 16)), keep_run(outputs, picture(16, 24))
    for pair in ((a.id, a.id), (a.id, other.id)):
        values = told(vote.start(pair, True, Visit(), ballot := Ballot()))
        # Beside the button: the column of the questions is hidden then.
        assert words_compare.CANNOT_VOTE in values["kept"] and not ballot.pairs
        assert values["question"] == values["voting"] == gr.skip()
    values = told(vote.start((a.id, "no such run"), True, Visit(), Ballot()))
    assert "no longer there" in values["kept"]


def test_pairs_whose_pictures_are_gone_are_asked_no_more(vote, outputs, picture):
    a, b, c = (keep_run(outputs, picture(24, 16), shade) for shade in (0, 9, 18))
    ballot, visit = Ballot(), Visit([a.id, b.id, c.id])
    vote.start((a.id, b.id), False, visit, ballot)
    for pair in ((a.id, c.id), (b.id, c.id)):
        ballot.add(pair)
    outputs.limit = 1
    outputs.tidy(spare={a.id, b.id})
    for _ in range(6):
        values = told(vote.answer("left", ballot, visit))
        assert Path(values["left"]).is_file() and 'role="alert"' not in values["question"]
    assert ballot.pairs == [(a.id, b.id)] and len(ballot.votes) == 6
    outputs.tidy(spare={a.id})
    for _ in range(2):  # whatever is pressed now
        values = told(vote.answer("left", ballot, visit))
        assert words_compare.NO_PAIR_LEFT in values["question"] and len(ballot.votes) == 7
        assert not values["asked"]["visible"] and values["left"] is None
        assert "for" in values["result"] and values["save_json"]["visible"]


def test_dropped_pairs_are_told_of(vote, outputs, picture):
    a, b = keep_run(outputs, picture(24, 16)), keep_run(outputs, picture(24, 16), shade=9)
    ballot, visit = Ballot(), Visit([a.id, b.id])
    vote.start((a.id, b.id), False, visit, ballot)
    ballot.add((a.id, "no such run"))
    values = told(vote.answer("same", ballot, visit))  # the other pair was asked less often
    assert "1 pair is no longer there and is asked no more." in values["question"]


def test_votes_outlive_the_pictures_they_were_given_on():
    ballot = Ballot()
    ballot.add(PAIR)
    decide(ballot, "A")
    ballot.drop(PAIR)
    saved = json.loads(to_json(ballot, {}))
    assert (saved["pairs"][0]["A"], saved["pairs"][0]["for_a"]) == (None, 1)
    assert to_csv(ballot).count("\n") == 2
    assert isinstance(ballot.votes[0], Vote)


def test_votes_are_found_again(vote, outputs, picture):
    a, b = keep_run(outputs, picture(24, 16)), keep_run(outputs, picture(24, 16), shade=9)
    ballot, visit = Ballot(), Visit([a.id, b.id])
    vote.start((a.id, b.id), False, visit, ballot)
    for winner in "AAB":
        decide(ballot, winner)
    vote.reveal(ballot, visit)
    decide(ballot, "none")
    kept = json.loads(json.dumps(vote.keep(ballot)))  # as a browser keeps it

    again = Ballot()
    assert "4 votes kept" in told(vote.recall(kept, again))["kept"]
    assert again.votes == ballot.votes and again.pairs == ballot.pairs and again.revealed
    shown = told(vote.resume(again, visit))
    assert "2 of 3 for A" in shown["result"] and not shown["asked"]["visible"]
    saved = json.loads(Path(shown["save_json"]["value"]).read_text(encoding="utf-8"))
    assert [one["after_reveal"] for one in saved["votes"]] == [False, False, False, True]
    assert Recipe.from_json(json.dumps(saved["pairs"][0]["A"])) == a.recipe

    other = {**kept, "votes": []}
    vote.recall(other, again)
    assert len(again.votes) == 4  # what is there is not written over
    vote.discard(again)
    assert vote.keep(again) is None


def test_what_a_browser_made_up_is_no_vote(vote):
    one = {"pair": 0, "left": "A", "answer": "left", "seconds": 1, "at": "", "after_reveal": False}
    good = {"pairs": [PAIR], "asked": [0], "votes": [one]}
    for hostile in (
        {**good, "votes": [{**one, "pair": 1}]},
        {**good, "votes": [{**one, "winner": "A"}]},
        {**good, "votes": [one] * 1001},
        {**good, "asked": [7]},
        {**good, "pairs": [["x" * 100, "y"]]},
        {**good, "version": 2},
        "votes",
        [good],
    ):
        vote.recall(hostile, ballot := Ballot())
        assert not ballot.votes and not ballot.pairs
    vote.recall(good, ballot := Ballot())
    assert len(ballot.votes) == 1
