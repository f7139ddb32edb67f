"""manifest.jsonl: one line a pair, with its degradation and its texts.

While pairs are made, every process appends to a file of its own in `parts/`; at the end, and at the
beginning of the next run, one process collects them into the manifest. Whoever reads sees both, so
nothing that was finished is ever lost or made twice. A second command would collect under the
hands of the first: a command keeps the folder to itself while it runs.
"""

import json
import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path, PurePosixPath

from xpsr.errors import XPSRError
from xpsr.launch import is_first, place_in_launch
from xpsr.lock import locked
from xpsr.whole import whole

MANIFEST = "manifest.jsonl"
PARTS = "parts"
FAILED = "failed.jsonl"
LOCK = ".lock"
FORGOTTEN = "forgotten"  # in a part: what was known of a pair before is of no more use

logger = logging.getLogger(__name__)


def read_manifest(folder: Path) -> list[dict]:
    """Every pair, in the order of the photos' names whatever the number of processes was.

    Raises:
        XPSRError: there is none.
    """
    found = pairs_so_far(folder)
    if not found:
        raise _no_pairs(folder)
    return found


def pairs_so_far(folder: Path) -> list[dict]:
    """The same where there may be none yet: a stop can come before the first photo is finished."""
    lines: dict[str, dict] = {}
    # Texts come after the pairs that they belong to, and over texts that were there before.
    parts = sorted((folder / PARTS).glob("pairs-*")) + sorted((folder / PARTS).glob("texts-*"))
    for path in (folder / MANIFEST, *parts):
        broken = []
        for number, line in _numbered(path):
            if line is not None and isinstance(line.get("id"), str):
                if line.get(FORGOTTEN):
                    lines.pop(line["id"], None)
                else:
                    lines.setdefault(line["id"], {}).update(line)
            else:
                broken.append(number)
        if broken:
            logger.warning(
                "%s: %d of its lines are broken and left out (number %s); train.prepare with the"
                " same options makes them again",
                path,
                len(broken),
                ", ".join(map(str, broken)),
            )
    found = [line for line in lines.values() if "photo" in line]
    return sorted(found, key=lambda line: (PurePosixPath(line["photo"]).parts, line["id"]))


def require_pairs(folder: Path) -> None:
    """XPSRError where `train.prepare` has not begun."""
    if not has_pairs(folder):
        raise _no_pairs(folder)


def _no_pairs(folder: Path) -> XPSRError:
    return XPSRError(f"{folder} holds no pairs: make them with python -m train.prepare.")


def has_pairs(folder: Path) -> bool:
    """Whether `train.prepare` has begun in this folder."""
    return (folder / MANIFEST).is_file() or any((folder / PARTS).glob("pairs-*"))


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """While this lasts no other command can work in the folder; the processes of one share it.

    Raises:
        XPSRError: another command is at work there.
    """
    with locked(folder / LOCK, folder) if is_first() else nullcontext():
        yield


def collect(folder: Path) -> None:
    """Bring the parts of all processes into the manifest; written whole or not at all."""
    if not has_pairs(folder):
        return
    _write(folder / MANIFEST, pairs_so_far(folder))
    for path in [*(folder / PARTS).glob("pairs-*"), *(folder / PARTS).glob("texts-*")]:
        path.unlink()


def forget_failures(folder: Path) -> None:
    """Drop what a run that was stopped had noted; the next one tries all of it again."""
    for path in (folder / PARTS).glob("failed-*"):
        path.unlink()


def collect_failures(folder: Path) -> int:
    """What failed in this run, into failed.jsonl; how many."""
    parts = sorted((folder / PARTS).glob("failed-*"))
    failures = [line for path in parts for _, line in _numbered(path) if line is not None]
    (folder / FAILED).unlink(missing_ok=True)
    if failures:
        _write(folder / FAILED, failures)
    forget_failures(folder)
    return len(failures)


class Part:
    """The file that one process appends to; a line is on its way to the disk when `add` returns."""

    def __init__(self, folder: Path, kind: str):
        rank, _ = place_in_launch()
        (folder / PARTS).mkdir(parents=True, exist_ok=True)
        self._file = (folder / PARTS / f"{kind}-{rank:05d}.jsonl").open("a", encoding="utf-8")

    def add(self, lines: Iterable[dict]) -> None:
        for line in lines:
            self._file.write(json.dumps(line, ensure_ascii=False) + "\n")
        self._file.flush()

    def __enter__(self) -> "Part":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def _numbered(path: Path) -> Iterator[tuple[int, dict | None]]:
    """The lines with their numbers, None for a broken one.

    A last line without its end is no defect where lines are appended: a stop has cut it short.
    """
    if not path.is_file():
        return
    *whole, last = path.read_text(encoding="utf-8", errors="replace").split("\n")
    for number, text in enumerate((*whole, last), 1):
        if not text.strip():
            continue
        try:
            line = json.loads(text)
        except ValueError:
            line = None
        cut = number > len(whole) and path.parent.name == PARTS
        if isinstance(line, dict):
            yield number, line
        elif not cut:
            yield number, None


def _write(path: Path, lines: Iterable[dict]) -> None:
    with whole(path) as part, part.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
