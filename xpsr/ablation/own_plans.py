"""Plans that the user writes: a grid of two axes, and a CSV file of prompts."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

from xpsr.ablation.plan import Plan, Variant
from xpsr.ablation.plans import FULL, Seeds
from xpsr.errors import XPSRError
from xpsr.prompts import PROMPT_NAMES, Prompts
from xpsr.settings import CHOICES, SETTING_NAMES, Settings

MAX_CSV_BYTES = 1 << 20
MAX_NAME = 80  # characters
# What a run can be changed in; every variant runs with the same seeds.
FIELDS = (*PROMPT_NAMES, *(name for name in SETTING_NAMES if name != "seed"))


@dataclass(frozen=True)
class Axis:
    """One direction of a grid: a field of `Settings` or `Prompts`, and its values as written."""

    name: str
    values: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Axis:
        """Read "guidance_scale=1,2.5,4.5" or "prompt=A cat.|A dog." (texts are parted by "|").

        Raises:
            XPSRError: no such field, or no values.
        """
        name, equals, rest = text.partition("=")
        name = name.strip().replace("-", "_")
        if not equals or name not in FIELDS:
            raise XPSRError(
                f'"{text[:60]}" is no axis; write NAME=VALUE,VALUE, where NAME is one of '
                f"{', '.join(FIELDS)}."
            )
        mark = "|" if name in PROMPT_NAMES else ","
        values = tuple(dict.fromkeys(value.strip() for value in rest.split(mark)))
        if name in SETTING_NAMES and "" in values:
            raise XPSRError(f'An axis of {name} needs values, as in "{name}=1,2".')
        return cls(name, values)


def grid(axes: Sequence[Axis], prompts: Prompts, settings: Settings, seeds: Seeds) -> Plan:
    """Every combination of the values of one or two axes, compared with the full run.

    Raises:
        XPSRError: not one or two axes, the same axis twice, or a value out of range.
    """
    if len(axes) not in (1, 2) or len({axis.name for axis in axes}) < len(axes):
        raise XPSRError("A grid has one or two different axes; give --axis once or twice.")
    variants = [Variant(FULL, prompts, settings)]
    for values in product(*(axis.values for axis in axes)):
        place = tuple(zip((axis.name for axis in axes), values, strict=True))
        name = " · ".join(f"{axis} {value or '(empty)'}" for axis, value in place)
        variants.append(Variant(name, *_changed(dict(place), prompts, settings), place))
    return Plan("grid", tuple(variants), seeds)


def from_csv(path: Path, prompts: Prompts, settings: Settings, seeds: Seeds) -> Plan:
    """A variant for every row of a CSV file whose heads are fields of `Prompts` or `Settings`.

    Commas, semicolons or tabs part the columns. A column "name" gives names. An empty cell is the
    empty text in a column of texts, and "as in the full run" in one of settings.

    Raises:
        XPSRError: the file cannot be used; the sentence names row and column.
    """
    heads, rows = read_csv(path)
    variants = [Variant(FULL, prompts, settings)]
    for number, row in rows:
        if len(row) != len(heads):
            raise XPSRError(
                f"Row {number} of {path.name} has {len(row)} values for {len(heads)} columns; "
                "put a text with a comma between quotation marks."
            )
        values = dict(zip(heads, row, strict=True))
        name = _shown(values.pop("name", "")) or f"row {number}"
        if name in (one.name for one in variants):
            raise XPSRError(f'Row {number} of {path.name}: "{name}" is the name of two runs.')
        try:
            variants.append(Variant(name, *_changed(values, prompts, settings)))
        except XPSRError as error:
            raise XPSRError(f"Row {number} of {path.name}: {error}") from None
    if len(variants) == 1:
        raise XPSRError(f"{path.name} has no row below its heads.")
    return Plan("csv", tuple(variants), seeds)


def read_csv(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The heads, and the rows below that are not blank, each with its number.

    Raises:
        XPSRError: the file cannot be read, or has other heads than those it may have.
    """
    text = _read(path)
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)  # no head has any of them in its name
    rows = csv.reader(io.StringIO(text), delimiter=delimiter, strict=True)
    try:
        numbered = [(number, row) for number, row in enumerate(rows, 1) if any(map(str.strip, row))]
    except csv.Error as error:
        raise XPSRError(
            f"{path.name} cannot be read as CSV from line {rows.line_num} on ({error}); "
            "look at its quotation marks."
        ) from None
    if not numbered:
        raise XPSRError(f"{path.name} is empty; its first line must name the columns.")
    (_, first_row), *below = numbered
    heads = [head.strip() for head in first_row]
    _check_heads(heads, path.name)
    return heads, below


def _read(path: Path) -> str:
    """The text, each of its lines ended by one line feed."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_CSV_BYTES + 1)
    except OSError as error:
        raise XPSRError(f"{path} cannot be opened: {error.strerror}.") from None
    if len(data) > MAX_CSV_BYTES:
        raise XPSRError(f"{path.name} is larger than 1 MB, which is no list of prompts.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise XPSRError(f'{path.name} is not in UTF-8; save it as "CSV UTF-8".') from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _check_heads(heads: Sequence[str], file: str) -> None:
    known = ("name", *FIELDS)
    if "seed" in heads:
        raise XPSRError(
            f'{file} has a column "seed"; every row runs with the same seeds, leave it out.'
        )
    for head in heads:
        if head not in known:
            raise XPSRError(f'{file} has a column "{head[:40]}"; there are {", ".join(known)}.')
    if len(set(heads)) < len(heads):
        raise XPSRError(f"{file} names a column twice; give each once.")


def _shown(name: str) -> str:
    """A name in one line, and not too long for a table."""
    name = " ".join("".join(sign if sign.isprintable() else " " for sign in name).split())
    return name if len(name) <= MAX_NAME else name[: MAX_NAME - 1].rstrip() + "…"


def _changed(
    values: dict[str, str], prompts: Prompts, settings: Settings
) -> tuple[Prompts, Settings]:
    """The run with some fields replaced by values as a user writes them."""
    texts = {name: value for name, value in values.items() if name in PROMPT_NAMES}
    numbers = {
        name: _setting(name, value.strip())
        for name, value in values.items()
        if name in SETTING_NAMES and value.strip()
    }
    return replace(prompts, **texts), settings.changed(**numbers)


def _setting(name: str, value: str) -> str | float:
    if name in CHOICES:
        return value
    try:
        return float(value)
    except ValueError:
        raise XPSRError(f'{name} is "{value[:40]}", which is no number.') from None
