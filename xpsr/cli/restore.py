"""`python -m xpsr restore`: restore pictures and folders of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from xpsr.cli import options as o
from xpsr.cli.files import (
    find_pictures,
    make_folder,
    plan_results,
    refuse_originals,
    refuse_strangers,
    tell_of_subfolders,
    whole_file,
)
from xpsr.cli.kept import earlier, earlier_maps, kept_names
from xpsr.cli.progress import Steps
from xpsr.cli.report import (
    SOME_FAILED,
    each,
    results_only,
    say,
    score_entries,
)
from xpsr.cli.run_options import (
    check_run,
    described,
    describer_for,
    loader,
    settings_of,
    texts_of,
    with_run_options,
)
from xpsr.errors import DiskFullError, XPSRError
from xpsr.prompts import Prompts
from xpsr.prompts.provenance import Origin, from_preset, trace_all, written
from xpsr.settings import Settings

if TYPE_CHECKING:
    from PIL import Image

    from xpsr.pipeline import XPSRPipeline
    from xpsr.prompts.describer import Describer
    from xpsr.prompts.provenance import Sentence
    from xpsr.recipe import Recipe
    from xpsr.wordmaps import WordMaps, WordRecorder


@with_run_options
def restore(
    images: o.Pictures,
    out: o.Out,
    run: dict[str, Any],
    preset: o.Preset = None,
    describe: o.Describe = True,
    describer: o.OwnDescriber = None,
    word_maps: o.WordMaps = None,
    model: o.Model = "mini",
    base: o.Base = None,
    device: o.Device = None,
    dtype: o.Dtype = None,
) -> None:
    """Restore pictures: DIR/NAME.png with the recipe inside, and a JSON line for each.

    Run it again with the same --out to go on where it stopped: results of the
    same picture, texts, settings, model and versions are kept, others are made
    again.
    """
    with results_only() as emit:
        from xpsr.prompts.describer import make_describer

        tell_of_subfolders(images, out, word_maps)
        pictures = find_pictures(images)
        results = plan_results(pictures, out, kept_names(pictures, out))
        refuse_strangers(results)
        check_run(run, preset, model)
        author = make_describer(describer_for(model, describer)) if describe else None
        make_folder(out)
        if word_maps is not None:
            _prepare(word_maps, out, pictures, results)

        work = _Run(
            loader(model, base, device, dtype),
            author,
            preset,
            texts_of(run),
            settings_of(run),
            Steps(len(pictures)),
            word_maps,
        )
        targets = iter(results)
        names = [str(path) for path in pictures]
        well = each(names, lambda name: work.restore(name, next(targets)), emit)
        if work.kept:
            say(f"{work.kept} of {len(names)} results were there already and are kept.")
        if not well:
            raise typer.Exit(SOME_FAILED)


def _prepare(word_maps: Path, out: Path, pictures: list[Path], results: list[Path]) -> None:
    if word_maps.resolve() == out.resolve():
        raise XPSRError("--word-maps and --out must be two folders: the names in them are equal.")
    sheets = [word_maps / result.name for result in results]
    refuse_originals(sheets, pictures, "--word-maps")
    for sheet in sheets:
        if sheet.exists() and not sheet.with_suffix(".npz").exists():
            raise XPSRError(
                f"{sheet} is there already without maps beside it, so it was not made by this "
                "program and is not written over; choose another --word-maps."
            )
    make_folder(word_maps, "--word-maps")


@dataclass
class _Run:
    """One model, one set of options, many pictures.

    Attributes:
        kept: how many results were there already.
    """

    pipeline: Callable[[], XPSRPipeline]
    author: Describer | None
    preset: str | None
    texts: dict[str, str | None]
    changes: dict[str, Any]
    progress: Steps
    word_maps: Path | None
    kept: int = 0
    _full: DiskFullError | None = None

    def restore(self, name: str, result: Path) -> dict[str, Any]:
        """Restore one picture into the file `result`, unless the same is there; its record."""
        from xpsr.earlier import what_differs
        from xpsr.image import open_image
        from xpsr.pipeline import result_of
        from xpsr.recipe import save_png

        if self._full:
            raise self._full
        image = open_image(name).image  # refused here, before the model is loaded
        there = earlier(result, image)
        sheet = self.word_maps / result.name if self.word_maps else None
        maps = earlier_maps(sheet, image) if sheet else None
        with self.progress.picture(name):
            pipe, recorder = self.pipeline(), self._recorder()
            prompts, settings, brought = self._chosen(image, pipe)
            now = pipe.surroundings()
            why = what_differs(there[0], prompts, settings, now) if there else None
            if there and why is None and sheet and maps != there[0]:
                why = "its word maps are not there"
            if there and why is None:
                self.kept += 1
                return {**_record(name, result, image, *there, seconds=0.0), "kept": True}
            if why:
                say(f"{result} is made again: {why}.")
            items = pipe.stream(name, prompts, settings, recorder=recorder)
            restored = result_of(items, self.progress.step)
            recipe = restored.recipe.with_provenance(brought)
            seconds = restored.seconds
            record = _record(name, result, image, recipe, restored.image, seconds=seconds)
        for note in restored.notes:
            say(f"{name}: {note}")
        with whole_file(result) as part:
            save_png(restored.image, recipe, part)
            if there is None and earlier(result, image):  # several runs may write to one folder
                say(f"{result} was made by another run meanwhile and is replaced.")
        if recorder is not None and sheet is not None:
            try:
                _save_maps(recorder.maps, restored.image, recipe, sheet)
            except XPSRError as error:
                self._full = error if isinstance(error, DiskFullError) else None
                return {**record, "error": str(error)}
        return record

    def _recorder(self) -> WordRecorder | None:
        if self.word_maps is None:
            return None
        from xpsr.wordmaps import WordRecorder

        return WordRecorder()

    def _chosen(
        self, image: Image.Image, pipe: XPSRPipeline
    ) -> tuple[Prompts, Settings, dict[str, tuple[Sentence, ...]]]:
        """Texts and settings for a picture, and who wrote each sentence."""
        preset = self.preset or pipe.config.default_preset
        settings = Settings.from_preset(preset, **self.changes)
        given = {name: text for name, text in self.texts.items() if text is not None}
        texts, brought = given, from_preset(preset)
        if said := described(self.author, image, given, pipe, settings):
            origin = Origin.of_source(said.source)
            texts = {**said.texts, **given}
            brought |= {name: written(text, origin) for name, text in said.texts.items()}
        prompts = Prompts.from_preset(preset, **texts)
        left = {name: sentences for name, sentences in brought.items() if name not in given}
        return prompts, settings, trace_all(prompts, left)


def _save_maps(maps: WordMaps, result: Image.Image, recipe: Recipe, place: Path) -> None:
    from xpsr.wordmaps import sheet

    with whole_file(place.with_suffix(".npz")) as part:
        maps.save(part, recipe.to_json())
    with whole_file(place) as part:
        sheet(result, maps, part)


def _record(
    name: str,
    result: Path,
    image: Image.Image,
    recipe: Recipe,
    made: Image.Image,
    *,
    seconds: float,
) -> dict[str, Any]:
    from xpsr.metrics import score

    return {
        "input": name,
        "output": str(result),
        "seconds": round(seconds, 3),
        "seed": recipe.seed,
        "sha256": recipe.output_sha256,
        **score_entries(score(made, input=image)),
    }
