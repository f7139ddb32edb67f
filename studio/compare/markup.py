"""The fragments of HTML of the Compare tab. Titles and texts are foreign and escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

from xpsr.recipe_changes import changed_settings, changed_surroundings, same_input, surroundings

from .. import markup
from ..results import changes_markup
from ..results.words import change, figure
from . import words

if TYPE_CHECKING:
    from ..results.difference import ChangeSize
    from ..results.outputs import Run
    from .vote import Ballot, Pair, Tally


def pair_note(a: Run, b: Run, labels: Mapping[str, str]) -> str:
    """Which two are compared, and what to mind about them."""
    said = [words.chosen(labels.get(a.id, a.title), labels.get(b.id, b.title)) + "."]
    same = same_input(a.recipe, b.recipe)
    if a.id == b.id:
        said.append(words.SAME_RUN)
    elif same is None:
        said.append(words.MAYBE_OTHER_INPUT)
    elif not same:
        said.append(words.OTHER_INPUT)
    if a.recipe.output_size != b.recipe.output_size:
        said.append(words.other_size(a.recipe.output_size, b.recipe.output_size))
    return markup.notice(" ".join(said))


def settings(a: Run, b: Run) -> str:
    """A table of the changed settings, model and versions."""
    before, after = (surroundings(run.recipe) for run in (a, b))
    found = changed_settings(a.recipe.settings, b.recipe.settings)
    found += changed_surroundings(before, after)
    return changes_markup.differences(found, ("A", "B"), words.SETTINGS_SAME)


def scores(a: Run, b: Run) -> str:
    """The scores of both results with the difference and what it means."""
    from xpsr.metrics import METRICS

    first, second = ({row.name: row.after.value for row in run.rows} for run in (a, b))
    rows = []
    for name in dict.fromkeys((*first, *second)):
        metric = METRICS[name]
        one, other = first.get(name), second.get(name)
        if one is None and other is None:
            continue
        cells = [
            words.NO_SCORE if value is None else figure(metric, value) for value in (one, other)
        ]
        told = ""
        if one is not None and other is not None:
            told = change(metric, one, other)
        rows.append((metric.label, *cells, told))
    if not rows:
        return markup.quiet(words.NO_SCORES)
    return changes_markup.plain_table(words.SCORE_COLUMNS, rows)


def size(found: ChangeSize) -> str:
    """How far two results are apart."""
    figures = (
        words.grey_levels(found.grey_levels),
        found.psnr.reason or words.decibel(found.psnr.value or 0.0),
        found.gmsd.reason or words.gmsd(found.gmsd.value or 0.0),
    )
    rows = list(zip(words.SIZE_ROWS, figures, strict=True))
    head = (words.SIZE, "")
    return changes_markup.plain_table(head, rows) + markup.quiet(words.SIZE_INFO)


def result(
    ballot: Ballot, kinds: Sequence[Sequence[Pair]], names: Mapping[Pair, str], last_left: str
) -> str:
    """The votes counted, those of pairs that differ in the same way together, and pair by pair."""
    last = markup.quiet(words.last_sides(last_left)) if last_left else ""
    told = [_of_kind(ballot, kind, names) for kind in kinds] or [_of_kind(ballot, (), names)]
    others = markup.quiet(words.OTHER_KINDS) if len(told) > 1 else ""
    return told[0] + last + others + "".join(told[1:])


def _of_kind(ballot: Ballot, pairs: Sequence[Pair], names: Mapping[Pair, str]) -> str:
    tally = ballot.tally(*pairs)
    said = words.verdict(tally.for_a, tally.for_b, tally.ties, tally.chance)
    table = _by_pair([(names[pair], ballot.tally(pair)) for pair in pairs])
    return f'<p class="verdict">{escape(said)}</p>{table}'


def _by_pair(pairs: Sequence[tuple[str, Tally]]) -> str:
    rows = [(name, str(one.for_a), str(one.for_b), str(one.ties)) for name, one in pairs]
    return changes_markup.plain_table(words.PAIR_COLUMNS, rows) if rows else ""
