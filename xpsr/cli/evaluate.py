"""`python -m xpsr evaluate`: a model's table on a set of pictures, resumable and divisible."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xpsr.cli import options as o
from xpsr.cli.files import (
    find_pictures,
    make_folder,
    refuse_originals,
    refuse_strangers,
    tell_of_subfolders,
    whole_file,
)
from xpsr.cli.lock import alone
from xpsr.cli.pace import Pace
from xpsr.cli.report import SOME_FAILED, CannotBeginError, each, results_only, say, to_line
from xpsr.cli.run_options import check_run, loader, settings_of, texts_of, with_run_options
from xpsr.counted import counted
from xpsr.errors import XPSRError
from xpsr.launch import is_first, own_share, place_in_launch, wait_for_others
from xpsr.names import printable
from xpsr.prompts import Prompts
from xpsr.settings import Settings

if TYPE_CHECKING:
    from PIL import Image

    from xpsr.cli.ledger import Ledger
    from xpsr.evaluation.identity import Present
    from xpsr.evaluation.judging import Judge
    from xpsr.evaluation.pairs import Pair, Pairs
    from xpsr.pipeline import XPSRPipeline
    from xpsr.prompts.describer import Describer

_Low = Annotated[
    Path,
    typer.Option(
        "--lr",
        metavar="DIR",
        help="Low-quality pictures, or a test set's folder of LR and HR.",
        parser=o.named,
    ),
]
_High = Annotated[
    Path | None,
    typer.Option("--hr", metavar="DIR", help="The originals, with the same names.", parser=o.named),
]
_Metrics = Annotated[
    str | None, typer.Option(metavar="A,B", help="Scores; left out: those of the paper's table.")
]
_Limit = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="Only the first N pictures, by name.")
]
_Published = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.csv",
        help="Further published lines: dataset, method, names of scores, source.",
    ),
]


@with_run_options
def evaluate(
    lr: _Low,
    out: o.Out,
    run: dict[str, Any],
    hr: _High = None,
    metrics: _Metrics = None,
    limit: _Limit = None,
    published: _Published = None,
    preset: o.Preset = None,
    describe: bool = typer.Option(True, help="Let a describer write the texts left out."),
    describer: o.Describer = "measured",
    model: o.Model = "mini",
    base: o.Base = None,
    device: o.Device = None,
    dtype: o.Dtype = None,
) -> None:
    """Restore a set of pictures and make a table of scores, beside bicubic and published ones.

    DIR/table.md, table.csv and plot.svg hold the means, rows.csv every picture,
    pictures/ the results. Run again with the same --out to go on;
    `accelerate launch -m xpsr evaluate …` divides the work. Folders of RealSR,
    DRealSR and DIV2K-Val are known by their names.
    """
    with results_only() as emit, alone(out, shared=True):
        from filelock import FileLock

        from xpsr.evaluation import judging
        from xpsr.evaluation.identity import Present
        from xpsr.evaluation.table import published as published_lines
        from xpsr.placement import choose_device, choose_dtype, own_gpu
        from xpsr.prompts.describer import make_describer

        found = _pairs(lr, hr, out, check_run(run, preset, model).upscale, limit)
        names = o.metric_names(metrics)
        columns = judging.choose_metrics(names, with_originals=found.pairs[0].high is not None)
        published_lines(found.dataset, published)
        author = make_describer(describer) if describe else None
        # With several processes on one machine each takes a GPU of its own.
        own = own_gpu() if device in (None, "cuda") else None
        place = choose_device(own or device)
        _refuse_to_write_over(found.pairs, out / "pictures")
        make_folder(out / "pictures")
        options = {
            "model": model,
            "preset": preset,
            "describer": describer if describe else None,
            **run,
            "lr": str(lr.resolve()),
            "base": base,
            "device": place.type,
            "dtype": str(choose_dtype(place, dtype)).removeprefix("torch."),
        }
        _check_same(out / "options.json", options)

        run_of = _Run(
            loader(model, base, place, dtype), preset, texts_of(run), settings_of(run), author
        )
        make_judge = partial(run_of.judge, columns, out / "pictures")
        present = Present()
        ledger, complete = _work(found.pairs, make_judge, columns, out, present, emit)
        lines = published_lines(found.dataset, published)
        with FileLock(out / ".table.lock"):  # the process that is last writes the table last
            rows = _all_rows(ledger, found.pairs, present)
            _finish(out, ledger, found, rows, columns, lines, model, emit)
        wait_for_others()
        if not complete or found.problems:
            raise typer.Exit(SOME_FAILED)


@dataclass(frozen=True)
class _Run:
    """What the options say of every restoration."""

    pipeline: Callable[[], XPSRPipeline]
    preset: str | None
    given: dict[str, str | None]
    settings: dict[str, Any]
    author: Describer | None

    def judge(self, columns: list[str], folder: Path) -> Judge:
        """A judge with these options; loads the model."""
        from xpsr.evaluation.judging import Judge

        _check_weights(self.pipeline(), folder)
        settings = Settings.from_preset(self._preset(), **self.settings)
        return Judge(self.pipeline, columns, self.texts, settings, folder)

    def texts(self, image: Image.Image) -> Prompts:
        """The texts for a picture: those given, and the others described."""
        texts = {name: text for name, text in self.given.items() if text is not None}
        if self.author is not None and not {"prompt", "lowlevel_prompt"} <= set(texts):
            said = self.author.describe(image)
            texts = {"prompt": said.high, "lowlevel_prompt": said.low, **texts}
        return Prompts.from_preset(self._preset(), **texts)

    def _preset(self) -> str:
        return self.preset or self.pipeline().config.default_preset


def _pairs(lr: Path, hr: Path | None, out: Path, upscale: int, limit: int | None) -> Pairs:
    from xpsr.evaluation.pairs import dataset_of, find_pairs, open_folders

    low, high = open_folders(lr, hr)
    first = is_first()  # all of them find the same, and one says it
    if first and high is not None and hr is None:
        say(f"The originals are taken from {high}.")
    if first:
        tell_of_subfolders([low], out, out / "pictures")
    lows, highs = find_pictures([low]), find_pictures([high]) if high else None
    found = find_pairs(lows, highs, upscale, dataset_of(low)).first(limit)
    for name, reason in found.problems.items() if first else ():
        say(f"{name} {reason}; it is left out.")
    if first and found.spare:
        more = ", …" if len(found.spare) > 3 else ""
        said = f"{', '.join(found.spare[:3])}{more}"
        say(f"Originals without an input of their name in the folder of --lr: {said}")
    if not found.pairs:
        raise XPSRError("No picture is left to evaluate; see the names and sizes above.")
    return found


def _refuse_to_write_over(pairs: list[Pair], folder: Path) -> None:
    results = [folder / f"{pair.name}.png" for pair in pairs]
    refuse_originals(results, [path for pair in pairs for path in (pair.low, pair.high) if path])
    refuse_strangers(results)


def _check_same(path: Path, options: dict[str, Any]) -> None:
    """Rows of different runs must not meet in one table."""
    try:
        before = dict(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        before = {}
    except (OSError, ValueError, TypeError):
        raise XPSRError(f"{path} cannot be read; remove it or choose another --out.") from None
    for name, value in options.items():
        if before.get(name, value) != value:  # not all are in older folders
            option = f"--{name.replace('_', '-')}"
            then, now = ("left out" if one is None else one for one in (before[name], value))
            raise XPSRError(
                f"This folder holds an evaluation with {option} {then}, and now it is {now}; "
                "choose another --out."
            )
    if before != options and is_first():  # all of them have the same
        with whole_file(path) as part:
            part.write_text(json.dumps(options, indent=2) + "\n", encoding="utf-8")


def _check_weights(pipe: XPSRPipeline, folder: Path) -> None:
    """The name of a model stays when its weights change; results of both must not meet either."""
    from xpsr.recipe import read_recipe
    from xpsr.recipe_changes import other_weights, surroundings

    for path in sorted(folder.glob("*.png")):
        try:
            before = surroundings(read_recipe(path))
        except XPSRError:
            continue
        if other := other_weights(before, pipe.surroundings()):
            raise CannotBeginError(
                f"This folder holds results of other weights ({other.place} {other.before}, now "
                f"{other.after}); choose another --out."
            )


def _work(
    pairs: list[Pair],
    make_judge: Callable[[], Any],
    columns: list[str],
    out: Path,
    present: Present,
    emit: Callable[[str], None],
) -> tuple[Ledger, bool]:
    """Judge what this process is to judge and what is not done yet; whether all went well."""
    from xpsr.cli.ledger import Ledger
    from xpsr.earlier import has_pixels
    from xpsr.evaluation.judging import to_be_had_now
    from xpsr.metrics import METRICS

    mine = {pair.name: pair for pair in own_share(pairs)}
    ledger = Ledger(out / "rows.jsonl", list(mine))
    wanted = {one for one in columns if one in METRICS}
    last = {row["input"]: row for row in ledger.records}  # the one that pictures/ agrees with
    # Judged again, a result took what it took when it was made.
    took = {
        (row["input"], row.get("sha256")): row.get("seconds") for row in reversed(ledger.records)
    }
    open_scores = to_be_had_now(row for name, row in last.items() if name in mine)
    done = {
        name
        for name, row in last.items()
        if name in mine
        and wanted <= set(row.get("scores", ()))
        and not wanted & open_scores & set(row.get("reasons", ()))
        and present.are_of(row, mine[name])
        and has_pixels(out / "pictures" / f"{name}.png", row["sha256"])
    }
    todo = [name for name in mine if name not in done]
    if len(todo) < len(mine):
        say(f"{len(mine) - len(todo)} of {len(mine)} pictures are finished already.")
    judge = cache(make_judge)
    pace = Pace(len(todo), say)

    def work(name: str) -> dict[str, Any]:
        row = judge().row(mine[name])
        if row["seconds"] is None:
            row["seconds"] = took.get((name, row["sha256"]))
        for note in row["notes"]:
            say(f"{name}: {note}")
        return {"input": name, **row}

    def keep(line: str) -> None:
        record = json.loads(line)
        ledger.add(record)
        pace.count(failed="error" in record)
        emit(line)

    well = each(todo, work, keep)
    pace.end()
    return ledger, well


def _finish(
    out: Path,
    ledger: Ledger,
    found: Pairs,
    rows: list[dict[str, Any]],
    columns: list[str],
    published: list[Any],
    model: str,
    emit: Callable[[str], None],
) -> None:
    """Write the tables of the rows, if there are any."""
    from xpsr.evaluation import plot, table
    from xpsr.evaluation.pairs import set_name
    from xpsr.metrics import METRICS
    from xpsr.recipe import model_label

    if not rows:
        return
    of_set = _of_set(out, found.pairs, rows) if "fid" in columns else None
    name = found.dataset or set_name(found.pairs[0].low.parent)
    title = printable(f"{name}, {counted(len(rows), 'picture')}")
    summary = table.summarise(model_label(model), rows, columns, title, of_set)
    summary.lines.extend(published)
    summary.left_out.extend(f"{name} {why}" for name, why in found.problems.items())
    failures = ledger.failures()
    lost = [pair.name for pair in found.pairs if pair.name not in {row["name"] for row in rows}]
    summary.left_out.extend(f"{name}: {failures[name]}" for name in lost if name in failures)
    texts = {
        "table.md": table.to_markdown(summary),
        "table.csv": table.to_csv(summary),
        "rows.csv": table.rows_to_csv(rows, [one for one in columns if one in METRICS]),
    }
    for name, text in texts.items():
        with whole_file(out / name) as part:
            part.write_text(printable(text), encoding="utf-8")
    with whole_file(out / "plot.svg") as part:
        plot.draw(summary, part)
    say(texts["table.md"])
    lines = [asdict(line) for line in summary.lines]
    emit(to_line({"table": str(out / "table.md"), "lines": lines, "missing": summary.missing}))


def _all_rows(ledger: Ledger, pairs: list[Pair], present: Present) -> list[dict[str, Any]]:
    """The rows of all processes in the order of the pictures; none while others are at work.

    Of several processes the last one has them all.
    """
    from xpsr.cli.ledger import Ledger

    known = Ledger(ledger.path, [])
    by_name = {row["input"]: row for row in known.records if "scores" in row}
    rows = [
        by_name[pair.name]
        for pair in pairs
        if pair.name in by_name and present.are_of(by_name[pair.name], pair)
    ]
    failed = set(known.failures()) - {row["input"] for row in rows}
    open_rows = len(pairs) - len(rows) - sum(pair.name in failed for pair in pairs)
    if place_in_launch()[1] > 1 and open_rows > 0:
        say(f"This process is done; the table comes with the last of the other {open_rows}.")
        return []
    if not rows:
        say("No picture could be evaluated, so no table is written.")
    elif len(rows) < len(pairs):
        say(f"{len(pairs) - len(rows)} of {len(pairs)} pictures have no row.")
    return rows


def _of_set(out: Path, pairs: list[Pair], rows: list[dict[str, Any]]) -> dict[str, Any]:
    from xpsr.evaluation.fid import fid_of_set
    from xpsr.metrics import Score

    if len(rows) < len(pairs):
        reason = Score(None, "needs all pictures, and some have no result")
        return {key: {"fid": reason} for key in ("scores", "bicubic")}
    return fid_of_set(pairs, rows, out / "pictures")
