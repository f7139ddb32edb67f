"""What differs between two runs besides the texts: settings, model, machine, versions, input."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from xpsr.recipe import Recipe
    from xpsr.settings import Settings

SURROUNDINGS = (
    "model", "revision", "base", "base_revision", "device", "dtype", "hardware", "threads",
    "versions",
)  # fmt: skip


WEIGHTS = ("model", "revision", "base", "base_revision")


class Difference(NamedTuple):
    """One thing that is not the same; `place` is "seed", "model", "version of torch", …"""

    place: str
    before: Any
    after: Any


def changed_settings(before: Settings, after: Settings) -> list[Difference]:
    """The settings that differ, in their own order."""
    return _changed(asdict(before), asdict(after))


def surroundings(recipe: Recipe) -> dict[str, Any]:
    """With which model, where and by which versions a run was made."""
    return {name: getattr(recipe, name) for name in SURROUNDINGS}


def changed_surroundings(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Difference]:
    """What differs of two `surroundings`; what one of the two does not tell is left out."""
    return [
        one
        for one in _changed(_flat(before), _flat(after))
        if one.before is not None and one.after is not None
    ]


def other_weights(before: Mapping[str, Any], after: Mapping[str, Any]) -> Difference | None:
    """The first thing by which two `surroundings` are of different weights; None: they are not."""
    found = changed_surroundings(before, after)
    return next((one for one in found if one.place in WEIGHTS), None)


def same_input(before: Recipe, after: Recipe) -> bool | None:
    """Whether two runs began with the same pixels; None: they do not tell in the same way."""
    if (before.schema_version > 1) != (after.schema_version > 1):
        return None if before.input_size == after.input_size else False
    return before.input_sha256 == after.input_sha256


def _flat(found: Mapping[str, Any]) -> dict[str, Any]:
    flat = {name: value for name, value in found.items() if name != "versions"}
    libraries = found["versions"].model_dump() if "versions" in found else {}
    return flat | {f"version of {name}": value for name, value in libraries.items()}


def _changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Difference]:
    return [
        Difference(name, before.get(name), value)
        for name, value in after.items()
        if before.get(name) != value
    ]
