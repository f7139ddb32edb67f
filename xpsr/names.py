"""Names of files: as users write them, one for each that is made from another, and as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from xpsr.errors import XPSRError


def expanded(name: str | Path) -> Path:
    """The path that a user has written, with "~" for the home folder.

    Raises:
        XPSRError: the system takes no such name.
    """
    try:
        path = Path(name).expanduser()
        path.exists()
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or "~ is followed by a name that nobody has here"
        raise XPSRError(f'"{str(name)[:60]}" cannot be looked for: {reason}.') from None
    return path


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


def printable(text: str) -> str:
    """Text with names of files in it, as every file and terminal can take it.

    A name on the disk is any bytes; those that are no UTF-8 stand in it as \\udcff and the like.
    """
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
