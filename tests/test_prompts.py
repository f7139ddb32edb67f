"""The five texts, what the tokenizer gets, and what of it reaches the encoder."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from xpsr.errors import XPSRError
from xpsr.prompts import (
    MAX_CHARACTERS,
    NEGATIVES,
    OFFICIAL_ADDED,
    OFFICIAL_LOWLEVEL_NEGATIVE,
    OFFICIAL_NEGATIVE,
    PRESET_PROMPTS,
    PROMPT_NAMES,
    Prompts,
)
from xpsr.prompts.budget import count_tokens
from xpsr.prompts.text import assemble, cut_notes, encode_texts
from xpsr.settings import CHOICES, PRESETS, Settings


@pytest.fixture
def sent(tokenizer):
    """The four strings for the tokenizer, of some texts and settings."""

    def assembled(prompts: Prompts, settings: Settings | None = None) -> SimpleNamespace:
        texts = assemble(prompts, settings or Settings(), tokenizer)
        return SimpleNamespace(**{name: fitted.sent for name, fitted in vars(texts).items()})

    return assembled


def test_texts_are_joined_as_the_authors_do(sent):
    texts = sent(Prompts(prompt="A cat.", lowlevel_prompt="Blurred."))
    assert texts.high == "A cat. clean, high-resolution, 8k, high quality, clear text."
    assert texts.low == "Blurred."
    assert texts.negative_high == (
        "blurry, dotted, noise, raster lines, unclear, lowres, over-smoothed."
    )
    assert texts.negative_low == "high resolution, best quality, clear"


@pytest.mark.parametrize("mode", CHOICES["long_prompts"])
@pytest.mark.parametrize("position", CHOICES["added_position"])
def test_nothing_is_joined_to_an_empty_text(sent, mode, position):
    settings = Settings(long_prompts=mode, added_position=position)
    assert sent(Prompts(added_prompt="sharp"), settings).high == "sharp"
    assert sent(Prompts(prompt="A cat.", added_prompt=""), settings).high == "A cat."
    assert sent(Prompts(added_prompt=""), settings).high == ""


def test_texts_are_passed_on_byte_for_byte(sent):
    odd = "  Über 猫,\n\tTWO  spaces 👩‍👧 "
    texts = sent(Prompts(odd, odd, odd, odd, added_prompt=""))
    assert texts.high == texts.low == texts.negative_high == texts.negative_low == odd


def test_with_a_high_negative_only_the_low_text_stays(sent):
    texts = sent(Prompts(lowlevel_prompt="Blurred."), PRESETS["paper"])
    assert texts.negative_low == texts.low == "Blurred."
    assert texts.negative_high == OFFICIAL_NEGATIVE


def test_added_words_may_stand_in_front(sent):
    prompts = Prompts(prompt="A cat.", added_prompt="sharp, 8k,")
    assert sent(prompts, Settings(added_position="prefix")).high == "sharp, 8k, A cat."
    assert sent(prompts).high == "A cat. sharp, 8k,"


def test_the_quality_text_may_go_before_the_content(sent):
    """As a degradation sentence does in one way to build DaLPSR."""
    degraded = "Deblur with sigma 0.5~0.75, Denoise with sigma 0~0.25, Dejpeg with sigma 0~0.25"
    prompts = Prompts(prompt="A cat.", lowlevel_prompt=degraded, added_prompt="sharp")
    texts = sent(prompts, Settings(lowlevel_route="content"))
    assert (texts.high, texts.low) == (f"{degraded}. A cat. sharp", "")
    assert texts.negative_low == OFFICIAL_LOWLEVEL_NEGATIVE
    only_high = Settings(lowlevel_route="content", negative="high")
    assert sent(prompts, only_high).negative_low == ""
    empty = Prompts(prompt="A cat.", added_prompt="")
    assert sent(empty, Settings(lowlevel_route="content")).high == "A cat."
    long = Prompts(prompt="cat " * 90, lowlevel_prompt="Blurred!", added_prompt="sharp")
    kept = sent(long, Settings(lowlevel_route="content", long_prompts="protect")).high
    assert kept.startswith("Blurred! cat cat") and kept.endswith("cat sharp")


def test_named_negatives_are_those_of_the_presets():
    for name in ("official", "paper"):
        texts = PRESET_PROMPTS[name]
        assert NEGATIVES[name][0] == texts.negative_prompt
    assert NEGATIVES["official"][1] == PRESET_PROMPTS["official"].lowlevel_negative_prompt
    assert NEGATIVES["none"] == ("", "") and PRESETS["paper"].negative == "high"


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
def test_the_cut_is_the_encoders(tokenizer, text_encoder, text):
    """Whatever stands in the cut part changes nothing; the last of the kept part does."""
    count = count_tokens(tokenizer, text)
    encode = lambda *texts: encode_texts(tokenizer, text_encoder, list(texts))  # noqa: E731
    with torch.no_grad():
        whole, other_end = encode(text, count.kept + ("zebra " * 20 if count.cut else ""))
        changed = encode(count.kept.rstrip()[:-1] + " zebra")[0]
    # Not bit by bit: the rows of a batch are not all summed up in the same order.
    assert torch.allclose(whole, other_end, atol=1e-5)
    assert not torch.allclose(whole, changed, atol=1e-3)


def test_notes_tell_which_text_was_cut(tokenizer):
    prompts = Prompts(prompt="cat " * 76, lowlevel_prompt="dog " * 75)
    notes = cut_notes(assemble(prompts, Settings(), tokenizer))
    assert notes == (
        "The last 16 tokens of the content text were cut: only the first 75 have an effect.",
    )
    one = Prompts(prompt="cat", added_prompt="", lowlevel_prompt="dog " * 76)
    assert cut_notes(assemble(one, Settings(), tokenizer)) == (
        "The last token of the quality text was cut: only the first 75 have an effect.",
    )
    assert cut_notes(assemble(Prompts(prompt="cat"), Settings(), tokenizer)) == ()
    protected = cut_notes(assemble(prompts, Settings(long_prompts="protect"), tokenizer))
    assert protected[0] == (
        "The content text was shortened by 16 tokens, so that the added words stay."
    )


def test_a_text_shared_by_both_branches_is_noted_once(tokenizer):
    prompts = Prompts(lowlevel_prompt="dog " * 80)
    assert len(cut_notes(assemble(prompts, PRESETS["paper"], tokenizer))) == 1


def test_encoding_is_clips_last_layer_after_its_norm(tokenizer, text_encoder):
    with torch.no_grad():
        found = encode_texts(tokenizer, text_encoder, ["a cat", ""])
        ids = torch.tensor([tokenizer("a cat", padding="max_length", max_length=77)["input_ids"]])
        layers = text_encoder(ids, output_hidden_states=True)
    assert found.shape == (2, 77, 20)
    assert torch.allclose(found[:1], layers.last_hidden_state, atol=1e-6)
    raw = layers.hidden_states[-1]
    normed = torch.nn.functional.layer_norm(raw, raw.shape[-1:])  # a fresh norm has no weights yet
    assert torch.allclose(found[:1], normed, atol=1e-4)
    assert not torch.allclose(found[0], found[1])
