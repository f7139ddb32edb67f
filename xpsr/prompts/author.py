"""Who has written a text, as it is noted beside it, and what becomes of the texts of others."""

from __future__ import annotations

import re
from collections.abc import Sequence

# Options that decide how a describer is asked and nothing about what it says.
_MANNERS = ("batch", "concurrency", "device", "keep", "timeout")


def author(spec: str) -> str:
    """A describer's name or address without what nobody may read or what does not matter.

    "http://anna:secret@host/v1?model=a&timeout=9" → "http://host/v1?model=a": whoever is asked with
    other such options is the same author.
    """
    place, _, options = re.sub(r"//[^/?]*@", "//", spec).partition("?")
    # A server's path may be left out, see `ServerDescriber`.
    place = re.sub(r"^(https?://[^/]+)/?$", r"\1/v1", place)
    kept = [one for one in options.split("&") if one and one.partition("=")[0] not in _MANNERS]
    return f"{place}?{'&'.join(kept)}" if kept else place


def is_named(spec: str | None) -> bool:
    """Whether the user has named a describer; who leaves that to us keeps the texts there are.

    They may have taken days, and "auto" stands for another describer on another machine.
    """
    return spec not in (None, "auto")


def about_others(theirs: Sequence[str], total: int, spec: str, again: bool) -> str:
    """What is said where some of `total` pictures have texts by others already.

    Args:
        theirs: who has written them, for each of these pictures.
        spec: the describer of now.
        again: whether it describes them as well.
    """
    of = f"{len(theirs)} of {total} pictures have texts by {', '.join(sorted(set(theirs)))}"
    if again:
        return f"{of}; they are described anew by {author(spec)}."
    return f"{of}, which are kept; name --describer {author(spec)} to replace them."
