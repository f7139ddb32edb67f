"""The named endpoints: describe, restore, score, count_tokens.

From Python:

```python
from gradio_client import Client, handle_file

client = Client("http://127.0.0.1:7860")
words = client.predict(image=handle_file("photo.jpg"), api_name="/describe")
picture, facts = client.predict(
    image=handle_file("photo.jpg"), prompt=words["high"], lowlevel_prompt=words["low"],
    seed=7, api_name="/restore",
)
```
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from inspect import signature
from typing import TYPE_CHECKING, Any

import gradio as gr
from gradio.utils import get_function_description

from xpsr.errors import XPSRError
from xpsr.prompts import PROMPT_NAMES, Prompts
from xpsr.settings import CHOICES, PRESETS, SETTING_NAMES, Settings

from .. import texts, words
from ..incoming import open_picture, picture_title, plain_errors
from ..models.engine import is_progress, is_result, is_step
from ..models.waiting import sign
from ..results import scores
from ..results.outputs import Run
from ..services import Services
from ..triggers import QUEUE
from . import asked

if TYPE_CHECKING:
    from xpsr.image import Photo
    from xpsr.sampling import Step, TileDone


class Endpoints:
    """The public functions of one studio; their names and arguments are its interface."""

    def __init__(self, services: Services) -> None:
        self.engine, self.outputs = services.engine, services.outputs

    def describe(self, image: Any) -> dict[str, str]:
        """Describe a low-quality picture in two texts.

        Args:
            image: the picture file; over MCP its http(s) or data: address.

        Returns:
            {"high": what is in it, "low": what is wrong with it, "source": who says so}.
        """
        with plain_errors():
            said = self.engine.describe(_opened(image).image)
            return {"high": said.high, "low": said.low, "source": said.source}

    def restore(
        self,
        image: Any,
        prompt: str | None = "",
        lowlevel_prompt: str | None = "",
        negative_prompt: str | None = None,
        lowlevel_negative_prompt: str | None = None,
        added_prompt: str | None = None,
        preset: str | None = None,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        controlnet_conditioning_scale: float | None = None,
        upscale: int | None = None,
        seed: int | None = None,
        scheduler: str | None = None,
        start: str | None = None,
        added_noise_level: int | None = None,
        negative: str | None = None,
        process_size: int | None = None,
        tile_size: int | None = None,
        tile_overlap: int | None = None,
        color_fix: str | None = None,
        long_prompts: str | None = None,
        added_position: str | None = None,
        lowlevel_route: str | None = None,
    ) -> Iterator[tuple[str | None, dict[str, Any]]]:
        """Restore a picture. Whatever is left out comes from the preset.

        It answers more than once: (None, {"step", "steps", "seconds_left"}) after each step, with
        {"tile", "tiles"} also between the tiles of one, and (None, {"status"}) while it waits; the
        last answer is the result.

        Args:
            image: the picture file, from 16 x 16 pixels; over MCP its http(s) or data: address.
            prompt: what is in the picture.
            lowlevel_prompt: what is wrong with it: blur, noise, compression.
            negative_prompt: what the content is steered away from.
            lowlevel_negative_prompt: what the faults are steered away from.
            added_prompt: words put behind `prompt`, or before it.
            preset: mini, faithful, official, paper, fast or seesr; left out, the one of the model.
            num_inference_steps: 1..1000.
            guidance_scale: weight of the texts, 0..30.
            controlnet_conditioning_scale: weight of the picture, 0..4.
            upscale: whole factor, 1..8.
            seed: 0..4294967295.
            scheduler: ddpm, ddim, dpm++ or unipc.
            start: noise, lr, lr_last, lr_twice or lr_bare.
            added_noise_level: training timestep of the second noise of lr_twice, 0..999.
            negative: "both" texts have a negative, or only the "high" one.
            process_size: least short side of the working picture, in pixels; 0 for none.
            tile_size: side of the tiles, in pixels, 64 or more; 0 for none.
            tile_overlap: what neighbouring tiles share, in pixels.
            color_fix: none, adain or wavelet.
            long_prompts: for more than 75 tokens: truncate, protect, or chunk (beyond training).
            added_position: suffix or prefix.
            lowlevel_route: lowlevel or (experimental) content.

        Returns:
            The PNG, which carries its recipe, and {"recipe", "sha256", "seed", "scores", …}.
        """
        given = dict(locals())
        with plain_errors():
            asked.check(asked.Restore, {n: given[n] for n in asked.Restore.model_fields})
            preset = preset or self.engine.default_preset()
            prompts = Prompts.from_preset(preset, **{n: given[n] for n in PROMPT_NAMES})
            # An empty choice means the same as one that was left out.
            settings = Settings.from_preset(
                preset, **{n: None if given[n] == "" else given[n] for n in SETTING_NAMES}
            )
            yield from self._restoring(image, preset, prompts, settings)

    def _restoring(
        self, payload: Any, preset: str, prompts: Prompts, settings: Settings
    ) -> Iterator[Any]:
        photo = _opened(payload)
        for item in self.engine.stream(photo.image, prompts, settings):
            if is_progress(item):
                yield None, _progress(item)
                continue
            if not is_result(item):
                yield None, {"status": sign(item)}
                continue
            kept = texts.with_origins(item, preset)
            run = self.outputs.keep(photo.image, kept, picture_title(payload))
            rows = scores.compare(photo.image, item.image, scores.shown_metrics())
            run = self.outputs.add_scores(run, rows)
            yield str(run.after), _facts(run, photo.notes)

    def score(
        self, image: Any, reference: Any = None, input: Any = None, metrics: str | None = None
    ) -> dict[str, Any]:
        """Score a picture.

        Args:
            image: the picture file; over MCP its http(s) or data: address.
            reference: the true picture, of the same size, for scores that compare.
            input: the small picture that `image` was made from, for the back-projection.
            metrics: names with commas between them; left out, all that need no download.

        Returns:
            {name: score or null}, and under "reasons" why a score is null.
        """
        with plain_errors():
            asked.check(asked.Score, {"metrics": metrics})
            from xpsr import metrics as measure

            names = [name.strip() for name in (metrics or "").split(",") if name.strip()]
            if metrics and not names:
                raise XPSRError(words.NO_METRIC_NAMED)
            found = measure.score(
                _opened(image).image,
                reference=open_picture(reference).image if reference else None,
                input=open_picture(input).image if input else None,
                metrics=names or None,
            )
            missing = measure.reasons(found)
            return {**measure.to_json(found), **({"reasons": missing} if missing else {})}

    def count_tokens(
        self,
        text: str,
        added_prompt: str | None = "",
        long_prompts: str | None = None,
        added_position: str | None = None,
    ) -> dict[str, Any]:
        """Count how much of a text the model reads, as the page and a run do.

        Args:
            text: any text.
            added_prompt: words put behind it, or before it.
            long_prompts: truncate, protect or chunk; left out: truncate.
            added_position: suffix or prefix; left out: suffix.

        Returns:
            {"used", "room", "lost": tokens, "kept", "cut", "sent": texts, "summary": in words}.
        """
        given = {k: v for k, v in locals().items() if k != "self"}
        with plain_errors():
            asked.check(asked.CountTokens, given)
            try:
                prompts = Prompts(prompt=text, added_prompt=added_prompt or "")
            except XPSRError as error:
                raise XPSRError(re.sub("^prompt ", "text ", str(error))) from error
            settings = Settings().changed(
                long_prompts=long_prompts or None, added_position=added_position or None
            )
            high = self.engine.assemble(prompts, settings).high
            names = ("used", "room", "lost", "kept", "cut", "sent")
            summary = f"{high.figures}: {high.cut.strip()}" if high.lost else high.figures
            return {**{name: getattr(high, name) for name in names}, "summary": summary}


def _opened(image: Any) -> Photo:
    """The picture that a script sends; the page would speak of its own fields."""
    if image is None:
        raise XPSRError(words.NO_IMAGE)
    return open_picture(image)


def _progress(item: Step | TileDone) -> dict[str, Any]:
    said = {"step": int(item.done), "steps": item.total, "seconds_left": item.seconds_left}
    return said if is_step(item) else {**said, "tile": item.tile, "tiles": item.tiles}


def _facts(run: Run, notes: tuple[str, ...]) -> dict:
    return {
        "recipe": json.loads(run.recipe.to_json()),
        "sha256": run.recipe.output_sha256,
        "seed": run.recipe.seed,
        "size": list(run.recipe.output_size),
        "seconds": round(run.seconds, 3),
        "notes": list(dict.fromkeys([*notes, *run.notes])),
        "scores": {
            row.name: {"before": row.before.value, "after": row.after.value} for row in run.rows
        },
    }


def publish(endpoints: Endpoints) -> None:
    """Register the endpoints, inside the present `gr.Blocks`.

    They get real components, though invisible ones, and not `gr.api`: that makes the page
    "Use via API" write `handle_file(...)` for pictures, and Gradio check that they are uploads.
    """
    with gr.Column(visible=False):
        facts = gr.JSON(label="Facts")
        _endpoint(endpoints.describe, [_file("Image")], facts)
        result = [gr.Image(label="Restored picture", format="png", type="filepath"), facts]
        form = [_file("Image"), *_form()]
        _endpoint(endpoints.restore, form, result, concurrency_id=QUEUE, concurrency_limit=1)
        pictures = [_file("Image"), _file("Reference"), _file("Input")]
        _endpoint(endpoints.score, [*pictures, gr.Textbox(label="Metrics")], facts)
        counted = [gr.Textbox(label="Text"), gr.Textbox("", label="added_prompt")]
        counted += [_setting("long_prompts"), _setting("added_position")]
        # In the queue, though quick: over MCP it then answers as the others do.
        _endpoint(endpoints.count_tokens, counted, facts, concurrency_limit=None)


def _endpoint(fn: Any, inputs: list, outputs: Any, **how: Any) -> None:
    # "Use via API" shows labels, so what an argument means stands there as well.
    about = get_function_description(fn)[1]
    for name, component in zip(signature(fn).parameters, inputs, strict=True):
        component.label = about.get(name, name)
    # Values arrive as they were sent: xpsr opens pictures and checks numbers by itself.
    gr.Button(visible=False).click(
        fn, inputs, outputs, api_name=fn.__name__, preprocess=False, **how
    )


def _file(label: str) -> gr.Image:
    return gr.Image(label=label, type="filepath", image_mode=None)


def _form() -> list[Any]:
    """Components in the order of the arguments of `Endpoints.restore` behind the picture."""
    main = [gr.Textbox("", label=name) for name in PROMPT_NAMES[:2]]
    others = [gr.Textbox(label=name) for name in PROMPT_NAMES[2:]]
    preset = gr.Dropdown(list(PRESETS), value=None, label="preset")
    return [*main, *others, preset, *map(_setting, SETTING_NAMES)]


def _setting(name: str) -> Any:
    if name in CHOICES:
        return gr.Dropdown(list(CHOICES[name]), value=None, label=name)
    return gr.Number(None, label=name)
