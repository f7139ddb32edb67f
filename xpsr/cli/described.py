"""The texts that a file holds already: of which pictures they are, and by whom."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from xpsr.cli.ledger import Ledger
from xpsr.cli.report import say
from xpsr.counted import counted
from xpsr.fingerprint import fingerprint, has_changed
from xpsr.prompts.author import about_others, author


class Described:
    """A ledger of texts that knows another picture under an old name, and another describer.

    Texts that are there stay until there are new ones in their place.

    Attributes:
        left: the names of what is to be described.

    Args:
        out: the file.
        names: of all pictures of this process.
        spec: the describer, as it was named.
        called: what it calls itself beside its texts.
        named: whether the user asks for this one, so that texts of others are replaced.

    Raises:
        XPSRError: as for `Ledger`.
    """

    def __init__(self, out: Path, names: Sequence[str], spec: str, called: str, named: bool):
        self._ledger, self._author = Ledger(out, names), author(spec)
        self._known = {record["input"]: record for record in self._ledger.records}
        self._files: dict[str, Any] = {}
        there = [name for name in names if name in self._known]
        self._tell_of_unknown(there)
        self._changed = {name for name in there if self._has_changed(name)}
        self._again = 0
        others = {
            name: _writer(self._known[name])
            for name in there
            if name not in self._changed and not self._is_own(self._known[name], called)
        }
        kept = {*there} - self._changed - ({*others} if named else set())
        self.left = [name for name in dict.fromkeys(names) if name not in kept]
        if kept:
            sources = ", ".join(sorted({str(self._known[name].get("source")) for name in kept}))
            say(f"{len(kept)} of {len(names)} pictures are in {out} already (by {sources}).")
        if others:
            say(about_others([*others.values()], len(names), spec, named))

    def look(self, name: str) -> None:
        """To be called before a picture is opened: its text will be of the file that is there."""
        self._files[name] = fingerprint(Path(name))

    def add(self, record: dict[str, Any]) -> None:
        """Keep a text, or the reason why there is none."""
        name = record["input"]
        file = self._files.pop(name, None)
        if "error" not in record:
            record = {**record, "describer": self._author, "file": file}
            self._again += name in self._changed
        self._ledger.add(record)

    def end(self) -> None:
        """Let go of the texts that were replaced, and say how many pictures have changed."""
        self._ledger.forget_replaced()
        if self._again:
            has = "has" if self._again == 1 else "have"
            say(f"{counted(self._again, 'picture')} {has} changed since: described again.")

    def _tell_of_unknown(self, there: Sequence[str]) -> None:
        if count := sum(not self._known[name].get("file") for name in there):
            say(
                f"For {counted(count, 'text')} in {self._ledger.path} it is not noted yet how the "
                "pictures looked. Those that are there now are taken for the same, and noted."
            )

    def _has_changed(self, name: str) -> bool:
        """Whether the picture is another one; what is new about the file of the same is noted."""
        record = self._known[name]
        before = record.get("file")
        now = fingerprint(Path(name), before)
        if has_changed(before, now):
            return True
        if now and now != before:
            self._ledger.add({**record, "file": now})
        return False

    def _is_own(self, record: dict[str, Any], called: str) -> bool:
        if "describer" in record:
            return author(record["describer"]) == self._author
        return called in str(record.get("source"))  # of an earlier version


def _writer(record: dict[str, Any]) -> str:
    return str(record.get("describer") or record.get("source"))
