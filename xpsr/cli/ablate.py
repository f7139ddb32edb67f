"""`python -m xpsr ablate`: what each part of the texts does, against what another seed does."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xpsr.ablation.choice import KINDS, NAMES, SWEEPS, Choice
from xpsr.cli import options as o
from xpsr.cli.files import make_folder, whole_file
from xpsr.cli.lock import alone
from xpsr.cli.progress import Steps
from xpsr.cli.report import SOME_FAILED, Emit, results_only, say, score_entries
from xpsr.cli.run_options import (
    check_run,
    describer_for,
    settings_of,
    texts_of,
    with_run_options,
)
from xpsr.errors import XPSRError
from xpsr.names import printable
from xpsr.prompts import Prompts
from xpsr.settings import Settings
from xpsr.stopping import exit_code

if TYPE_CHECKING:
    from PIL import Image

    from xpsr.ablation import Cell, CellResult, Experiment, Plan
    from xpsr.ablation.report import Subject

_ABOUT = """\b
levels                         both texts, content only, quality only, none
negatives                      with and without the negative text of each
sentences, clauses, words      the prompt without each of them
swap                           the quality text against a good and a bad one
guidance, steps, conditioning  one setting at several --values
grid                           every combination of one or two --axis
csv                            your own prompts, from --csv FILE
"""

_DESCRIPTION = "description.json"

_Picture = Annotated[Path, typer.Argument(metavar="IMAGE", help="The picture.")]
_Plan = Annotated[str, typer.Option("--plan", metavar="NAME", help="See above.")]
_Seeds = Annotated[
    int, typer.Option(metavar="N", help="How many seeds each variant runs with, from --seed on.")
]
_Values = Annotated[
    str | None, typer.Option(metavar="X,Y", help="For guidance, steps, conditioning.")
]
_Axis = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=X,Y",
        help='For grid, once or twice: a setting, or a text as in prompt="A cat.|A dog.".',
    ),
]
_Csv = Annotated[
    Path | None,
    typer.Option("--csv", metavar="FILE", help="Its heads are names of texts and settings."),
]
_Text = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help="For sentences, clauses, words: which text, as in prompt or lowlevel_prompt; several "
        "times for several.",
    ),
]
_Reference = Annotated[
    Path | None, typer.Option(metavar="IMAGE", help="What it should look like, of result size.")
]
_Metrics = Annotated[
    str | None, typer.Option(metavar="A,B", help="Scores; left out: those without a download.")
]


@with_run_options
def ablate(
    image: _Picture,
    plan: _Plan,
    out: o.Out,
    run: dict[str, Any],
    seeds: _Seeds = 4,
    values: _Values = None,
    axis: _Axis = None,
    csv: _Csv = None,
    text: _Text = None,
    dry_run: bool = typer.Option(False, "--dry-run", help="Say what it would cost, and stop."),
    metrics: _Metrics = None,
    reference: _Reference = None,
    preset: o.Preset = None,
    describe: o.Describe = True,
    describer: o.OwnDescriber = None,
    model: o.Model = "mini",
    base: o.Base = None,
    device: o.Device = None,
    dtype: o.Dtype = None,
) -> None:
    choice = Choice(plan, values or "", axis or (), csv, text or ())
    with results_only() as emit, alone(None if dry_run else out):
        _check(choice)
        names = o.metric_names(metrics)
        from xpsr import load
        from xpsr.ablation import Experiment, consecutive_seeds
        from xpsr.ablation.cost import measure
        from xpsr.ablation.export import report_in_the_way
        from xpsr.ablation.folder import CellFolder, LookedAt
        from xpsr.ablation.plan import for_one_text
        from xpsr.ablation.report import Subject
        from xpsr.image import open_image

        _check_metrics(names, reference)
        consecutive_seeds(0, seeds)
        check_run(run, preset, model)
        photo = open_image(image).image
        truth = open_image(reference).image if reference else None
        who = describer_for(model, describer) if describe else None
        texts, description = _texts(out, photo, texts_of(run), who)

        pipe = load(model, base=base, device=device, dtype=dtype)
        name = preset or pipe.config.default_preset
        prompts = Prompts.from_preset(name, **texts)
        settings = Settings.from_preset(name, **settings_of(run))
        chosen = choice.build(prompts, settings, consecutive_seeds(settings.seed, seeds))
        if not pipe.reads_lowlevel:
            chosen = for_one_text(chosen)
        if truth is not None:
            _check_size(truth, photo, chosen)
        folder = CellFolder(out, [variant.name for variant in chosen.variants])
        notes = folder.check(pipe, photo)
        keeper = LookedAt(folder) if dry_run else folder
        experiment = Experiment(pipe, photo, chosen, names, truth, keeper)
        for sentence in (*chosen.warnings(), *chosen.notes, *notes):
            say(sentence)
        if before := report_in_the_way(out, chosen):
            say(
                f'{out} holds a report of other variants or seeds (plan "{before}"), which the new '
                "one replaces. Its cells stay, and its own command writes it again."
            )
        if not dry_run:
            # Only now: what is refused up to here leaves nothing behind.
            make_folder(out)
            _keep_description(out, description)
            folder.keep_input(photo)
        say(str(_plainly(measure, experiment)))
        if dry_run:
            return
        subject = Subject(printable(image.name), photo, pipe.label, description.get("source", ""))
        results = _run(experiment, subject, out, emit)
        if any(one.error for one in results):
            raise typer.Exit(SOME_FAILED)


ablate.__doc__ = f"""Take the texts or settings apart, and see what each part does.

Every variant runs with the same seeds; DIR/report.html shows pictures and
effects beside what another seed does by itself. Run again with the same
--out to go on where it stopped.

{_ABOUT}"""


def _check(choice: Choice) -> None:
    """Refuse what does not fit together; needs no model."""
    if choice.plan not in NAMES:
        raise XPSRError(f'There is no plan "{choice.plan}"; choose one of {", ".join(NAMES)}.')
    given = {
        "--values": (choice.values, tuple(SWEEPS)),
        "--axis": (choice.axes, ("grid",)),
        "--csv": (choice.csv, ("csv",)),
        "--text": (choice.texts, tuple(KINDS)),
    }
    for option, (value, plans) in given.items():
        if value and choice.plan not in plans:
            raise XPSRError(f"{option} belongs to --plan {', '.join(plans)}.")
    if choice.plan == "grid" and not choice.axes:
        raise XPSRError("--plan grid needs --axis NAME=VALUE,VALUE once or twice.")
    if choice.plan == "csv" and not choice.csv:
        raise XPSRError("--plan csv needs --csv FILE.")
    choice.parse()


def _check_metrics(names: list[str] | None, reference: Path | None) -> None:
    """Refuse scores that no cell could have."""
    from xpsr.metrics import METRICS, check_names

    check_names(names or ())
    for name in names or ():
        if METRICS[name].needs_reference and reference is None:
            raise XPSRError(f"{name} needs the true picture; name it with --reference.")


def _check_size(truth: Image.Image, photo: Image.Image, plan: Plan) -> None:
    """Refuse a true picture that no result could be compared with."""
    factors = sorted({variant.settings.upscale for variant in plan.variants})
    sizes = [(photo.width * factor, photo.height * factor) for factor in factors]
    if truth.size not in sizes:
        has, need = ("{} x {}".format(*one) for one in (truth.size, sizes[0]))
        more = " and others" if len(sizes) > 1 else ""
        raise XPSRError(
            f"--reference has {has} pixels, and the results have {need}{more}; choose one of that "
            "size."
        )


def _run(experiment: Experiment, subject: Subject, out: Path, emit: Emit) -> list[CellResult]:
    """Compute, emit a line a cell, and report what is finished even if stopped."""
    cells = list(experiment.plan.cells())
    results: list[CellResult] = []
    try:
        _plainly(_stream, experiment, cells, results, emit)
    except KeyboardInterrupt as stop:
        say(f"Stopped: {len(results)} of {len(cells)} cells are finished.")
        if results:
            _report(experiment.plan, results, subject, out, emit)
        say("Run the same command again to go on from here.")
        raise typer.Exit(exit_code(stop)) from None
    _report(experiment.plan, results, subject, out, emit)
    return results


def _plainly(work: Callable[..., Any], *arguments: Any) -> Any:
    """Do it; where results cannot be kept any more, as on a full disk, in a sentence."""
    from xpsr.ablation.run import CellsLostError

    try:
        return work(*arguments)
    except CellsLostError as error:
        raise XPSRError(f"{error} What was finished before is kept.") from None


def _stream(
    experiment: Experiment, cells: list[Cell], results: list[CellResult], emit: Emit
) -> None:
    from xpsr.ablation import CellStep

    progress = Steps(len(cells))
    for cell in cells:
        with progress.picture(f"cell of {experiment.plan.name}"):
            for item in experiment.cell(cell):
                if isinstance(item, CellStep):
                    progress.step(item.progress)
                else:
                    results.append(item)
        emit(_record(experiment.plan, results[-1]))
        if results[-1].error:
            say(f"{_name(experiment.plan, results[-1])}: {results[-1].error}")


def _record(plan: Plan, result: CellResult) -> dict[str, Any]:
    known = {"variant": plan.variants[result.cell.variant].name, "seed": result.cell.seed}
    if result.recipe is None:
        return {**known, "error": result.error}
    return {
        **known,
        "output": str(result.path),
        "seconds": round(result.seconds, 3),
        "origin": result.origin,
        "sha256": result.recipe.output_sha256,
        **score_entries(result.scores),
    }


def _name(plan: Plan, result: CellResult) -> str:
    return f"{plan.variants[result.cell.variant].name}, seed {result.cell.seed}"


def _report(plan: Plan, results: list[CellResult], subject: Subject, out: Path, emit: Emit) -> None:
    from xpsr.ablation.export import write
    from xpsr.ablation.statistics import effects

    try:
        write(out, plan, results, subject)
    except OSError as error:
        raise XPSRError(f"The report cannot be written to {out}: {error.strerror}.") from None
    found = [
        {**asdict(one), "variant": plan.variants[one.variant].name, "verdict": one.verdict}
        for one in effects(plan, results)
    ]
    files = {"report": str(out / "report.html"), "zip": str(out / "ablation.zip")}
    emit({**files, "effects": found})
    say(f"The report is {files['report']}; everything is in {files['zip']}.")


def _texts(
    out: Path, photo: Image.Image, given: dict[str, str | None], describer: str | None
) -> tuple[dict[str, str | None], dict[str, str]]:
    """The texts, given or described, and the description; empty if there is none.

    What was described for this picture is kept in the folder: a vision model might put it
    otherwise the next time, and no finished cell would fit any more.
    """
    missing = [name for name in ("prompt", "lowlevel_prompt") if given[name] is None]
    if describer is None or not missing:
        return given, {}
    from xpsr.image import pixel_sha256
    from xpsr.prompts.describer import make_describer

    key = {"input_sha256": pixel_sha256(photo), "describer": describer}
    kept = _kept_description(out / _DESCRIPTION)
    if kept and kept["input_sha256"] != key["input_sha256"]:
        raise XPSRError(f"{out} holds an ablation of another picture; choose another --out.")
    if any(kept.get(name) != value for name, value in key.items()):
        found = make_describer(describer).describe(photo)
        kept = {**key, **found.texts, "source": found.source}
    return {**given, **{name: kept[name] for name in missing}}, kept


def _keep_description(out: Path, description: dict[str, str]) -> None:
    note = out / _DESCRIPTION
    if description and description != _kept_description(note):
        with whole_file(note) as part:
            part.write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")


def _kept_description(note: Path) -> dict[str, str]:
    fields = {"input_sha256", "describer", "prompt", "lowlevel_prompt", "source"}
    try:
        kept = json.loads(note.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    whole = isinstance(kept, dict) and set(kept) == fields
    return kept if whole and all(isinstance(value, str) for value in kept.values()) else {}
