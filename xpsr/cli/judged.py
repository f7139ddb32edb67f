"""The rows of a set of pictures: which of earlier runs still hold, and the table of them all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from filelock import FileLock

from xpsr.cli.files import whole_file
from xpsr.cli.ledger import Ledger
from xpsr.cli.report import say
from xpsr.counted import counted
from xpsr.earlier import has_pixels
from xpsr.evaluation import plot, table
from xpsr.evaluation.fid import fid_of_set
from xpsr.evaluation.identity import Present
from xpsr.evaluation.judging import to_be_had_now
from xpsr.evaluation.pairs import Pair, Pairs
from xpsr.launch import own_share, place_in_launch
from xpsr.metrics import METRICS, Score
from xpsr.names import printable


class Judged:
    """A ledger of rows that knows which pictures, results or scores have changed since.

    Attributes:
        left: {name: pair} of what this process is to judge.

    Args:
        out: the folder; results lie in its pictures/.
        found: the whole set.
        columns: of the table.

    Raises:
        XPSRError: as for `Ledger`.
    """

    def __init__(self, out: Path, found: Pairs, columns: Sequence[str]) -> None:
        self.out, self.found, self.columns = out, found, columns
        self._scores = [one for one in columns if one in METRICS]
        self._present = Present()
        mine = {pair.name: pair for pair in own_share(found.pairs)}
        self._ledger = Ledger(out / "rows.jsonl", list(mine))
        # Judged again, a result took what it took when it was made.
        self._took = {
            (row["input"], row.get("sha256")): row.get("seconds")
            for row in reversed(self._ledger.records)
        }
        # Of several rows the last one, which pictures/ agrees with.
        last = {row["input"]: row for row in self._ledger.records if row["input"] in mine}
        arrived = to_be_had_now(last.values())
        done = {name for name, row in last.items() if self._holds(row, mine[name], arrived)}
        self.left = {name: pair for name, pair in mine.items() if name not in done}
        if done:
            say(f"{len(done)} of {len(mine)} pictures are finished already.")

    def _holds(self, row: dict[str, Any], pair: Pair, arrived: set[str]) -> bool:
        """Whether a row has all the scores that can be had, and is of the pictures of now."""
        wanted = set(self._scores)
        return (
            wanted <= set(row.get("scores", ()))
            and not wanted & arrived & set(row.get("reasons", ()))
            and self._present.are_of(row, pair)
            and has_pixels(self.out / "pictures" / f"{pair.name}.png", row["sha256"])
        )

    def add(self, record: dict[str, Any]) -> None:
        """Keep a row, or the reason why there is none."""
        self._ledger.add(record)

    def seconds(self, row: dict[str, Any]) -> float | None:
        """What the result of a row took, in this run or the one that made it."""
        took = self._took.get((row["name"], row["sha256"]))
        return took if row["seconds"] is None else row["seconds"]

    def write(self, method: str, published: Sequence[table.Line]) -> dict[str, Any] | None:
        """Write the table in all its forms; its record, or None where there is no table yet.

        Of several processes the last one writes it.

        Args:
            method: name of the measured line.
            published: further lines.
        """
        with FileLock(self.out / ".table.lock"):
            known = Ledger(self._ledger.path, [])  # with the rows of all processes
            rows, failures = self._rows(known.records), known.failures()
            if self._is_last(rows, failures) and rows:
                return self._write(method, published, rows, failures)
        return None

    def _rows(self, records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Those of the pictures of now, in their order."""
        by_name = {row["input"]: row for row in records if "scores" in row}
        return [
            by_name[pair.name]
            for pair in self.found.pairs
            if pair.name in by_name and self._present.are_of(by_name[pair.name], pair)
        ]

    def _is_last(self, rows: Sequence[dict[str, Any]], failures: dict[str, str]) -> bool:
        """Whether no other process is at work any more; says so, or how many have no row."""
        pairs = self.found.pairs
        settled = {row["input"] for row in rows} | set(failures)
        open_rows = sum(pair.name not in settled for pair in pairs)
        if place_in_launch()[1] > 1 and open_rows:
            say(f"This process is done; the table comes with the last of the other {open_rows}.")
            return False
        if not rows:
            say("No picture could be evaluated, so no table is written.")
        elif len(rows) < len(pairs):
            say(f"{len(pairs) - len(rows)} of {len(pairs)} pictures have no row.")
        return True

    def _write(
        self,
        method: str,
        published: Sequence[table.Line],
        rows: list[dict[str, Any]],
        failures: dict[str, str],
    ) -> dict[str, Any]:
        found = self.found
        title = printable(f"{found.dataset}, {counted(len(rows), 'picture')}")
        summary = table.summarise(method, rows, self.columns, title, self._of_set(rows))
        summary.lines.extend(published)
        summary.left_out.extend(f"{name} {why}" for name, why in found.problems.items())
        there = {row["name"] for row in rows}
        lost = [pair.name for pair in found.pairs if pair.name not in there]
        summary.left_out.extend(f"{one}: {failures[one]}" for one in lost if one in failures)
        texts = {
            "table.md": table.to_markdown(summary),
            "table.csv": table.to_csv(summary),
            "rows.csv": table.rows_to_csv(rows, self._scores),
        }
        for file, text in texts.items():
            with whole_file(self.out / file) as part:
                part.write_text(printable(text), encoding="utf-8")
        with whole_file(self.out / "plot.svg") as part:
            plot.draw(summary, part)
        say(texts["table.md"])
        lines = [asdict(line) for line in summary.lines]
        return {"table": str(self.out / "table.md"), "lines": lines, "missing": summary.missing}

    def _of_set(self, rows: list[dict[str, Any]]) -> dict[str, dict[str, Score]] | None:
        """Scores of the whole set, where they are columns."""
        if "fid" not in self.columns:
            return None
        if len(rows) < len(self.found.pairs):
            reason = Score(None, "needs all pictures, and some have no result")
            return {key: {"fid": reason} for key in ("scores", "bicubic")}
        return fid_of_set(self.found.pairs, rows, self.out / "pictures")
