"""Where sentences come from: cutting texts, following sentences through edits, the recipe."""

from __future__ import annotations

import random
import re

import pytest

from xpsr.prompts import MAX_CHARACTERS, Prompts
from xpsr.prompts.changes import compare_words
from xpsr.prompts.provenance import (
    MAX_RUNS,
    TYPED,
    Origin,
    from_preset,
    from_runs,
    to_runs,
    trace,
    trace_all,
    written,
)
from xpsr.prompts.sentences import split_sentences

MEASURED = Origin("measured")
DESCRIBED = (
    "The image is slightly blurry. There is strong noise. There are no JPEG blocks. "
    "It is dark with low contrast. The colours are natural."
)


def kinds(text: str, brought=None) -> list[str]:
    brought = written(DESCRIBED, MEASURED) if brought is None else brought
    return [sentence.origin.kind for sentence in trace(text, brought)]


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("A cat. A dog!", ["A cat. ", "A dog!"]),
        ("a cat. a dog", ["a cat. ", "a dog"]),
        ("Blur 0.25~0.5 px, noise 3.5. Next", ["Blur 0.25~0.5 px, noise 3.5. ", "Next"]),
        ("Approx. 3 mm, e.g. this. End", ["Approx. 3 mm, e.g. this. ", "End"]),
        ("Trees, cars etc. The sky", ["Trees, cars etc. ", "The sky"]),
        ("Trees, cars etc. in the sky", ["Trees, cars etc. in the sky"]),
        ("Mr. J. R. Smith stands. Alone", ["Mr. J. R. Smith stands. ", "Alone"]),
        ("No. 5 is lit. No noise.", ["No. 5 is lit. ", "No noise."]),
        ("There is no. Really", ["There is no. ", "Really"]),
        ('It says "Stop." A man runs', ['It says "Stop." ', "A man runs"]),
        ("“Halt!” (Loud.) Then", ["“Halt!” ", "(Loud.) ", "Then"]),
        ("What?! Well… yes", ["What?! ", "Well… ", "yes"]),
        ("猫がいる。犬も！「はい。」終わり", ["猫がいる。", "犬も！", "「はい。」", "終わり"]),
        ("one\ntwo\n\n  three", ["one\n", "two\n\n  ", "three"]),
        ("www.site.org/a.png and 1.5.2", ["www.site.org/a.png and 1.5.2"]),
        ("1. first 2. second", ["1. first 2. ", "second"]),
        ("...", ["..."]),
        ("  A.  ", ["  A.  "]),
        ("   ", ["   "]),
        ("", []),
    ],
)
def test_texts_are_cut_into_sentences(text, sentences):
    assert split_sentences(text) == sentences


def test_no_letter_is_lost_whatever_the_text():
    dice = random.Random(0)
    for _ in range(3000):
        text = "".join(dice.choices("ab B.!?…。 \n\t\"'”)0~1é猫🙂", k=dice.randint(0, 60)))
        sentences = split_sentences(text)
        assert "".join(sentences) == text and all(sentences)
        assert len(sentences) <= 1 or all(sentence.strip() for sentence in sentences)


@pytest.mark.parametrize("index", range(5))
def test_editing_one_word_turns_that_sentence_alone(index):
    parts = split_sentences(DESCRIBED)
    for word in re.finditer(r"\w+", parts[index]):
        edited = parts[index][: word.start()] + "purple" + parts[index][word.end() :]
        text = "".join([*parts[:index], edited, *parts[index + 1 :]])
        expected = ["measured"] * 5
        expected[index] = "edited"
        assert kinds(text) == expected, text


def test_who_wrote_it_is_remembered_when_it_is_edited():
    brought = written("A red bus on a street.", Origin("llava", "llava-1.5-7b-hf@abc"))
    (sentence,) = trace("A blue bus on a street.", brought)
    assert sentence.origin == Origin("edited", "llava: llava-1.5-7b-hf@abc")
    assert trace("A red bus on a street.", brought)[0].origin.kind == "llava"  # undone


def test_sentences_may_be_moved_removed_and_reflowed():
    first, *rest = split_sentences(DESCRIBED)
    assert kinds("".join(rest) + " " + first) == ["measured"] * 5
    assert kinds("".join(rest)) == ["measured"] * 4
    assert kinds(DESCRIBED.replace(". ", ".\n\n")) == ["measured"] * 5
    assert kinds("") == []


def test_own_sentences_are_typed_wherever_they_stand():
    assert kinds("A scan. " + DESCRIBED) == ["typed"] + ["measured"] * 5
    assert kinds(DESCRIBED + " Seen through glass.") == ["measured"] * 5 + ["typed"]
    assert kinds("My own words about it.") == ["typed"]
    assert kinds("One. Two.", ()) == ["typed", "typed"]
    own = written("I write this myself.", TYPED)
    assert kinds("I write that myself.", own) == ["typed"]


def test_a_sentence_that_stands_twice():
    noise = "There is strong noise."
    assert kinds(f"{noise} {noise}") == ["measured", "typed"]  # the second one is a copy
    twice = written(f"{noise} {noise}", MEASURED)
    assert kinds(f"{noise} {noise}", twice) == ["measured", "measured"]
    assert kinds(f"{noise} There is weak noise.", twice) == ["measured", "edited"]
    # A changed copy beside its source is new, the source stays what it was.
    assert kinds(f"{noise} There is strong light.") == ["measured", "typed"]


def test_two_sentences_made_one_and_one_made_two():
    assert kinds("The image is slightly blurry, there is strong noise.") == ["edited"]
    split = "It is dark. With low contrast. The colours are natural."
    assert kinds(split) == ["edited", "edited", "measured"]


def test_writing_without_blanks():
    brought = written("古い石橋と川。空は青い。", Origin("server", "qwen"))
    assert kinds("古い石橋と海。空は青い。", brought) == ["edited", "server"]


@pytest.mark.parametrize(
    ("source", "kind", "by"),
    [
        ("measured", "measured", ""),
        ("dalpsr", "dalpsr", ""),
        ("llava-hf/llava-1.5-7b-hf@8c85e9a in 4 bits", "llava",
         "llava-hf/llava-1.5-7b-hf@8c85e9a in 4 bits"),
        ("qwen2-vl at http://gpu.local:8000/v1", "server", "qwen2-vl"),
        ("http://gpu.local:8000/v1", "server", ""),
    ],
)  # fmt: skip
def test_origins_of_describers(source, kind, by):
    assert Origin.of_source(source) == Origin(kind, by)


def test_degradation_sentences_are_told_apart():
    text = "Deblur with sigma 0.5~0.75, Denoise with sigma 0~0.25. There is no noise."
    assert [s.origin.kind for s in written(text, MEASURED)] == ["dalpsr", "measured"]
    assert [s.origin.kind for s in written(text, TYPED)] == ["typed", "typed"]


def test_texts_of_a_preset():
    brought = from_preset("official")
    prompts = Prompts(prompt="A cat.", negative_prompt="blurry, dotted, dirty")
    told = trace_all(prompts, brought)
    assert [s.origin for s in told["added_prompt"]] == [Origin("preset", "official")]
    assert [s.origin.kind for s in told["negative_prompt"]] == ["typed"]
    assert [s.origin.kind for s in told["prompt"]] == ["typed"]


def test_runs_and_back():
    text = "A scan. " + DESCRIBED.replace("dark", "bright")
    sentences = trace(text, written(DESCRIBED, MEASURED))
    runs = to_runs(sentences)
    assert runs == [
        {"sentences": 1, "origin": "typed"},
        {"sentences": 3, "origin": "measured"},
        {"sentences": 1, "origin": "edited", "by": "measured"},
        {"sentences": 1, "origin": "measured"},
    ]
    assert from_runs(text, runs) == sentences
    assert [s.origin.kind for s in from_runs("One. Two.", runs[:1])] == ["typed", "recipe"]
    assert from_runs("", runs) == ()
    assert MEASURED.restored() == Origin("recipe", "measured")
    assert MEASURED.restored().restored() == Origin("recipe", "measured")


def test_a_patchwork_stays_small():
    text = "A. b. " * (MAX_CHARACTERS // 6)
    sentences = trace(text, written("A. " * 100, MEASURED))
    runs = to_runs(sentences)
    assert len(runs) <= MAX_RUNS
    assert sum(run["sentences"] for run in runs) == len(sentences)


def test_changes_word_by_word():
    assert compare_words("It is blurry, and dark.", "It is very blurry and dark.") == [
        ("It is ", "same"),
        ("very ", "added"),
        ("blurry ", "same"),
        (", ", "removed"),
        ("and dark.", "same"),
    ]
    assert compare_words("same text", "same text") == [("same text", "same")]
    assert compare_words("", "new") == [("new", "added")]
    assert compare_words("古い石橋", "古い鉄橋") == [
        ("古い", "same"), ("石", "removed"), ("鉄", "added"), ("橋", "same"),
    ]  # fmt: skip


def test_changes_lead_to_the_new_text():
    dice = random.Random(1)
    for _ in range(500):
        before, after = (
            "".join(dice.choices("ab .,\n猫é0~'", k=dice.randint(0, 40))) for _ in range(2)
        )
        changes = compare_words(before, after)
        assert "".join(c.text for c in changes if c.kind != "removed") == after
        old = "".join(c.text for c in changes if c.kind != "added")
        assert "".join(old.split()) == "".join(before.split())
