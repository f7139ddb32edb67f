"""What is left to do of each photo: pairs that are missing, and those whose photo has changed.

A pair's line holds the fingerprint of its photo. Another photo under the name makes the pair again:
its line is forgotten when the work on it begins, so that new pictures never stand beside old texts.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from train.files import name_below
from train.manifest import FORGOTTEN
from train.pairing import PrepareConfig, pair_seed
from xpsr.counted import counted
from xpsr.fingerprint import fingerprint, has_changed

Noted = dict[str, dict[str, dict | None]]  # photo → pair → fingerprint of the photo at that time


@dataclass(frozen=True)
class Work:
    """One photo and what there is to do about its pairs.

    Attributes:
        missing: the variants to be made, each with the seed of its batch.
        file: the photo's fingerprint; None = not looked at yet.
        lines: what the manifest is told before they are made.
        changed: whether the photo is another one than before.
    """

    path: Path
    name: str
    missing: tuple[tuple[int, int | None], ...]
    file: dict | None
    lines: tuple[dict, ...]
    changed: bool


def noted(lines: Iterable[dict]) -> Noted:
    """Of which photos the pairs of a manifest are; None where an earlier version has made them."""
    found: Noted = {}
    for line in lines:
        found.setdefault(line["photo"], {})[line["id"]] = line.get("file")
    return found


def hashes(lines: Iterable[dict]) -> dict[str, str]:
    """{photo: hash of its file} of the lines that hold one."""
    return {line["photo"]: line["file"]["hash"] for line in lines if line.get("file")}


def unknown(out: Path, images: Path, photos: Iterable[Path], known: Noted) -> str | None:
    """What is said where pairs do not tell of which photos they are; the next run knows."""
    names = (name_below(images, path) for path in photos)
    if not (count := sum(not file for name in names for file in known.get(name, {}).values())):
        return None
    return (
        f"For {counted(count, 'pair')} in {out} it is not noted yet how the photos looked that they"
        " were made of. Those that are there now are taken for the same, and noted."
    )


def plan(
    index: int, path: Path, *, images: Path, out: Path, known: Noted, config: PrepareConfig
) -> Work:
    """What to do about photo number `index`; only one that may have changed is read for it."""
    name = name_below(images, path)
    pairs = known.get(name, {})
    now = fingerprint(path, next(filter(None, pairs.values()), None)) if pairs else None
    stale = {pair for pair, file in pairs.items() if has_changed(file, now)}
    lines = [{"id": pair, FORGOTTEN: True} for pair in stale]
    if now:  # looked at for the first time, or the same in a file of another date
        fresh = (pair for pair, file in pairs.items() if pair not in stale and file != now)
        lines += [{"id": pair, "file": now} for pair in fresh]
    missing, count = [], config.decisions_per_batch
    for variant in range(config.variants):
        pair = pair_id(name, variant)
        if pair in pairs and pair not in stale and _is_there(out, pair):
            continue
        batch = (index * config.variants + variant) // count
        missing.append((variant, pair_seed("batch", batch, config.seed) if count > 1 else None))
    return Work(path, name, tuple(missing), now, tuple(lines), bool(stale))


def pair_id(name: str, variant: int) -> str:
    """The name of a pair's files."""
    return f"{hashlib.sha256(name.encode()).hexdigest()[:12]}_{variant:03d}"


def _is_there(out: Path, pair: str) -> bool:
    files = (out / side / f"{pair}.png" for side in ("HR", "LR"))
    return all(file.is_file() and file.stat().st_size > 0 for file in files)
