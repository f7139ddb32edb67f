"""Photos → training pairs:

python -m train.prepare --images DIR --out DIR [--config FILE] [key=value …]

Each photo gives `variants` crops; each crop is degraded with a seed of its own, then both sides are
described. One line of manifest.jsonl a pair, written after its files, so a run that was stopped
goes on where it was and every pair can be made again from its line.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import torch
import typer
from pydantic import Field

from train.describe import DESCRIBERS, chosen, describe, report
from train.disk import read_json, save_png, write_whole
from train.files import find_photos, name_below
from train.manifest import Part, alone, collect, forget_failures, pairs_so_far
from train.options import read_options
from train.pairing import PairConfig, make_pair, pair_seed
from train.sharing import Share, in_order, one_thread
from train.terminal import follow, sentences
from xpsr.errors import XPSRError
from xpsr.image import open_image

OPTIONS = "prepare.json"


class PrepareConfig(PairConfig):
    """What is made of each photo.

    Attributes:
        size: of whole patches, as every network sees pictures.
        variants: pairs a photo.
        seed: with the photo's name and the variant, the seed of a pair.
        decisions_per_batch: draw the kinds of resize and noise and the order at the end once for so
            many pairs, as the authors do for 10; 1 = for each pair.
    """

    size: int = Field(512, ge=64, multiple_of=8)
    variants: int = Field(1, ge=1)
    seed: int = 0
    decisions_per_batch: int = Field(1, ge=1)


@dataclass(frozen=True)
class Work:
    """One photo and which of its pairs are missing, with the seed of each one's batch."""

    path: Path
    name: str
    missing: tuple[tuple[int, int | None], ...]


def prepare(
    images: Path, out: Path, config: PrepareConfig, share: Share | None = None, workers: int = 1
) -> Iterator[tuple[int, int, str | None]]:
    """Make every missing pair, without texts; yields (done, total, complaint about a photo)."""
    share = share or Share()
    made = {(out / side).resolve() for side in ("HR", "LR")}
    _check_device(config.device)
    photos = [p for p in find_photos(images) if not made & {*p.resolve().parents}]
    if share.is_first:
        for folder in ("HR", "LR"):
            (out / folder).mkdir(parents=True, exist_ok=True)
            for part in (out / folder).glob(".*.part"):
                if part.is_file():  # what a stop in the middle of writing left
                    part.unlink()
        _same_options(out, config)
        forget_failures(out)
        collect(out)
    share.wait()
    done = {line["id"] for line in pairs_so_far(out) if _is_there(out, line["id"])}
    share.wait()  # all have read what was there before anybody writes
    mine = share.of([_work(i, path, images, config, done) for i, path in enumerate(photos)])
    yield 0, len(mine), None
    results = in_order(partial(pairs_of_photo, out=out, config=config), mine, workers)
    with Part(out, "pairs", share.rank) as pairs, Part(out, "failed", share.rank) as failed:
        for number, (work, (lines, reason)) in enumerate(zip(mine, results, strict=True), 1):
            pairs.add(lines)
            if reason:
                failed.add([{"photo": work.name, "error": reason}])
            yield number, len(mine), f"{work.name}: {reason}" if reason else None
    share.wait()
    if share.is_first:
        collect(out)
    share.wait()


def pair_id(name: str, variant: int) -> str:
    """The name of a pair's files."""
    return f"{hashlib.sha256(name.encode()).hexdigest()[:12]}_{variant:03d}"


def _is_there(out: Path, pair: str) -> bool:
    files = (out / side / f"{pair}.png" for side in ("HR", "LR"))
    return all(file.is_file() and file.stat().st_size > 0 for file in files)


def _work(index: int, path: Path, images: Path, config: PrepareConfig, done: set[str]) -> Work:
    name, count = name_below(images, path), config.decisions_per_batch
    missing = []
    for variant in range(config.variants):
        if pair_id(name, variant) in done:
            continue
        batch = (index * config.variants + variant) // count
        missing.append((variant, pair_seed("batch", batch, config.seed) if count > 1 else None))
    return Work(path, name, tuple(missing))


def pairs_of_photo(
    work: Work, *, out: Path, config: PrepareConfig
) -> tuple[list[dict], str | None]:
    """Make the missing pairs of one photo: (their lines, why the photo cannot be used)."""
    if not work.missing:
        return [], None
    try:
        photo = open_image(work.path).image
    except XPSRError as error:
        return [], str(error)
    if not config.possible_scales(photo):
        return [], f"skipped, a side is shorter than {config.size} pixels"
    lines = []
    for variant, batch_seed in work.missing:
        seed, pair = pair_seed(work.name, variant, config.seed), pair_id(work.name, variant)
        hr, lr, drawn = make_pair(photo, config, seed, batch_seed)
        # The line of a pair that is made again is there already; it counts once this is, too.
        (out / "LR" / f"{pair}.png").unlink(missing_ok=True)
        save_png(hr, out / "HR" / f"{pair}.png")
        save_png(lr, out / "LR" / f"{pair}.png")
        seeds = {"seed": seed} | ({} if batch_seed is None else {"batch_seed": batch_seed})
        recipe = drawn.pop("recipe")
        lines.append(
            {"id": pair, "photo": work.name, **seeds, "recipe": recipe, "degradation": drawn}
        )
    return lines, None


def _check_device(device: str) -> None:
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError):  # no such device; a torch that was built without it
        raise XPSRError(f"device={device} cannot be used here; give device=cpu.") from None


def _same_options(out: Path, config: PrepareConfig) -> None:
    """Refuse to mix pairs of different kinds in one folder; more variants may be added."""
    path = out / OPTIONS
    free = {"variants", "device"}
    if path.is_file():
        before = read_json(path, "delete it if the options are the same")
        before = PrepareConfig().model_dump(mode="json") | before
        for name, new in config.model_dump(mode="json", exclude=free).items():
            if before[name] != new:
                raise XPSRError(
                    f"The pairs in {out} were made with {name}={before[name]}, not {new}; choose"
                    " another folder or the same options."
                )
    write_whole(path, config.model_dump_json(indent=1))


def main(
    images: Annotated[Path, typer.Option(help="Folder of photos, searched with its subfolders.")],
    out: Annotated[Path, typer.Option(help="Folder for the pairs.")],
    config: Annotated[Path | None, typer.Option(help="YAML file of options.")] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="key=value…", help="Options over the file's; README.md has them."),
    ] = None,
    describer: Annotated[str, typer.Option(help=f"{DESCRIBERS}; none = no texts.")] = "measured",
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
) -> None:
    """Make training pairs of photos and describe them; run again to go on after a stop."""
    with sentences():
        options = read_options(PrepareConfig, config, overrides)
        if describer != "none":
            describer = chosen(describer)  # an unknown one is refused before the work
        _check_device(options.device)
        find_photos(images)  # what is of no use is refused before anything is made
        share = Share.from_environment()
        one_thread()
        out.mkdir(parents=True, exist_ok=True)
        with alone(out, share):
            follow("photos", prepare(images, out, options, share, workers))
            if not pairs_so_far(out):
                raise XPSRError("No photo could be used.")
            if describer != "none":
                follow("texts", describe(out, describer, share=share, workers=workers))
            if share.is_first:
                report(out, None if describer == "none" else describer)


if __name__ == "__main__":
    typer.run(main)
