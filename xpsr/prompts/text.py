"""From the five texts to CLIP embeddings: assembly and encoding.

A text is taken literally. The spelling `(word:1.2)` for weights is not read: the library for
weights, compel, spells it `(word)1.2`, rewrites spaces and takes the brackets of ordinary captions
for weights, so that what is shown would no longer be what the tokenizer gets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from xpsr.prompts import Prompts
from xpsr.prompts.budget import FittedText, count_tokens, in_blocks, room_of, trim_middle
from xpsr.settings import Settings

if TYPE_CHECKING:  # torch and transformers are not needed to lay out the page
    import torch
    from transformers import CLIPTextModel, CLIPTokenizer

STOPS = ".!?…,;:。！？，；：、"


@dataclass(frozen=True)
class EncoderTexts:
    """The four strings exactly as the tokenizer gets them (`sent`), and what is read of each."""

    high: FittedText
    low: FittedText
    negative_high: FittedText
    negative_low: FittedText


def assemble(prompts: Prompts, settings: Settings, tokenizer: CLIPTokenizer) -> EncoderTexts:
    """The texts for the encoder. Nothing else puts them together, and nothing is added later.

    By default the added words stand behind the content text with a blank between, as the authors
    join them. `settings` says where they stand, where the quality text goes, and what becomes of
    a text that is too long.
    """
    low, before, behind = prompts.lowlevel_prompt, [], []
    if settings.lowlevel_route == "content":
        before, low = [_closed(low)], ""
    (before if settings.added_position == "prefix" else behind).append(prompts.added_prompt)
    fit = in_blocks if settings.long_prompts == "chunk" else count_tokens
    return EncoderTexts(
        high=_content(prompts.prompt, before, behind, settings, tokenizer),
        low=fit(tokenizer, low),
        negative_high=fit(tokenizer, prompts.negative_prompt),
        negative_low=fit(
            tokenizer, prompts.lowlevel_negative_prompt if settings.negative == "both" else low
        ),
    )


def _content(
    caption: str, before: list[str], behind: list[str], settings: Settings, tokenizer: CLIPTokenizer
) -> FittedText:
    """The content text with what stands before and behind it, none of which may be empty."""
    first, last = (" ".join(filter(None, words)) for words in (before, behind))
    start = first + " " if first and (caption or last) else first
    end = " " + last if last and caption else last
    if settings.long_prompts == "protect":
        return trim_middle(tokenizer, start, caption, end)
    fit = in_blocks if settings.long_prompts == "chunk" else count_tokens
    return fit(tokenizer, start + caption + end)


def _closed(sentence: str) -> str:
    """A sentence that another one may follow."""
    text = sentence.rstrip()
    return f"{text}." if text and text[-1] not in STOPS else text


def cut_notes(texts: EncoderTexts) -> tuple[str, ...]:
    """One sentence for each text that is too long; empty when all fit."""
    names: dict[FittedText, str] = {}
    for fitted, name in (
        (texts.high, "the content text"),
        (texts.low, "the quality text"),
        (texts.negative_high, "the negative content text"),
        (texts.negative_low, "the negative quality text"),
    ):
        names.setdefault(fitted, name)  # with `negative="high"` both branches share the low text
    return tuple(
        _note(name, fitted) for fitted, name in names.items() if fitted.lost or fitted.blocks > 1
    )


def _note(name: str, fitted: FittedText) -> str:
    if fitted.blocks > 1:
        return (
            f"{_sentence(name)} was read in {fitted.blocks} blocks of tokens; the model was "
            "trained with one."
        )
    amount = f"{fitted.lost} tokens" if fitted.lost > 1 else "token"
    if fitted.protected:
        less = amount if fitted.lost > 1 else "1 token"
        return f"{_sentence(name)} was shortened by {less}, so that the added words stay."
    verb = "were" if fitted.lost > 1 else "was"
    return f"The last {amount} of {name} {verb} cut: only the first {fitted.room} have an effect."


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:]


def encode_texts(
    tokenizer: CLIPTokenizer,
    text_encoder: CLIPTextModel,
    texts: list[str],
    device: torch.device | None = None,
    *,
    chunk: bool = False,
) -> torch.Tensor:
    """Embeddings (B, 77, D): the last hidden state after the final layer norm.

    Padding is attended like text, as in training: no attention mask is passed.

    Args:
        texts: one batch of one branch, such as its negative and its positive text.
        device: where the encoder will work, if that is not where its weights lie now.
        chunk: read texts of more than 75 tokens in n blocks of 75, each between its own marks:
            (B, 77 n, D). All of the batch get as many blocks as the longest needs; those of a
            shorter text are empty ones. The first block is what would be read without `chunk`.
    """
    ids = _blocks(tokenizer, texts)  # (B, n, 77)
    ids = ids if chunk else ids[:, :1]
    batch, blocks, length = ids.shape
    flat = ids.reshape(batch * blocks, length).to(device or text_encoder.device)
    states = text_encoder(flat).last_hidden_state
    return states.reshape(batch, blocks * length, -1)


def _blocks(tokenizer: CLIPTokenizer, texts: list[str]) -> torch.Tensor:
    """Parted and filled up by hand: a tokenizer that is asked to pad or to cut keeps that as a
    switch, and another thread that counts tokens meanwhile would turn it off again."""
    import torch

    room = room_of(tokenizer)
    coded = tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]
    blocks = max(1, *(-(-len(ids) // room) for ids in coded))
    rows = []
    for ids in coded:
        for start in range(0, blocks * room, room):
            row = [tokenizer.bos_token_id, *ids[start : start + room], tokenizer.eos_token_id]
            rows.append(row + [tokenizer.pad_token_id] * (room + 2 - len(row)))
    return torch.tensor(rows).reshape(len(texts), blocks, room + 2)
