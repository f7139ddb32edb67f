"""The five texts, what the tokenizer gets, and what of it reaches the encoder."""

from __future__ import annotations

import pytest
import torch

from xpsr.errors import XPSRError
from xpsr.prompts import (
    MAX_CHARACTERS,
    OFFICIAL_ADDED,
    OFFICIAL_LOWLEVEL_NEGATIVE,
    OFFICIAL_NEGATIVE,
    PRESET_PROMPTS,
    PROMPT_NAMES,
    Prompts,
)
from xpsr.prompts.text import assemble, count_tokens, cut_notes, encode_texts
from xpsr.settings import PRESETS, Settings


def test_texts_are_joined_as_the_authors_do():
    prompts = Prompts(prompt="A cat.", lowlevel_prompt="Blurred.")
    texts = assemble(prompts, Settings())
    assert texts.high == "A cat. clean, high-resolution, 8k, high quality, clear text."
    assert texts.low == "Blurred."
    assert texts.negative_high == (
        "blurry, dotted, noise, raster lines, unclear, lowres, over-smoothed."
    )
    assert texts.negative_low == "high resolution, best quality, clear"


def test_nothing_is_joined_to_an_empty_text():
    assert assemble(Prompts(added_prompt="sharp"), Settings()).high == "sharp"
    assert assemble(Prompts(prompt="A cat.", added_prompt=""), Settings()).high == "A cat."
    assert assemble(Prompts(added_prompt=""), Settings()).high == ""


def test_texts_are_passed_on_byte_for_byte():
    odd = "  Über 猫,\n\tTWO  spaces 👩‍👧 "
    texts = assemble(Prompts(odd, odd, odd, odd, added_prompt=""), Settings())
    assert texts.high == texts.low == texts.negative_high == texts.negative_low == odd


def test_with_a_high_negative_only_the_low_text_stays():
    texts = assemble(Prompts(lowlevel_prompt="Blurred."), PRESETS["paper"])
    assert texts.negative_low == texts.low == "Blurred."
    assert texts.negative_high == OFFICIAL_NEGATIVE


def test_presets_bring_their_texts():
    assert Prompts.from_preset("official") == Prompts()
    paper = Prompts.from_preset("paper", prompt="A cat.", negative_prompt=None)
    assert paper.negative_prompt == "blurry, dotted, noise, unclear, low-res, over-smoothed"
    assert (paper.prompt, paper.added_prompt) == ("A cat.", "")
    assert Prompts.from_preset("official", added_prompt="").added_prompt == ""
    assert all(not texts.prompt and not texts.lowlevel_prompt for texts in PRESET_PROMPTS.values())
    with pytest.raises(XPSRError, match="official, paper"):
        Prompts.from_preset("nice")
    with pytest.raises(XPSRError, match="the texts are prompt"):
        Prompts.from_preset("paper", text="x")


@pytest.mark.parametrize("name", PROMPT_NAMES)
@pytest.mark.parametrize(
    "text", [None, 3, "x" * (MAX_CHARACTERS + 1), "a\0b", "\ud800", "\x1b[31m"]
)
def test_unusable_texts_are_refused_by_name(name, text):
    with pytest.raises(XPSRError, match=f"^{name} "):
        Prompts(**{name: text})


@pytest.mark.parametrize(
    ("text", "tokens"),
    [(OFFICIAL_ADDED, 15), (OFFICIAL_NEGATIVE, 20), (OFFICIAL_LOWLEVEL_NEGATIVE, 7), ("", 0)],
)
def test_token_counts_are_clips(tokenizer, text, tokens):
    count = count_tokens(tokenizer, text)
    assert (count.used, count.room, count.lost) == (tokens, 75, 0)
    assert (count.kept, count.cut) == (text, "")


def test_cut_words_are_exactly_those_that_do_not_fit(tokenizer):
    text = " ".join(f"word{number}" for number in range(60))  # some words are several tokens
    count = count_tokens(tokenizer, text)
    assert count.kept + count.cut == text and count.lost == count.used - 75 > 0
    assert count_tokens(tokenizer, count.kept).used == 75
    assert count_tokens(tokenizer, count.kept).cut == ""


@pytest.mark.parametrize("text", ["cat " * 75, "cat " * 76, "猫é " * 40, "A  Über\n" * 50])
def test_the_cut_is_the_encoders(tokenizer, tiny_pipeline, text):
    """Whatever stands in the cut part changes nothing; the last of the kept part does."""
    count = count_tokens(tokenizer, text)
    encode = lambda *texts: encode_texts(tokenizer, tiny_pipeline.text_encoder, list(texts))  # noqa: E731
    with torch.no_grad():
        whole, other_end = encode(text, count.kept + ("zebra " * 20 if count.cut else ""))
        changed = encode(count.kept.rstrip()[:-1] + " zebra")[0]
    assert torch.equal(whole, other_end)
    assert not torch.allclose(whole, changed)


def test_notes_tell_which_text_was_cut(tokenizer):
    prompts = Prompts(prompt="cat " * 76, lowlevel_prompt="dog " * 75)
    notes = cut_notes(tokenizer, assemble(prompts, Settings()))
    assert notes == (
        "The last 16 tokens of the content text were cut: only the first 75 have an effect.",
    )
    one = Prompts(prompt="cat", added_prompt="", lowlevel_prompt="dog " * 76)
    assert cut_notes(tokenizer, assemble(one, Settings())) == (
        "The last token of the quality text was cut: only the first 75 have an effect.",
    )
    assert cut_notes(tokenizer, assemble(Prompts(prompt="cat"), Settings())) == ()


def test_a_text_shared_by_both_branches_is_noted_once(tokenizer):
    prompts = Prompts(lowlevel_prompt="dog " * 80)
    assert len(cut_notes(tokenizer, assemble(prompts, PRESETS["paper"]))) == 1


def test_encoding_is_clips_last_layer_after_its_norm(tokenizer, tiny_pipeline):
    encoder = tiny_pipeline.text_encoder
    with torch.no_grad():
        found = encode_texts(tokenizer, encoder, ["a cat", ""])
        ids = torch.tensor([tokenizer("a cat", padding="max_length", max_length=77)["input_ids"]])
        layers = encoder(ids, output_hidden_states=True)
    assert found.shape == (2, 77, 20)
    assert torch.allclose(found[:1], layers.last_hidden_state, atol=1e-6)
    raw = layers.hidden_states[-1]
    normed = torch.nn.functional.layer_norm(raw, raw.shape[-1:])  # a fresh norm has no weights yet
    assert torch.allclose(found[:1], normed, atol=1e-4)
    assert not torch.allclose(found[0], found[1])
