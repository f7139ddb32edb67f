"""Which tokens make up which word of a text, and where they stand in the text's embedding."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from xpsr.ablation.units import split
from xpsr.prompts.budget import room_of

if TYPE_CHECKING:
    from transformers import CLIPTokenizer


@dataclass(frozen=True)
class Piece:
    """A word, or signs between words, of a text as it was sent to the encoder.

    Attributes:
        text: the piece itself.
        start, end: its place, as in `sent[start:end]`.
        tokens: the rows of the embedding (77 a block) that stand for it.
    """

    text: str
    start: int
    end: int
    tokens: tuple[int, ...]


def pieces_of(tokenizer: CLIPTokenizer, sent: str, length: int) -> tuple[Piece, ...]:
    """What the encoder reads of `sent`, word by word; what is cut off is left out.

    The words are those that an ablation can drop, so that the two can be set side by side. A token
    that belongs to two of them (a letter and the accent behind it) makes them one.

    Args:
        tokenizer: CLIP's.
        sent: the text exactly as the tokenizer gets it.
        length: tokens of the embedding: 77, or a multiple of it for a text read in blocks.
    """
    spans: list[tuple[int, int]] = []
    rows: list[list[int]] = []
    words = [(unit.start, unit.end) for unit in split(sent, "word")]
    for start, end, row in _tokens(tokenizer, sent, length):
        word = next((span for span in words if span[0] < end and start < span[1]), None)
        first, behind = word or (start, end)
        first, behind = min(first, start), max(behind, end)
        last = spans[-1] if spans else (0, 0)
        signs = word is None and start == last[1] and last not in words
        if rows and (first < last[1] or signs):
            spans[-1] = (last[0], max(last[1], behind))
            rows[-1].append(row)
        else:
            spans.append((first, behind))
            rows.append([row])
    return tuple(
        Piece(sent[start:end], start, end, tuple(own))
        for (start, end), own in zip(spans, rows, strict=True)
    )


def row_groups(pieces: tuple[Piece, ...], tokenizer: CLIPTokenizer, length: int) -> Tensor:
    """For each token of the embedding the number of its piece (length,).

    Behind the pieces come two more numbers: one for the marks a block begins with, one for those
    it ends with and is filled up with. XPSR reads these like text.
    """
    groups = torch.full((length,), len(pieces) + 1)
    groups[:: room_of(tokenizer) + 2] = len(pieces)
    for number, piece in enumerate(pieces):
        groups[list(piece.tokens)] = number
    return groups


def _tokens(tokenizer: CLIPTokenizer, sent: str, length: int) -> Iterator[tuple[int, int, int]]:
    """Start, end and row in the embedding of every token that is read."""
    room = room_of(tokenizer)
    coded = tokenizer(sent, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    for number, (start, end) in enumerate(coded["offset_mapping"]):
        block, place = divmod(number, room)
        row = block * (room + 2) + 1 + place
        while end < len(sent) and unicodedata.combining(sent[end]):
            end += 1  # the tokenizer has joined the letter and its accent
        if row < length:
            yield start, end, row
