"""CLIP reads 75 tokens: how much of a text fits, what is cut, and the ways to deal with long texts.

`truncate` cuts the end off, as the authors do. `protect` takes the words from the caption instead,
so that the words added to it stay. `chunk` reads the text in blocks of 75 tokens, which is how many
web interfaces do it; neither XPSR nor CLIP was trained with more than one block.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from transformers import CLIPTokenizer

CLIP_LENGTH = 77  # begin mark, 75 tokens, end mark
LONG_WORD = 24  # letters; beyond it, it is writing without spaces, which may be cut anywhere


class Piece(NamedTuple):
    """A part of a text, and whether the encoder reads it."""

    text: str
    read: bool


@dataclass(frozen=True)
class FittedText:
    """One text and what the encoder sees of it.

    Attributes:
        sent: the string exactly as the tokenizer gets it.
        pieces: the text as it was wanted, in order; the pieces that are not `read` have no effect.
            A letter of which only some tokens fit counts as not read.
        used: tokens of the text as it was wanted, without the begin and end marks.
        room: tokens that fit: 75 for each block.
        lost: how many of them are not read.
        blocks: how many blocks of 75 tokens the text is read in; 1 but for `chunk`.
        protected: the words were taken from the middle, to keep those behind.
    """

    sent: str
    pieces: tuple[Piece, ...]
    used: int
    room: int
    lost: int = 0
    blocks: int = 1
    protected: bool = False

    @property
    def kept(self) -> str:
        """What is read."""
        return "".join(piece.text for piece in self.pieces if piece.read)

    @property
    def cut(self) -> str:
        """What is not read."""
        return "".join(piece.text for piece in self.pieces if not piece.read)

    @property
    def figures(self) -> str:
        """The figures in words, as in "91 of 75, last 16 cut"."""
        figures = f"{self.used} of {self.room}"
        if self.blocks > 1:
            figures += f" in {self.blocks} blocks"
        if not self.lost:
            return f"{figures}, nothing cut"
        if self.protected:
            return f"{figures}, {self.lost} cut before the added words"
        return f"{figures}, last {self.lost} cut"


def room_of(tokenizer: CLIPTokenizer) -> int:
    """Tokens that fit into one block, without its two marks: 75 for CLIP."""
    # A tokenizer whose config names no length says 1e30.
    return min(int(tokenizer.model_max_length), CLIP_LENGTH) - 2


def count_tokens(tokenizer: CLIPTokenizer, text: str) -> FittedText:
    """Count the tokens of `text` and find the place from which on nothing reaches the encoder."""
    room, offsets = room_of(tokenizer), _offsets(tokenizer, text)
    end = len(text) if len(offsets) <= room else offsets[room][0]
    pieces = (Piece(text[:end], True), Piece(text[end:], False))
    used = len(offsets)
    return FittedText(text, tuple(p for p in pieces if p.text), used, room, max(0, used - room))


def in_blocks(tokenizer: CLIPTokenizer, text: str) -> FittedText:
    """`text` read whole, in as many blocks as it needs."""
    room, used = room_of(tokenizer), len(_offsets(tokenizer, text))
    blocks = max(1, -(-used // room))
    return FittedText(text, (Piece(text, True),) if text else (), used, room * blocks, 0, blocks)


def trim_middle(tokenizer: CLIPTokenizer, before: str, middle: str, behind: str) -> FittedText:
    """`before + middle + behind`, with so much of the end of `middle` left out that all fits.

    Whole words are left out, and the blanks around them. Where the other two do not fit by
    themselves, `middle` goes entirely and what is left is cut at its end.
    """
    wanted = before + middle + behind
    whole = count_tokens(tokenizer, wanted)
    if not whole.lost or not middle or not behind.strip():
        return whole

    def joined(end: int) -> str:
        # Nothing in front: the blank that would have parted the two goes as well.
        return before + middle[:end] + (behind if end else behind.lstrip())

    end = _longest(middle, lambda end: not count_tokens(tokenizer, joined(end)).lost)
    sent = joined(end)
    place = len(before) + end
    gap = Piece(wanted[place : len(wanted) - (len(sent) - place)], False)
    short = count_tokens(tokenizer, sent)
    return FittedText(
        sent,
        _insert(short.pieces, place, gap),
        whole.used,
        whole.room,
        lost=whole.used - min(short.used, short.room),
        protected=True,
    )


def _longest(text: str, fits: Callable[[int], bool]) -> int:
    """The furthest place in `text` where a word ends and up to which it fits; 0 for none."""
    ends = [0, *(match.end() for match in re.finditer(r"\S+", text))]
    place = max(bisect_left(ends, True, key=lambda end: not fits(end)) - 1, 0)
    end = ends[place]
    following = ends[place + 1] if place + 1 < len(ends) else end
    if following - end <= LONG_WORD:
        return end
    letters = [end, *(at for at in range(end + 1, following) if _may_part(text, at))]
    return letters[max(bisect_left(letters, True, key=lambda end: not fits(end)) - 1, 0)]


def _may_part(text: str, place: int) -> bool:
    """Whether a text may be parted there: not inside a joined emoji or before an accent."""
    joiners = "\u200d\ufe0f"
    letter, last = text[place], text[place - 1]
    return not (letter.isspace() or unicodedata.combining(letter) or {letter, last} & {*joiners})


def _insert(pieces: tuple[Piece, ...], place: int, new: Piece) -> tuple[Piece, ...]:
    """`pieces` with another one at a place in their text."""
    result: list[Piece] = []
    for piece in pieces:
        parts = piece.text[: max(place, 0)], piece.text[max(place, 0) :]
        inside = 0 <= place <= len(piece.text)
        result += [Piece(parts[0], piece.read), *([new] if inside else [])]
        result.append(Piece(parts[1], piece.read))
        place = -1 if inside else place - len(piece.text)
    return tuple(piece for piece in result if piece.text)


def _offsets(tokenizer: CLIPTokenizer, text: str) -> list[tuple[int, int]]:
    # verbose=False: the tokenizer would log a warning about the very thing we report
    coded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    return coded["offset_mapping"]
