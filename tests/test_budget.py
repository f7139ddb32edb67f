"""What of a text fits into CLIP's 75 tokens, against the tokenizer's own truncation."""

from __future__ import annotations

import random

import pytest
import torch

from xpsr.prompts import MAX_CHARACTERS, OFFICIAL_ADDED, Prompts
from xpsr.prompts.budget import FittedText, count_tokens, in_blocks, trim_middle
from xpsr.prompts.text import assemble, encode_texts
from xpsr.settings import CHOICES, Settings

ALPHABETS = (
    "abc deF  ,.'-!?09~\n\t",
    "猫が好き。漢字かな交じり文、",
    "éèüñçİıßﬁÅe\u0301o\u0308a\u0327 ",
    "🙂👩\u200d👧🏽🇩🇪☃\ufe0f ",
    "한국어 हिन्दी עברית العربية ไทย ",
    "<|endoftext|> (word:1.2) [x] {y} 0.25~0.5 ",
)


def random_texts(count: int, seed: int = 0) -> list[str]:
    dice = random.Random(seed)
    texts = []
    for _ in range(count):
        letters = "".join(dice.choices(ALPHABETS, k=dice.randint(1, 3)))
        texts.append("".join(dice.choices(letters, k=dice.randint(0, 200))))
    return texts


def wanted(fitted: FittedText) -> str:
    return "".join(piece.text for piece in fitted.pieces)


def test_ten_thousand_texts_are_cut_where_the_tokenizer_cuts_them(tokenizer):
    texts = random_texts(10_000)
    whole = tokenizer(texts, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    own = tokenizer(texts, truncation=True, max_length=77)["input_ids"]
    cut_ones = 0
    for text, ids, spans, kept_ids in zip(
        texts, whole["input_ids"], whole["offset_mapping"], own, strict=True
    ):
        fitted = count_tokens(tokenizer, text)
        read = kept_ids[1:-1]
        assert ids[: len(read)] == read
        assert (fitted.used, fitted.lost) == (len(ids), len(ids) - len(read))
        assert fitted.sent == wanted(fitted) == fitted.kept + fitted.cut == text
        lost = spans[len(read) :]
        if not lost:
            assert fitted.cut == ""
            continue
        cut_ones += 1
        # All that is lost is marked, and of what is read only a letter that is read in part.
        first = min(start for start, _ in lost)
        assert len(fitted.kept) == first
        for start, end in spans[: len(read)]:
            assert end <= first or any(start < e and s < end for s, e in lost)
    assert cut_ones > 2000


@pytest.mark.parametrize(
    ("text", "figures", "cut"),
    [
        ("cat " * 68, "68 of 75, nothing cut", ""),
        ("cat " * 75, "75 of 75, nothing cut", ""),
        ("cat " * 75 + "dog", "76 of 75, last 1 cut", "dog"),
        ("cat " * 75 + "猫", "78 of 75, last 3 cut", "猫"),
        ("cat " * 74 + "猫", "77 of 75, last 2 cut", "猫"),  # a third of a letter is no letter
        ("", "0 of 75, nothing cut", ""),
    ],
)
def test_the_meter_in_words(tokenizer, text, figures, cut):
    fitted = count_tokens(tokenizer, text)
    assert (fitted.figures, fitted.cut.strip()) == (figures, cut)


def test_protect_keeps_the_added_words_and_shortens_the_caption(tokenizer):
    caption = "A stone bridge over a river. " * 14
    settings = Settings(long_prompts="protect")
    fitted = assemble(Prompts(prompt=caption.strip()), settings, tokenizer).high
    assert fitted.sent.endswith(" " + OFFICIAL_ADDED)
    assert fitted.sent == fitted.kept and count_tokens(tokenizer, fitted.sent).used <= 75
    assert wanted(fitted) == f"{caption.strip()} {OFFICIAL_ADDED}"
    assert fitted.cut and caption.count("river") > fitted.sent.count("river")
    assert "cut before the added words" in fitted.figures
    # One more word of the caption would not fit.
    longer = fitted.sent.removesuffix(OFFICIAL_ADDED) + fitted.cut.split()[0] + " " + OFFICIAL_ADDED
    assert count_tokens(tokenizer, longer).lost
    # The authors' way loses the added words.
    truncated = assemble(Prompts(prompt=caption.strip()), Settings(), tokenizer).high
    assert OFFICIAL_ADDED in truncated.cut


def test_protected_texts_always_fit_and_nothing_is_made_up(tokenizer):
    captions = [text for text in random_texts(600, seed=1) if text.strip()]
    for number, caption in enumerate(captions):
        behind = [" sharp, 8k", " " + OFFICIAL_ADDED, " word" * 80, ""][number % 4]
        before = ["", "Blurred. "][number % 2]
        fitted = trim_middle(tokenizer, before, caption, behind)
        assert wanted(fitted) == before + caption + behind
        read_again = count_tokens(tokenizer, fitted.sent)
        assert read_again.kept.strip() == fitted.kept.strip()
        if 0 < count_tokens(tokenizer, before + behind).used <= 75 and behind:
            assert not read_again.lost and fitted.sent.endswith(behind.strip())
        if not count_tokens(tokenizer, before + caption + behind).lost:
            assert fitted.sent == before + caption + behind and not fitted.protected


def test_writing_without_spaces_is_shortened_between_letters(tokenizer):
    fitted = trim_middle(tokenizer, "", "古い石橋と川と木々" * 9, " sharp")
    assert fitted.kept.startswith("古い石橋") and fitted.sent.endswith(" sharp")
    assert 70 <= count_tokens(tokenizer, fitted.sent).used <= 75


def test_added_words_that_do_not_fit_alone_are_cut_at_their_end(tokenizer):
    fitted = trim_middle(tokenizer, "", "A cat.", " " + "sharp " * 80)
    assert fitted.pieces[0] == ("A cat. ", False)
    assert fitted.sent == "sharp " * 80 and fitted.kept.split() == ["sharp"] * 75
    assert fitted.lost == fitted.used - 75


@pytest.mark.parametrize("mode", CHOICES["long_prompts"])
def test_texts_that_fit_are_the_same_in_every_mode(tokenizer, text_encoder, mode):
    prompts = Prompts(prompt="A cat on a roof, 猫.", lowlevel_prompt="cat " * 75)
    plain = assemble(prompts, Settings(), tokenizer)
    other = assemble(prompts, Settings(long_prompts=mode), tokenizer)
    assert other == plain
    with torch.no_grad():
        one, two = (
            encode_texts(
                tokenizer,
                text_encoder,
                [fitted.sent for fitted in vars(texts).values()],
                chunk=c,
            )
            for texts, c in ((plain, False), (other, mode == "chunk"))
        )
    assert torch.equal(one, two)


def test_blocks_are_read_one_by_one_and_a_shorter_text_gets_empty_ones(tokenizer, text_encoder):
    long, short = "cat " * 75 + "dog " * 20, "lowres"
    with torch.no_grad():
        pair = encode_texts(tokenizer, text_encoder, [short, long], chunk=True)
        single = encode_texts(tokenizer, text_encoder, [short, "", "cat " * 75, "dog " * 20])
    assert pair.shape == (2, 154, 20)
    for found, expected in (
        (pair[0, :77], single[0]),
        (pair[0, 77:], single[1]),
        (pair[1, :77], single[2]),
        (pair[1, 77:], single[3]),
    ):
        assert torch.allclose(found, expected, atol=1e-6)
    assert in_blocks(tokenizer, long).figures == "95 of 150 in 2 blocks, nothing cut"


def test_the_end_of_a_long_text_counts_in_blocks_alone(tiny_pipeline, picture):
    """Each branch gets the blocks it needs: the quality text stays at one here."""
    pipe, image = tiny_pipeline, picture(16, 16)
    quick = dict(num_inference_steps=1, process_size=0, upscale=2, guidance_scale=2.0)

    def pixels(end: str, mode: str) -> bytes:
        prompt = "cat " * 75 + end
        return pipe(image, prompt=prompt, long_prompts=mode, **quick).images[0].tobytes()

    assert pixels("dog", "truncate") == pixels("house " * 9, "truncate")
    assert pixels("dog", "chunk") != pixels("house " * 9, "chunk")
    notes = pipe(image, prompt="cat " * 80, long_prompts="chunk", **quick).recipe.notes
    assert any("2 blocks" in note and "trained with one" in note for note in notes)


def test_the_longest_text_in_blocks(tokenizer):
    fitted = in_blocks(tokenizer, "猫" * MAX_CHARACTERS)
    assert fitted.used <= fitted.room == 75 * fitted.blocks and not fitted.cut
