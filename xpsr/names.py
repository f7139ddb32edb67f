"""Names for files that are made from other files, one for each."""

from __future__ import annotations

from collections.abc import Sequence


def distinct_names(names: Sequence[str]) -> list[str]:
    """The names in their order; of equal ones, all but the first get a number: a, a-2, a-3.

    No number makes a name that another one has already. Some systems hold "A" and "a" for equal.
    """
    given = {name.casefold() for name in names}
    taken: set[str] = set()
    distinct = []
    for name in names:
        found, number = name, 2
        while found.casefold() in taken or (found != name and found.casefold() in given):
            found, number = f"{name}-{number}", number + 1
        taken.add(found.casefold())
        distinct.append(found)
    return distinct
