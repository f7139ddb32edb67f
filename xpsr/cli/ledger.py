"""Records in a JSON-lines file that several runs, one after another or side by side, fill up."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from xpsr.cli.report import to_line
from xpsr.errors import XPSRError
from xpsr.launch import place_in_launch
from xpsr.whole import whole

try:
    import fcntl
except ImportError:  # Windows, where training is not split over processes
    fcntl = None

_START = to_line({"input": ""}).encode()[:-2]  # every record's first bytes


class Ledger:
    """What was done already, and where the rest is written.

    `path` holds one complete record a line. What could not be done stands in
    `NAME.failed.jsonl` beside it until a later run succeeds. Processes that share the file lock it
    while they write.

    Attributes:
        records: what was there at the start.

    Args:
        path: the file; made where it does not exist yet.
        share: the inputs this process is responsible for; their old failures are forgotten.

    Raises:
        XPSRError: it cannot be read or written, or holds something else.
    """

    def __init__(self, path: Path, share: Sequence[str]) -> None:
        self.path = path
        self.failed = path.with_name(f"{path.stem}.failed.jsonl")
        with _plainly(path), _locked(path) as file:
            self.records = _complete_records(file, path)
        self._forget_failures(set(share))

    def add(self, record: dict[str, Any]) -> None:
        """Append a record; it is on its way to the disk when this returns."""
        path = self.failed if "error" in record else self.path
        with _plainly(path), _locked(path) as file:
            file.seek(0, os.SEEK_END)
            file.write(to_line(record).encode() + b"\n")

    def failures(self) -> dict[str, str]:
        """{input that could not be done: why}."""
        if not self.failed.exists():
            return {}
        with _plainly(self.failed), _locked(self.failed) as file:
            records = _complete_records(file, self.failed)
        return {record["input"]: record["error"] for record in records}

    def forget_replaced(self) -> None:
        """Of several records of one input only the last one stays, in the place of the first."""
        with _plainly(self.path), _locked(self.path) as file:
            records = _complete_records(file, self.path)
            last = {record["input"]: record for record in records}
            if len(last) == len(records):
                return
            with whole(self.path) as part:
                lines = (to_line(record).encode() + b"\n" for record in last.values())
                part.write_bytes(b"".join(lines))
                if fcntl is None:
                    file.close()  # Windows replaces no file that is open

    def _forget_failures(self, share: set[str]) -> None:
        if not self.failed.exists():
            return
        with _plainly(self.failed), _locked(self.failed) as file:
            kept = [r for r in _complete_records(file, self.failed) if r["input"] not in share]
            file.seek(0)
            file.truncate()
            file.writelines(to_line(record).encode() + b"\n" for record in kept)
        # With others at work it stays, even empty: one of them may be about to write to it.
        if not kept and place_in_launch()[1] == 1:
            self.failed.unlink(missing_ok=True)


def _complete_records(file: BinaryIO, path: Path) -> list[dict[str, Any]]:
    """Every whole line; a last one that was cut short is removed from the file, if it is ours."""
    data = file.read()
    end = data.rfind(b"\n") + 1
    records = []
    for number, line in enumerate(data[:end].splitlines(), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            record["input"]
        except (ValueError, TypeError, KeyError):
            raise XPSRError(
                f"Line {number} of {path} is no record of this command; mend or remove it, or "
                "choose another --out."
            ) from None
        records.append(record)
    rest = data[end:]
    if rest and not records and not rest.startswith(_START) and not _START.startswith(rest):
        raise XPSRError(f"{path} holds something else already; choose another --out.")
    file.truncate(end)
    return records


@contextmanager
def _locked(path: Path) -> Iterator[BinaryIO]:
    """The file, open for reading and writing, with no other process in it."""
    while True:
        path.touch()
        with path.open("r+b") as file:
            if fcntl is not None:
                fcntl.flock(file, fcntl.LOCK_EX)  # closing it gives it free
                if not os.path.samestat(os.fstat(file.fileno()), path.stat()):
                    continue  # another process has replaced it meanwhile
            yield file
            return


@contextmanager
def _plainly(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise XPSRError(
            f"{path} cannot be written ({error.strerror or error}); choose another --out."
        ) from None
