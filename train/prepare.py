"""Photos → training pairs:

python -m train.prepare --images DIR --out DIR [--config FILE] [key=value …]

Each photo gives `variants` crops; each crop is degraded with a seed of its own, then both sides are
described. One line of manifest.jsonl a pair, written after its files, so a run that was stopped
goes on where it was and every pair can be made again from its line.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Annotated

import torch
import typer

from train.describe import (
    DEFAULT,
    DESCRIBERS,
    NAMED,
    SIDE,
    Side,
    chosen,
    describe,
    report,
    tell_of_others,
)
from train.disk import read_json, save_png, write_whole
from train.files import find_photos
from train.manifest import Part, alone, collect, forget_failures, pairs_so_far
from train.options import read_options
from train.pairing import PrepareConfig, make_pair, pair_seed
from train.sharing import in_order, one_thread, wait
from train.terminal import follow, sentences
from train.todo import Work, hashes, noted, pair_id, plan, unknown
from xpsr.errors import XPSRError
from xpsr.fingerprint import fingerprint
from xpsr.image import open_image
from xpsr.launch import is_first, own_share
from xpsr.prompts.author import is_named

OPTIONS = "prepare.json"


def prepare(
    images: Path, out: Path, config: PrepareConfig, workers: int = 1
) -> Iterator[tuple[int, int, str | None]]:
    """Make every pair that is missing or whose photo has changed, without texts.

    Yields:
        (done, total, what there is to say about a photo).
    """
    _check_device(config.device)
    photos = find_photos(images, [out / "HR", out / "LR"])
    if is_first():
        for folder in ("HR", "LR"):
            (out / folder).mkdir(parents=True, exist_ok=True)
            for part in (out / folder).glob(".*.part"):
                if part.is_file():  # what a stop in the middle of writing left
                    part.unlink()
        _same_options(out, config)
        forget_failures(out)
        collect(out)
    wait()
    known = noted(pairs_so_far(out))
    wait()  # all have read what was there before anybody writes
    mine = own_share([*enumerate(photos)])
    yield 0, len(mine), unknown(out, images, photos, known) if is_first() else None
    planned = partial(plan, images=images, out=out, known=known, config=config)
    make = partial(pairs_of_photo, out=out, config=config)
    with Part(out, "pairs") as pairs, Part(out, "failed") as failed:

        def begun() -> Iterator[Work]:
            for index, path in mine:
                work = planned(index, path)
                pairs.add(work.lines)
                yield work

        for number, (work, lines, reason) in enumerate(in_order(make, begun(), workers), 1):
            pairs.add(lines)
            said = [f"{work.name} is another photo than before."] * work.changed
            if reason:
                failed.add([{"photo": work.name, "error": reason}])
                said.append(f"{work.name}: {reason}")
            yield number, len(mine), "\n".join(said) or None
    wait()
    if is_first():
        collect(out)
    wait()


def pairs_of_photo(
    work: Work, *, out: Path, config: PrepareConfig
) -> tuple[Work, list[dict], str | None]:
    """Make the missing pairs of one photo: (work, their lines, why the photo cannot be used)."""
    if not work.missing:
        return work, [], None
    file = work.file or fingerprint(work.path)  # before the photo itself: it may change meanwhile
    try:
        photo = open_image(work.path).image
    except XPSRError as error:
        return work, [], str(error)
    if not config.possible_scales(photo):
        return work, [], f"skipped, a side is shorter than {config.size} pixels"
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
        of = {"id": pair, "photo": work.name, "file": file}
        lines.append({**of, **seeds, "recipe": recipe, "degradation": drawn})
    return work, lines, None


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
    describer: Annotated[
        str | None,
        typer.Option(help=f"{DESCRIBERS}; none = no texts. {NAMED}", show_default=DEFAULT),
    ] = None,
    side: Annotated[Side, typer.Option(help=f"To be described. {SIDE}")] = "both",
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
) -> None:
    """Make training pairs of photos and describe them; run again to go on after a stop."""
    with sentences():
        options = read_options(PrepareConfig, config, overrides)
        again = is_named(describer)
        author = None if describer == "none" else chosen(describer or DEFAULT)
        _check_device(options.device)
        find_photos(images)  # what is of no use is refused before anything is made
        one_thread()
        out.mkdir(parents=True, exist_ok=True)
        with alone(out):
            before = hashes(pairs_so_far(out)) if is_first() else {}
            follow("photos", prepare(images, out, options, workers))
            if not (lines := pairs_so_far(out)):
                raise XPSRError("No photo could be used.")
            if author:
                if is_first():
                    tell_of_others(lines, author, side, again)
                work = describe(out, author, side=side, again=again, workers=workers)
                follow("texts", work)
            if is_first():
                now = hashes(lines)
                changed = sum(before.get(name, new) != new for name, new in now.items())
                report(out, author, side=side, again=again, changed=changed)


if __name__ == "__main__":
    typer.run(main)
