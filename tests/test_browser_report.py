"""The report of an ablation in Chromium, from the disk, with no network: hostile, large, small."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from browsing import NEEDS_BROWSER, expect

from xpsr.ablation import CellResult, Experiment, Plan, Variant
from xpsr.ablation.report import Subject, render
from xpsr.metrics import Score
from xpsr.prompts import Prompts
from xpsr.settings import Settings

pytestmark = NEEDS_BROWSER

HOSTILE = "</script><script>bad = 1</script><img src=http://x.invalid/ onerror='bad=1'>{{ 7 }}\"&' "
SETTINGS = Settings(num_inference_steps=1, upscale=2, process_size=0, scheduler="ddim")
SEEDS = (1, 2, 3, 4)


@pytest.fixture(scope="module")
def report(tiny_pipeline, picture, tmp_path_factory) -> Path:
    """A hundred cells with markup in every text; the pictures are one, for the time's sake."""
    texts = Prompts(HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE)
    variants = [Variant(f"{number} {HOSTILE}", texts, SETTINGS) for number in range(25)]
    plan = Plan(HOSTILE, tuple(variants), SEEDS, notes=(HOSTILE,))
    image = picture(24, 20)
    cells = list(plan.cells())
    *_, one = Experiment(tiny_pipeline, image, plan).compute(cells[0])
    results: list[CellResult] = []
    for cell in cells:
        luck = cell.seed + 0.1 * (cell.variant * cell.seed % 3)
        scores = {
            "piqe": Score(50 - luck - (20 if cell.variant == 3 else 0)),
            "backprojection": Score(None, HOSTILE),
        }
        recipe = one.recipe.model_copy(update={"output_sha256": f"{len(results):064x}"})
        results.append(replace(one, cell=cell, scores=scores, recipe=recipe))
    results[-1] = CellResult(cells[-1], None, {}, 0.0, "failed", error=HOSTILE)
    page = render(plan, results, Subject(HOSTILE, image, HOSTILE, HOSTILE))
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(page, encoding="utf-8")
    return path


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_it_opens_from_the_disk_alone(browser, report: Path, width: int, scheme: str) -> None:
    context = browser.new_context(
        viewport={"width": width, "height": 844}, color_scheme=scheme, offline=True
    )
    page = context.new_page()
    asked, said = [], []
    page.on("request", lambda one: asked.append(one.url))
    page.on("console", lambda one: said.append(one.text))
    page.on("pageerror", lambda one: said.append(str(one)))
    page.goto(report.as_uri())
    expect(page.locator("button.cell")).to_have_count(99)
    expect(page.locator(".problem")).to_contain_text("<script>bad = 1</script>")
    assert page.evaluate("typeof bad") == "undefined"
    assert [url for url in asked if not url.startswith("data:")] == [report.as_uri()]
    assert said == []
    assert page.evaluate("document.documentElement.scrollWidth") == width
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(22, 24, 27)"
    assert dark == (scheme == "dark")
    # The one planted effect, and nothing else, has a colour.
    expect(page.locator("tr.better")).to_have_count(1)
    expect(page.locator("tr.better th")).to_contain_text("3 </script>")
    expect(page.locator("tr.worse")).to_have_count(0)

    # Without a mouse: the slider, then a picture.
    slide = page.locator("#slide")
    slide.focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("#stage").evaluate("one => one.style.getPropertyValue('--cut')") == "51%"
    page.locator("button.cell").nth(13).focus()
    page.keyboard.press("Enter")
    expect(page.locator("#right-name")).to_contain_text("3 </script>")
    assert page.locator("#seed").input_value() == "2"
    expect(page.locator("#compare-title")).to_be_in_viewport()
    context.close()
