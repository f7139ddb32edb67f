"""The engine of ablation on a small pipeline: the same pixels as alone, once each, resumable."""

from __future__ import annotations

import csv
import errno
import io
import json
import random
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from xpsr.ablation import CellResult, CellStep, Experiment, Plan, Variant, effects, plans
from xpsr.ablation.cost import Pace, measure
from xpsr.ablation.export import effects_csv, tables, write
from xpsr.ablation.folder import CellFolder
from xpsr.ablation.report import Subject, render
from xpsr.ablation.run import CellsLostError
from xpsr.ablation.statistics import change_by_seed, changes
from xpsr.ablation.views import figure
from xpsr.errors import XPSRError
from xpsr.prompts import Prompts
from xpsr.recipe import read_recipe
from xpsr.settings import Settings

PROMPTS = Prompts(prompt="A cat. A dog.", lowlevel_prompt="Blurry. Noisy.")
SETTINGS = Settings(num_inference_steps=2, upscale=2, process_size=0, scheduler="ddim")
SEEDS = (5, 6)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def experiment(tiny_pipeline, picture):
    def make(plan: Plan, folder: Path | None = None, **more) -> Experiment:
        kept = CellFolder(folder, [one.name for one in plan.variants]) if folder else None
        return Experiment(tiny_pipeline, picture(24, 20), plan, folder=kept, **more)

    return make


def run(experiment: Experiment) -> list[CellResult]:
    return [item for item in experiment.run() if isinstance(item, CellResult)]


def hashes(results: list[CellResult]) -> dict[tuple[int, int], str]:
    return {(r.cell.variant, r.cell.seed): r.recipe.output_sha256 for r in results if r.recipe}


def test_both_levels_are_a_normal_run_bit_for_bit(experiment, tiny_pipeline, picture) -> None:
    found = hashes(run(experiment(plans.levels(PROMPTS, SETTINGS, SEEDS))))
    for seed in SEEDS:
        alone = tiny_pipeline(
            picture(24, 20),
            PROMPTS.prompt,
            PROMPTS.lowlevel_prompt,
            preset="official",
            num_inference_steps=2,
            upscale=2,
            process_size=0,
            scheduler="ddim",
            seed=seed,
        )
        assert found[0, seed] == alone.recipe.output_sha256
    assert len(set(found.values())) == 8  # every level, and every seed, changes the picture


def test_order_of_cells_changes_nothing(experiment, monkeypatch) -> None:
    plan = plans.levels(PROMPTS, SETTINGS, SEEDS)
    straight = run(experiment(plan))
    cells = list(plan.cells())
    random.Random(0).shuffle(cells)
    monkeypatch.setattr(Plan, "cells", lambda self: iter(cells))
    shuffled = run(experiment(plan))
    assert [r.cell for r in shuffled] == cells
    assert hashes(straight) == hashes(shuffled)
    assert effects(plan, straight) == effects(plan, shuffled)


def test_identical_prompts_have_no_effect(experiment) -> None:
    same = tuple(Variant(name, PROMPTS, SETTINGS) for name in ("full prompt", "the same"))
    results = run(experiment(Plan("own", same, SEEDS)))
    assert [r.origin for r in results] == ["computed", "shared"] * 2
    found = effects(Plan("own", same, SEEDS), results)
    assert found
    assert all(one.mean == 0 and one.inside_floor and not one.clear for one in found)


def test_seeds_that_change_nothing_are_one_observation(experiment, monkeypatch) -> None:
    """Without any noise four seeds are the same picture four times, and not four opinions."""
    settings = SETTINGS.changed(start="lr_bare", num_inference_steps=1)
    plan = plans.swap(PROMPTS, settings, (5, 6, 7, 8))
    # The tiny autoencoder draws from its distribution; that of the embedded model has no spread.
    monkeypatch.setattr("xpsr.pipeline.draw", lambda vae, found, noise: found[0])
    tried = experiment(plan)
    results = run(tried)
    assert len(set(hashes(results).values())) == 3
    found = effects(plan, results)
    assert found and {(one.pairs, one.interval, one.floor) for one in found} == {(1, None, None)}
    assert not any(one.clear for one in found) and "all alike" in found[0].verdict
    page = render(plan, results, Subject("x.png", tried.image, "tiny"))
    assert "All seeds give the same pictures" in page and "start is lr_bare" in page


def test_change_is_measured_beside_what_another_seed_changes(experiment) -> None:
    """Root mean square of levels, pair by pair in any order, with a floor of its own."""
    plan = plans.levels(PROMPTS, SETTINGS, (5, 6, 7))
    results = run(experiment(plan))
    levels = {(r.cell.variant, r.cell.seed): np.asarray(r.picture(), float) for r in results}

    def apart(one: tuple[int, int], other: tuple[int, int]) -> float:
        return float(np.sqrt(np.mean((levels[one] - levels[other]) ** 2)))

    means = {v: np.mean([apart((0, s), (v, s)) for s in plan.seeds]) for v in (1, 2, 3)}
    by_seed = np.mean([apart((0, 5), (0, 6)), apart((0, 6), (0, 7))])
    for order in (results, results[::-1]):
        assert changes(order) == pytest.approx(means)
        assert change_by_seed(order) == pytest.approx(by_seed)
    assert change_by_seed([r for r in results if r.cell.seed == 5]) is None
    rows = list(csv.DictReader(io.StringIO(effects_csv(plan, results))))
    assert float(rows[0]["change_rms_of_255"]) == pytest.approx(means[1])
    assert float(rows[0]["change_by_seed_rms_of_255"]) == pytest.approx(by_seed)


def test_equal_cells_are_computed_once(experiment, monkeypatch) -> None:
    runs = []
    plan = plans.levels(replace(PROMPTS, lowlevel_prompt=""), SETTINGS, SEEDS)
    tried = experiment(plan)
    stream = tried.pipe.stream
    monkeypatch.setattr(tried.pipe, "stream", lambda *a: runs.append(a[1:3]) or stream(*a))
    assert len(run(tried)) == 8
    assert len(runs) == len(set(runs)) == 4


def test_what_cells_have_in_common_is_computed_once(experiment, monkeypatch) -> None:
    """The picture's embedding and its latents once; each pair of texts once, whatever the seed."""
    import xpsr.pipeline as pipeline

    counts = {"Hints": 0, "distribution": 0, "encode_texts": 0}

    def counted(name: str):
        real = getattr(pipeline, name)

        def call(*args, **named):
            counts[name] += 1
            return real(*args, **named)

        return call

    for name in counts:
        monkeypatch.setattr(pipeline, name, counted(name))
    run(experiment(plans.levels(PROMPTS, SETTINGS, SEEDS)))
    # content, quality, and each of them empty
    assert counts == {"Hints": 1, "distribution": 1, "encode_texts": 4}


def test_steps_stream_and_closing_keeps_what_is_finished(experiment, tmp_path: Path) -> None:
    plan = plans.levels(PROMPTS, SETTINGS, SEEDS)
    items = experiment(plan, tmp_path).run()
    seen = [next(items) for _ in range(4)]
    assert [type(one) for one in seen] == [CellStep, CellStep, CellResult, CellStep]
    items.close()
    assert len(list((tmp_path / "cells").glob("*.png"))) == 1
    again = run(experiment(plan, tmp_path))
    assert [r.origin for r in again] == ["resumed"] + ["computed"] * 7
    assert hashes(again) == hashes(run(experiment(plan)))
    third = run(experiment(plan, tmp_path))
    assert {r.origin for r in third} == {"resumed"}
    assert effects(plan, third) == effects(plan, again)


def test_what_would_not_come_out_the_same_is_computed_again(experiment, tmp_path: Path) -> None:
    plan = plans.swap(PROMPTS, SETTINGS, (5,))
    first = run(experiment(plan, tmp_path))
    paths = [r.path for r in first]
    paths[0].write_bytes(paths[0].read_bytes()[:500])  # a disk that was full
    pixels = Image.open(paths[1]).convert("RGB")
    pixels.putpixel((0, 0), (1, 2, 3))
    from xpsr.recipe import save_png

    save_png(pixels, read_recipe(paths[1]), paths[1])  # touched by another program
    again = run(experiment(plan, tmp_path))
    assert [r.origin for r in again] == ["computed", "computed", "resumed"]
    assert hashes(again) == hashes(first)


def test_a_damaged_input_beside_the_cells_is_written_anew(tmp_path: Path, picture) -> None:
    folder, image = CellFolder(tmp_path, []), picture(20, 18)
    folder.keep_input(image)
    kept = tmp_path / "cells" / "input.png"
    kept.write_bytes(b"half a picture")
    folder.keep_input(image)
    with Image.open(kept) as again:
        assert again.tobytes() == image.tobytes()


def test_scores_against_another_reference_are_asked_again(
    experiment, picture, tmp_path: Path
) -> None:
    plan = plans.swap(PROMPTS, SETTINGS, (5,))
    one, other = picture(48, 40), picture(48, 40).point(lambda v: 255 - v)

    def scored(folder: Path, **more) -> list[dict[str, float | None]]:
        results = run(experiment(plan, folder, **more))
        assert folder != tmp_path or {r.origin for r in results} <= origins
        return [{name: found.value for name, found in r.scores.items()} for r in results]

    origins = {"computed"}
    first = scored(tmp_path, reference=one)
    origins = {"resumed"}
    assert scored(tmp_path, reference=one) == first
    fresh = scored(tmp_path / "fresh", reference=other)
    assert scored(tmp_path, reference=other) == fresh != first
    assert scored(tmp_path, reference=other) == fresh  # from the folder
    assert all("psnr" not in scores and "piqe" in scores for scores in scored(tmp_path))

    # Before it was written down, nobody knew against what the scores were.
    lines = (tmp_path / "cells" / "cells.jsonl").read_text("utf-8").splitlines()
    older = [json.loads(line) for line in lines]
    for line in older:
        del line["reference_sha256"]
    (tmp_path / "cells" / "cells.jsonl").write_text("\n".join(map(json.dumps, older)) + "\n")
    assert scored(tmp_path, reference=one) == first

    # A stop came between a picture and its scores: those that are there are of the one before.
    for line in older:
        line["output_sha256"], line["scores"]["piqe"] = "0" * 64, 1.0
    (tmp_path / "cells" / "cells.jsonl").write_text("\n".join(map(json.dumps, older)) + "\n")
    assert scored(tmp_path, reference=one) == first


def test_a_folder_is_of_one_picture_and_one_model(experiment, tmp_path: Path) -> None:
    """Other cells would be written over those that are there."""
    plan = plans.swap(PROMPTS, SETTINGS, (5,))
    made = experiment(plan, tmp_path)
    assert made.folder.check(made.pipe, made.image) == []
    nobody = None  # the pipeline is not asked for what is not there
    assert all(made.folder.find(cell, nobody, made.image) is None for cell in plan.cells())
    run(made)
    assert made.folder.check(made.pipe, made.image) == []
    with pytest.raises(XPSRError, match="of another picture; choose another --out"):
        made.folder.check(made.pipe, Image.new("RGB", (24, 20)))

    class Other:
        label = "other"

        def __init__(self, **own) -> None:
            self.own = own

        def surroundings(self) -> dict:
            return {**made.pipe.surroundings(), **self.own}

    with pytest.raises(XPSRError, match="with another model .* now other"):
        made.folder.check(Other(model="other"), made.image)
    (said,) = made.folder.check(Other(threads=64), made.image)
    assert "computed again: threads was 1 and is 64" in said
    # What another machine made is not taken for this one's.
    assert made.folder.find(next(plan.cells()), Other(threads=64), made.image) is None


def test_a_full_disk_ends_the_run_and_keeps_what_is_finished(
    experiment, tmp_path: Path, monkeypatch
) -> None:
    from xpsr.ablation import folder

    real, written = folder.save_png, []

    def save_png(image, recipe, path) -> None:
        if len(written) == 2:
            path.write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(path)
        real(image, recipe, path)

    monkeypatch.setattr(folder, "save_png", save_png)
    plan = plans.swap(PROMPTS, SETTINGS, (5,))
    seen = []
    with pytest.raises(CellsLostError, match="No space left on device; choose another --out"):
        seen.extend(item for item in experiment(plan, tmp_path).run())
    assert len([one for one in seen if isinstance(one, CellResult)]) == 2
    assert len(list((tmp_path / "cells").iterdir())) == 3  # two pictures, and their scores
    monkeypatch.setattr(folder, "save_png", real)
    assert [r.origin for r in run(experiment(plan, tmp_path))] == ["resumed"] * 2 + ["computed"]


def test_a_cell_that_fails_leaves_the_others(experiment) -> None:
    bad = SETTINGS.changed(num_inference_steps=1000, scheduler="ddim", upscale=8)
    broken = replace(bad, process_size=4096, tile_size=0)
    variants = (Variant("full prompt", PROMPTS, SETTINGS), Variant("huge", PROMPTS, broken))
    plan = Plan("own", variants, SEEDS)
    made = experiment(plan)
    made.image = made.image.resize((16, 1600))
    made.plan = replace(plan, variants=(variants[0], Variant("huge", PROMPTS, broken)))
    results = run(made)
    assert [r.origin for r in results] == ["computed", "failed"] * 2
    assert "process_size" in results[1].error
    assert effects(plan, results) == []
    page = render(plan, results, Subject("x.png", made.image, "tiny"))
    assert "process_size" in page


def test_cost_is_measured_and_counts_what_is_left(experiment, tmp_path: Path) -> None:
    plan = plans.levels(PROMPTS, SETTINGS, SEEDS)
    tried = experiment(plan, tmp_path)
    cost = measure(tried)
    assert (cost.cells, cost.to_do) == (8, 8)
    assert 0 < cost.step_seconds < cost.seconds
    assert "8 cells" in str(cost) and "a step, measured" in str(cost)
    results = run(tried)
    assert sum(r.origin == "computed" for r in results) == 8
    assert measure(experiment(plan, tmp_path)).to_do == 0
    assert "nothing to compute" in str(measure(experiment(plan, tmp_path)))
    more = Variant("more", PROMPTS, SETTINGS.changed(upscale=3))
    longer = replace(plan, variants=(*plan.variants, more))
    assert measure(experiment(longer, tmp_path)).to_do == 2


def test_the_estimate_knows_guidance_tiles_and_working_size() -> None:
    settings = Settings(num_inference_steps=4, guidance_scale=1.0, upscale=2, process_size=0)
    pace = Pace(2.0, 3.0, (100, 80), settings)

    def seconds(**changes) -> float:
        return pace.seconds(settings.changed(**changes))

    assert seconds() == 4 * 2.0 + 3.0
    assert seconds(num_inference_steps=1) == 2.0 + 3.0
    assert seconds(guidance_scale=2.0) == 8 * 2.0 + 3.0
    assert seconds(process_size=320) == 4 * 4 * 2.0 + 4 * 3.0  # twice as high and wide
    assert seconds(tile_size=100, tile_overlap=0) == pytest.approx(4 * 2.0 * 4e4 / 3.2e4 + 3.0)
    assert replace(pace, size=(4000, 3000)).seconds(settings.changed(upscale=8)) == 0.0  # refused


def test_unknown_score_is_refused(experiment) -> None:
    with pytest.raises(XPSRError, match="beauty"):
        experiment(plans.swap(PROMPTS, SETTINGS, SEEDS), metrics=["beauty"])


HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)> {{ 7*7 }} \" ' & .. "


def test_hostile_text_stays_text(experiment) -> None:
    hostile = replace(PROMPTS, prompt=HOSTILE)
    plan = plans.drop("sentence", hostile, SETTINGS, SEEDS)
    made = experiment(plan)
    page = render(plan, run(made), Subject(HOSTILE + ".png", made.image, HOSTILE, HOSTILE))
    assert page.count("<script>") == page.count("</script>") == 1  # our own
    assert "<img src=x" not in page and "49" not in page.split("<style>")[0]
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page and "{{ 7*7 }}" in page


def test_figures_have_the_decimals_they_bear() -> None:
    shown = [figure(one, sign=True) for one in (-0.00001, 0.0, 0.05, -1.23456, 31.956, None)]
    assert shown == ["0.0000", "0.0000", "+0.0500", "\N{MINUS SIGN}1.235", "+31.96", "–"]
    assert figure(0.5) == "0.500"


def test_report_needs_no_network(experiment) -> None:
    plan = plans.levels(PROMPTS, SETTINGS, SEEDS)
    made = experiment(plan)
    page = render(plan, run(made), Subject("a.png", made.image, "mini"))
    assert "http://" not in page and "https://" not in page and "//cdn" not in page
    assert "url(" not in page and "@import" not in page and "<link" not in page
    assert "default-src 'none'" in page
    assert page.count('class="cell"') == 8


def test_zip_holds_everything_and_reruns(experiment, tmp_path: Path, tiny_pipeline) -> None:
    plan = plans.swap(replace(PROMPTS, prompt="=1+1"), SETTINGS, SEEDS)
    made = experiment(plan, tmp_path)
    made.folder.keep_input(made.image)
    results = run(made)
    write(tmp_path, plan, results, Subject("a.png", made.image, "tiny"))
    with zipfile.ZipFile(tmp_path / "ablation.zip") as archive:
        assert archive.testzip() is None
        names = set(archive.namelist())
        pictures = [name for name in names if name.endswith(".png") and "input" not in name]
        assert len(pictures) == 6
        assert {"report.html", "scores.csv", "effects.csv", "environment.json"} <= names
        assert "'=1+1" in archive.read("scores.csv").decode()  # no formula for a spreadsheet
        archive.extract(pictures[0], tmp_path / "elsewhere")
        given = Image.open(io.BytesIO(archive.read("cells/input.png")))
    recipe = read_recipe(tmp_path / "elsewhere" / pictures[0])
    *_, again = tiny_pipeline.stream(given, recipe.prompts, recipe.settings)
    assert again.recipe.output_sha256 == recipe.output_sha256


def test_results_in_memory_can_be_exported_too(experiment) -> None:
    from xpsr.ablation.export import pack

    plan = plans.swap(PROMPTS, SETTINGS, (5,))
    made = experiment(plan)
    results = run(made)
    subject = Subject("a.png", made.image, "tiny")
    data = io.BytesIO()
    pack(data, tables(plan, results, subject), results, subject)
    with zipfile.ZipFile(data) as archive:
        assert "cells/variant1-seed5.png" in archive.namelist()
        assert b"variant1-seed5.png" in archive.read("scores.csv")
