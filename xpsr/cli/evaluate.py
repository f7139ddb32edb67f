"""`python -m xpsr evaluate`: a model's table on a set of pictures, resumable and divisible."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
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
from xpsr.cli.report import SOME_FAILED, CannotBeginError, Emit, each, results_only, say
from xpsr.cli.run_options import (
    check_run,
    described,
    describer_for,
    loader,
    settings_of,
    texts_of,
    with_run_options,
)
from xpsr.errors import XPSRError
from xpsr.launch import is_first, wait_for_others
from xpsr.prompts import Prompts
from xpsr.settings import Settings

if TYPE_CHECKING:
    from PIL import Image

    from xpsr.cli.judged import Judged
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
    describe: o.Describe = True,
    describer: o.OwnDescriber = None,
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
        from xpsr.cli.judged import Judged
        from xpsr.evaluation.judging import choose_metrics
        from xpsr.evaluation.table import published as published_lines
        from xpsr.placement import choose_device, choose_dtype, own_gpu
        from xpsr.prompts.describer import make_describer
        from xpsr.recipe import model_label

        found = _pairs(lr, hr, out, check_run(run, preset, model).upscale, limit)
        names = o.metric_names(metrics)
        columns = choose_metrics(names, with_originals=found.pairs[0].high is not None)
        lines = published_lines(found.dataset, published)
        who = describer_for(model, describer) if describe else None
        author = make_describer(who) if who else None
        # With several processes on one machine each takes a GPU of its own.
        own = own_gpu() if device in (None, "cuda") else None
        place = choose_device(own or device)
        _refuse_to_write_over(found.pairs, out / "pictures")
        make_folder(out / "pictures")
        options = {
            "model": model,
            "preset": preset,
            "describer": who,
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
        judged = Judged(out, found, columns)
        complete = _judge(judged, partial(run_of.judge, columns, out / "pictures"), emit)
        if record := judged.write(model_label(model), lines):
            emit(record)
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
        return Judge(self.pipeline, columns, self.texts, self._settings(), folder)

    def texts(self, image: Image.Image) -> Prompts:
        """The texts for a picture: those given, and the others described."""
        texts = {name: text for name, text in self.given.items() if text is not None}
        if said := described(self.author, image, texts, self.pipeline(), self._settings()):
            texts = {**said.texts, **texts}
        return Prompts.from_preset(self._preset(), **texts)

    def _settings(self) -> Settings:
        return Settings.from_preset(self._preset(), **self.settings)

    def _preset(self) -> str:
        return self.preset or self.pipeline().config.default_preset


def _pairs(lr: Path, hr: Path | None, out: Path, upscale: int, limit: int | None) -> Pairs:
    from xpsr.evaluation.pairs import find_pairs, open_folders, set_name

    low, high = open_folders(lr, hr)
    first = is_first()  # all of them find the same, and one says it
    if first and high is not None and hr is None:
        say(f"The originals are taken from {high}.")
    if first:
        tell_of_subfolders([low], out, out / "pictures")
    lows, highs = find_pictures([low]), find_pictures([high]) if high else None
    found = find_pairs(lows, highs, upscale, set_name(low)).first(limit)
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


def _judge(judged: Judged, make_judge: Callable[[], Judge], emit: Emit) -> bool:
    """Judge what is left; whether all went well."""
    judge, pace = cache(make_judge), Pace(len(judged.left), say)

    def work(name: str) -> dict[str, Any]:
        row = judge().row(judged.left[name])
        row["seconds"] = judged.seconds(row)
        for note in row["notes"]:
            say(f"{name}: {note}")
        return {"input": name, **row}

    def keep(record: dict[str, Any]) -> None:
        judged.add(record)
        pace.count(failed="error" in record)
        emit(record)

    well = each([*judged.left], work, keep)
    pace.end()
    return well
