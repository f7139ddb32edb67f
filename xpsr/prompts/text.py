"""From the five texts to CLIP embeddings: assembly, what fits, encoding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from xpsr.prompts import Prompts
from xpsr.settings import Settings

if TYPE_CHECKING:  # torch and transformers are not needed to assemble and count
    import torch
    from transformers import CLIPTextModel, CLIPTokenizer

CLIP_LENGTH = 77  # begin mark, 75 tokens, end mark


@dataclass(frozen=True)
class EncoderTexts:
    """The four strings exactly as the tokenizer gets them."""

    high: str
    low: str
    negative_high: str
    negative_low: str

    def named(self) -> dict[str, str]:
        """The texts under the names a user reads."""
        return {
            "the content text": self.high,
            "the quality text": self.low,
            "the negative content text": self.negative_high,
            "the negative quality text": self.negative_low,
        }


@dataclass(frozen=True)
class TokenCount:
    """How much of a text the encoder sees.

    Attributes:
        used: tokens of the whole text, without the begin and end marks.
        room: tokens that fit.
        kept: the part of the text that is seen; `kept + cut` is the text.
        cut: the rest, which has no effect.
    """

    used: int
    room: int
    kept: str
    cut: str

    @property
    def lost(self) -> int:
        """Number of tokens that do not fit."""
        return max(0, self.used - self.room)


def assemble(prompts: Prompts, settings: Settings) -> EncoderTexts:
    """The texts for the encoder: added words behind the content text, as the authors join them."""
    low = prompts.lowlevel_prompt
    return EncoderTexts(
        high=" ".join(part for part in (prompts.prompt, prompts.added_prompt) if part),
        low=low,
        negative_high=prompts.negative_prompt,
        negative_low=prompts.lowlevel_negative_prompt if settings.negative == "both" else low,
    )


def count_tokens(tokenizer: CLIPTokenizer, text: str) -> TokenCount:
    """Count the tokens of `text` and find the place from which on nothing reaches the encoder."""
    room = _length(tokenizer) - 2
    # verbose=False: the tokenizer would log a warning about the very thing we report
    coded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    offsets = coded["offset_mapping"]
    end = len(text) if len(offsets) <= room else offsets[room][0]
    return TokenCount(used=len(offsets), room=room, kept=text[:end], cut=text[end:])


def cut_notes(tokenizer: CLIPTokenizer, texts: EncoderTexts) -> tuple[str, ...]:
    """One sentence for each text that does not fit; empty when all do."""
    names: dict[str, str] = {}
    for name, text in texts.named().items():
        names.setdefault(text, name)  # with `negative="high"` both branches share the low text
    counts = {name: count_tokens(tokenizer, text) for text, name in names.items()}
    return tuple(
        f"The last {count.lost} tokens of {name} were cut: only the first {count.room} have an "
        "effect."
        if count.lost > 1
        else f"The last token of {name} was cut: only the first {count.room} have an effect."
        for name, count in counts.items()
        if count.lost
    )


def encode_texts(
    tokenizer: CLIPTokenizer,
    text_encoder: CLIPTextModel,
    texts: list[str],
    device: torch.device | None = None,
) -> torch.Tensor:
    """Embeddings (B, 77, D): the last hidden state after the final layer norm.

    Padding is attended like text, as in training: no attention mask is passed. `device` is where
    the encoder will work, if that is not where its weights lie now.
    """
    coded = tokenizer(
        texts,
        padding="max_length",
        max_length=_length(tokenizer),
        truncation=True,
        return_tensors="pt",
    )
    return text_encoder(coded["input_ids"].to(device or text_encoder.device)).last_hidden_state


def _length(tokenizer: CLIPTokenizer) -> int:
    # A tokenizer whose config names no length says 1e30.
    return min(int(tokenizer.model_max_length), CLIP_LENGTH)
