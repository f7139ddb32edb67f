"""Names for files that are made from other files, one for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def distinct_names(names: Sequence[str], kept: Mapping[int, str] | None = None) -> list[str]:
    """The names in their order; of equal ones, all but the first get a number: a, a-2, a-3.

    No number makes a name that another one has already. Some systems hold "A" and "a" for equal.

    Args:
        names: what to start from.
        kept: {place in `names`: the name that it has already}; the others get those that are left.
    """
    kept = kept or {}
    given = {name.casefold() for name in names}
    taken = {name.casefold() for name in kept.values()}
    distinct = []
    for place, name in enumerate(names):
        if place in kept:
            distinct.append(kept[place])
            continue
        found, number = name, 2
        while found.casefold() in taken or (found != name and found.casefold() in given):
            found, number = f"{name}-{number}", number + 1
        taken.add(found.casefold())
        distinct.append(found)
    return distinct
