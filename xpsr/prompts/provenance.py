"""Where every sentence of a text comes from, through all that is done to it afterwards.

The origin is not carried along with each keystroke: it is found by comparing the text as it is now
with the text as it was brought (`trace`). So it survives moving, pasting and undoing, and a
sentence that is changed back to what it was is again what it was.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from difflib import SequenceMatcher
from itertools import groupby
from typing import Any, Literal

from xpsr.prompts import PRESET_PROMPTS, Prompts
from xpsr.prompts.sentences import split_sentences

Kind = Literal[
    "llava", "server", "measured", "dalpsr", "tags", "preset", "typed", "edited", "recipe"
]
MAX_RUNS = 16  # of sentences with one origin, in a recipe; more of them become one
MAX_BY = 60  # characters
ALIKE = 0.45  # share of words two sentences have in common if one is the other one edited

_DALPSR = re.compile(r"\s*(deblur|denoise|dejpeg) with sigma \d", re.IGNORECASE)


@dataclass(frozen=True)
class Origin:
    """Who wrote a sentence.

    Attributes:
        kind: "llava" | "server" (a model behind an address) | "measured" | "dalpsr" | "tags" |
            "preset" | "typed" | "edited" | "recipe" (restored from one).
        by: for models their name and revision; for "edited" and "recipe" the kind before that.
    """

    kind: Kind
    by: str = ""

    @classmethod
    def of_source(cls, source: str) -> Origin:
        """The origin behind the `source` of a description."""
        if source in ("measured", "dalpsr", "tags"):
            return cls(source)  # pyright: ignore[reportArgumentType]
        if "://" in source:  # "MODEL at ADDRESS"; the address is nobody else's business
            model = source.rpartition(" at ")[0]
            return cls("server", _short(model))
        return cls("llava", _short(source))

    def edited(self) -> Origin:
        """The origin of a sentence that somebody changed; own words stay own words."""
        if self.kind in ("typed", "edited"):
            return self
        return Origin("edited", _short(self.kind if not self.by else f"{self.kind}: {self.by}"))

    def restored(self) -> Origin:
        """The origin of a sentence that came out of a recipe."""
        if self.kind == "recipe":
            return self
        return Origin("recipe", _short(self.kind if not self.by else f"{self.kind}: {self.by}"))


TYPED = Origin("typed")


@dataclass(frozen=True)
class Sentence:
    """A sentence with the blanks behind it, and its origin."""

    text: str
    origin: Origin


def written(text: str, origin: Origin) -> tuple[Sentence, ...]:
    """The sentences of a text that was brought as a whole.

    The describer `dalpsr` measures the content, and `tags` the quality, so their sentences are told
    apart by their form.
    """
    by_form = origin.kind in ("measured", "dalpsr", "tags")
    return tuple(
        Sentence(part, _origin_by_form(part, origin) if by_form else origin)
        for part in split_sentences(text)
    )


def trace(text: str, brought: Sequence[Sentence]) -> tuple[Sentence, ...]:
    """The sentences of `text` as it is now, with origins by comparison with what was brought.

    A sentence that is the same (up to blanks) keeps its origin, wherever it stands; one that is
    mostly the same is "edited"; any other is "typed".
    """
    parts = split_sentences(text)
    left = list(brought)
    origins: list[Origin | None] = []
    for part in parts:  # the same ones first: they must not be taken for an edited other one
        same = next((old for old in left if _plain(old.text) == _plain(part)), None)
        if same is not None:
            left.remove(same)
        origins.append(same.origin if same is not None else None)
    _match_edited(parts, origins, left)
    return tuple(
        Sentence(part, origin or TYPED) for part, origin in zip(parts, origins, strict=True)
    )


def _match_edited(parts: list[str], origins: list[Origin | None], left: list[Sentence]) -> None:
    """Fill in the origins of sentences that are edited ones of `left`; the most alike first."""
    new = [index for index, origin in enumerate(origins) if origin is None]
    pairs = sorted(
        ((_likeness(old.text, parts[index]), index, number, old)
         for index in new
         for number, old in enumerate(left)),
        key=lambda pair: (-pair[0], pair[1], pair[2]),
    )  # fmt: skip
    used: set[int] = set()
    for likeness, index, number, old in pairs:
        if likeness < ALIKE or origins[index] is not None:
            continue
        # One old sentence may have been cut in two, but is not the source of two that are whole.
        if number in used and not _within(parts[index], old.text):
            continue
        used.add(number)
        origins[index] = old.origin.edited()


def _likeness(old: str, new: str) -> float:
    before, now = _words(old), _words(new)
    match = SequenceMatcher(None, before, now, autojunk=False)
    share = match.ratio()
    common = sum(block.size for block in match.get_matching_blocks())
    if common >= 3 and common >= 0.8 * min(len(before), len(now)):
        share = max(share, 0.8)  # two sentences made one, or one made two
    return share


def _within(part: str, whole: str) -> bool:
    return _likeness(whole, part) >= 0.8


def _words(text: str) -> list[str]:
    """Words, or single letters of writing that has no blanks between words."""
    return re.findall(r"[\u3040-\u30ff\u3400-\u9fff]|\w+(?:[.~'’-]\w+)*", text.casefold())


def _plain(text: str) -> str:
    return " ".join(text.split())


def _origin_by_form(text: str, origin: Origin) -> Origin:
    if origin.kind == "tags" and not text.rstrip().endswith("."):
        return origin  # a list of tags has no full stop, and what is measured has
    return Origin("dalpsr" if _DALPSR.match(text) else "measured")


def _short(text: str) -> str:
    kept = "".join(letter if letter.isascii() and letter.isprintable() else "_" for letter in text)
    return kept[:MAX_BY]


def from_preset(preset: str) -> dict[str, tuple[Sentence, ...]]:
    """The texts that a preset brings along, by their names in `Prompts`."""
    texts = asdict(PRESET_PROMPTS[preset])
    return {name: written(text, Origin("preset", preset)) for name, text in texts.items()}


def trace_all(
    prompts: Prompts, brought: Mapping[str, Sequence[Sentence]]
) -> dict[str, tuple[Sentence, ...]]:
    """`trace` for each of the five texts."""
    return {name: trace(text, brought.get(name, ())) for name, text in asdict(prompts).items()}


def to_runs(sentences: Iterable[Sentence]) -> list[dict[str, Any]]:
    """The origins as a recipe keeps them: [{"sentences": how many, "origin", "by"}, ...].

    The texts themselves are in the recipe anyway, and are cut into sentences the same way again.
    """
    runs: list[dict[str, Any]] = []
    for origin, group in groupby(sentence.origin for sentence in sentences):
        run = {"sentences": len(list(group)), "origin": origin.kind}
        runs.append({**run, "by": origin.by} if origin.by else run)
    if len(runs) > MAX_RUNS:  # a patchwork like no describer and hardly a person makes
        rest = sum(run["sentences"] for run in runs[MAX_RUNS - 1 :])
        runs[MAX_RUNS - 1 :] = [{"sentences": rest, "origin": "edited", "by": "several"}]
    return runs


def from_runs(text: str, runs: Sequence[dict[str, Any]]) -> tuple[Sentence, ...]:
    """Undo `to_runs`; what the runs do not cover has the origin "recipe"."""
    origins = [
        Origin(run["origin"], run.get("by") or "") for run in runs for _ in range(run["sentences"])
    ]
    parts = split_sentences(text)
    origins += [Origin("recipe")] * (len(parts) - len(origins))
    return tuple(
        Sentence(part, origin) for part, origin in zip(parts, origins[: len(parts)], strict=True)
    )
