"""The whole way from a picture and texts to the restored picture, as a diffusers pipeline."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from diffusers import AutoencoderKL, AutoencoderTiny, DiffusionPipeline, SchedulerMixin
from diffusers.loaders import StableDiffusionLoraLoaderMixin
from diffusers.utils import BaseOutput
from PIL import Image
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

from xpsr import models
from xpsr.arguments import one_each, texts_and_settings, usable
from xpsr.autoencoder import decode, distribution, draw
from xpsr.errors import XPSRError
from xpsr.frame import Frame, make_frame
from xpsr.guidance import pair
from xpsr.image import Source, open_image, pixel_sha256
from xpsr.placement import hardware, telling_of_memory, threads
from xpsr.preview import Preview
from xpsr.prompts import Prompts
from xpsr.prompts.text import EncoderTexts, assemble, cut_notes, encode_texts
from xpsr.recipe import Recipe, Versions, model_label
from xpsr.revision import ModelSource
from xpsr.sampling import (
    Conditions,
    Denoiser,
    Hints,
    Step,
    TileDone,
    base_latent,
    denoise,
    unwatched,
)
from xpsr.schedule import Noise, Solver, start_latents
from xpsr.settings import CHOICES, Settings
from xpsr.shared import Shared
from xpsr.tiling import Blend, cover

if TYPE_CHECKING:
    from xpsr.wordmaps import WordMaps, WordRecorder

TOO_LARGE = (
    "There is not enough memory for this picture; choose a smaller upscale or tile_size, "
    "or another device."
)
LORA = "A LoRA was loaded, which the recipe does not hold: without it the pixels are others."

logger = logging.getLogger(__name__)


@dataclass
class XPSROutput(BaseOutput):
    """What a call gives: the restored pictures and the record of each."""

    images: list[Image.Image]
    recipes: list[Recipe]

    @property
    def recipe(self) -> Recipe:
        """The record of the first picture."""
        return self.recipes[0]


@dataclass(frozen=True)
class Restored:
    """The last thing that `XPSRPipeline.stream` yields.

    Attributes:
        image: the result.
        recipe: how it was made.
        seconds: from the input to the result.
        notes: sentences for the user, also in the recipe.
        word_maps: what the recorder saw, if there was one.
    """

    image: Image.Image
    recipe: Recipe
    seconds: float
    notes: tuple[str, ...]
    word_maps: WordMaps | None = None


def result_of(
    items: Iterable[Step | TileDone | Restored],
    watch: Callable[[Step | TileDone], object] | None = None,
) -> Restored:
    """Walk `XPSRPipeline.stream` to its end; `watch` is shown what comes before the result."""
    for item in items:
        if isinstance(item, Restored):
            return item
        if watch is not None:
            watch(item)
    raise AssertionError("the pipeline ended without a result")


@dataclass(frozen=True, eq=False)
class Run:
    """What is settled of a run before a network works."""

    settings: Settings
    image: Image.Image
    frame: Frame
    texts: EncoderTexts
    blend: Blend
    solver: Solver
    noise: Noise
    shared: Shared


class XPSRPipeline(DiffusionPipeline, StableDiffusionLoraLoaderMixin):
    """Restores photographs with a ControlNet and a UNet that read two texts.

    `load_lora_weights` takes the LoRAs of the Stable Diffusion that the UNet was made from.

    Args:
        vae: pictures ⇄ latents.
        text_encoder, tokenizer: CLIP.
        unet, controlnet: the networks.
        scheduler: carries the noise schedule of the training; which solver walks it is a setting.
        residual_latents: the networks diffuse (clean latent - latent of what the ControlNet calls
            `degradation_free`); the latter is added again before decoding.
        default_preset: settings and texts of a call that names none.

    `XPSRPipeline.from_pipe(pipe)` makes another pipeline of the same parts. As with all pipelines
    of diffusers, `XPSRPipeline(**pipe.components)` forgets the last two arguments.
    """

    reads_lowlevel = True  # whether the quality text has a branch of its own
    # vae and controlnet work outside this order, before and beside the UNet
    model_cpu_offload_seq = "text_encoder->unet->vae"

    def __init__(
        self,
        vae: AutoencoderKL | AutoencoderTiny | models.PatchAutoencoder,
        text_encoder: CLIPTextModel,
        tokenizer: CLIPTokenizer,
        unet: models.XPSRUNet2DConditionModel | models.SeeSRUNet2DConditionModel,
        controlnet: models.XPSRControlNetModel | models.SeeSRControlNetModel,
        scheduler: SchedulerMixin,
        residual_latents: bool = False,
        default_preset: str = "official",
    ) -> None:
        super().__init__()
        if self.reads_lowlevel and isinstance(controlnet, models.SeeSRControlNetModel):
            raise XPSRError("These are the networks of a SeeSR: take xpsr.SeeSRPipeline for it.")
        self.register_modules(
            vae=vae,
            text_encoder=text_encoder,
            tokenizer=tokenizer,
            unet=unet,
            controlnet=controlnet,
            scheduler=scheduler,
        )
        self.register_to_config(residual_latents=residual_latents, default_preset=default_preset)
        if getattr(controlnet, "degradation_free_predictor", None) and not residual_latents:
            logger.warning(
                "This model diffuses what its ControlNet's prediction leaves out, and without "
                "residual_latents=True its results are wrong; XPSRPipeline.from_pipe keeps it."
            )
        self.model_name: str | None = None  # this and the next are set by `xpsr.load`
        self.source = ModelSource()
        self._trained_with = type(scheduler)

    @classmethod
    def from_pipe(cls, pipeline: DiffusionPipeline, **kwargs: Any) -> XPSRPipeline:
        """Another pipeline of the same parts, or with some replaced; see diffusers.

        Of the same parts it has the same name and weights in its recipes. The number format stays:
        diffusers would make it float32, and so that of `pipeline`, whose parts these are.
        """
        kwargs["dtype"] = kwargs.get("dtype") or kwargs.pop("torch_dtype", None) or pipeline.dtype
        made: Any = super().from_pipe(pipeline, **kwargs)
        if isinstance(pipeline, XPSRPipeline) and made.components == pipeline.components:
            made.model_name, made.source = pipeline.model_name, pipeline.source
        return made

    @property
    def label(self) -> str:
        """The name recipes give the model: set by `xpsr.load`, else that of its folder."""
        return model_label(str(self.model_name or self.name_or_path or "unnamed"))

    @property
    def _has_lora(self) -> bool:
        loaded = (hasattr(part, "peft_config") for part in (self.unet, self.text_encoder))
        return any(loaded) or self.num_fused_loras > 0

    def surroundings(self) -> dict[str, Any]:
        """With which weights, where and by which versions it runs, by the names of a recipe."""
        base, device = self.source.base, self._execution_device
        return {
            "model": self.label,
            "revision": None if self._has_lora else self.source.revision,
            "base": model_label(base) if base else None,
            "base_revision": self.source.base_revision,
            "device": device.type,
            "dtype": str(self.unet.dtype).removeprefix("torch."),
            "hardware": hardware(device),
            "threads": threads(device),
            "versions": Versions.here(),
        }

    def defaults(self, preset: str | None = None) -> tuple[Prompts, Settings]:
        """Texts and settings of a preset, or of the one this model is made for."""
        name = preset or self.config["default_preset"]
        return Prompts.from_preset(name), Settings.from_preset(name)

    def __call__(
        self,
        image: Source | Sequence[Source],
        prompt: str | Sequence[str] | None = None,
        lowlevel_prompt: str | Sequence[str] | None = None,
        *,
        preset: str | None = None,
        **changes: Any,
    ) -> XPSROutput:
        """Restore one picture or a list of them, each as if it were alone.

        Args:
            image: PIL image, file name, bytes or open file; or a list of these.
            prompt, lowlevel_prompt: content and quality, one text for all or one a picture.
            preset: where everything not given comes from; default: the model's own.
            **changes: any field of `Prompts` and `Settings`; None = the preset's.

        Raises:
            XPSRError: a picture that cannot be used, an unknown name or a value out of range.
        """
        images: list[Any] = list(image) if isinstance(image, (list, tuple)) else [image]
        if not images:
            raise XPSRError("There is no picture in the list; give at least one.")
        highs = one_each("prompt", prompt, len(images))
        lows = one_each("lowlevel_prompt", lowlevel_prompt, len(images))
        texts, numbers = texts_and_settings(changes)
        name = preset or self.config["default_preset"]
        settings = Settings.from_preset(name, **numbers)
        prompts = [
            Prompts.from_preset(name, prompt=high, lowlevel_prompt=low, **texts)
            for high, low in zip(highs, lows, strict=True)
        ]
        if len(images) > 1:
            images = [usable(one, settings) for one in images]
        results = [
            result_of(self.stream(one, said, settings))
            for one, said in zip(images, prompts, strict=True)
        ]
        return XPSROutput([one.image for one in results], [one.recipe for one in results])

    @torch.no_grad()
    def stream(
        self,
        image: Source,
        prompts: Prompts | None = None,
        settings: Settings | None = None,
        shared: Shared | None = None,
        recorder: WordRecorder | None = None,
    ) -> Generator[Step | TileDone | Restored, None, None]:
        """Restore one picture step by step; closing the iterator stops the work.

        Several threads may restore with one pipeline at once, unless diffusers' offloading moves
        its parts about.

        Args:
            image, prompts, settings: what to do; None = the defaults of the model.
            shared: carries what runs on the same picture have in common from one to the next.
            recorder: looks on, to draw word maps; the result stays the same bit for bit.

        Yields:
            a `Step` after every denoising step (`preview` shows it), a `TileDone` between the tiles
            of a picture that takes several, and last the `Restored`.

        Raises:
            NotEnoughMemoryError: the picture is too large for the memory.
            XPSRError: it cannot be used at all.
        """
        started = time.perf_counter()
        self._check_scheduler()
        default_prompts, default_settings = self.defaults()
        prompts, settings = prompts or default_prompts, settings or default_settings
        if not (isinstance(prompts, Prompts) and isinstance(settings, Settings)):
            raise XPSRError(
                "pipe.stream takes texts as xpsr.Prompts(...) and settings as xpsr.Settings(...)."
            )
        with telling_of_memory(TOO_LARGE):
            photo = open_image(image)
            run = self._plan(photo.image, prompts, settings, shared or Shared())
            try:
                conditions = self._conditions(run)
                base = yield from self._base(run, conditions)
                latents = self._start(run, conditions, base)
                predict = self._denoiser(run, conditions, recorder)
                frame = run.frame
                preview = Preview(self.vae, conditions.image, base, frame.multiple, frame.working)
                for item in denoise(latents, run.solver, predict, run.noise, len(run.blend.tiles)):
                    if isinstance(item, Step):
                        latents = item.latents
                        item = replace(item, preview=preview)
                    yield item
                latents = latents if base is None else latents + base
                decoded = decode(self.vae, latents, frame.multiple)
            finally:
                self.maybe_free_model_hooks()
            result = frame.finish(decoded, settings.color_fix)
            notes = (*photo.notes, *self._text_notes(run), *((LORA,) if self._has_lora else ()))
            recipe = self._recipe(photo.image, result, prompts, settings, notes)
        maps = None if recorder is None else recorder.maps
        yield Restored(result, recipe, time.perf_counter() - started, notes, maps)

    def _check_scheduler(self) -> None:
        """In other pipelines another solver is chosen by putting another object in its place."""
        if type(self.scheduler) is not self._trained_with:
            put, needed = type(self.scheduler).__name__, self._trained_with.__name__
            raise XPSRError(
                f"A {put} in the pipeline's place of the {needed} has no effect: put that back, "
                'and choose the solver in the call, as in scheduler="dpm++" (one of '
                f"{', '.join(CHOICES['scheduler'])})."
            )

    def preview(self, step: Step) -> Image.Image:
        """A quick picture of what the networks expect the result to be, after `step`."""
        if step.preview is None:
            raise ValueError("only steps of XPSRPipeline.stream can be shown")
        return step.preview(step.predicted)

    def _plan(
        self, image: Image.Image, prompts: Prompts, settings: Settings, shared: Shared
    ) -> Run:
        """Settle all that needs no network, and refuse what cannot be."""
        factor = self.controlnet.downscale
        frame = make_frame(image, settings, factor)
        height, width = (side // factor for side in frame.padded.shape[-2:])
        size = max(settings.tile_size // factor, 1) if settings.tile_size else 0
        overlap = min(settings.tile_overlap // factor, max(size - 1, 0))
        return Run(
            settings=settings,
            image=image,
            frame=frame,
            texts=assemble(prompts, settings, self.tokenizer),
            blend=Blend(cover(height, width, size, overlap)),
            solver=Solver(self.scheduler.config, settings.scheduler, settings.num_inference_steps),
            noise=Noise(settings.seed),
            shared=shared,
        )

    def _conditions(self, run: Run) -> Conditions:
        device, settings = self._execution_device, run.settings
        chunk = settings.long_prompts == "chunk"

        def encoded(batch: list[str]) -> Tensor:
            found = encode_texts(self.tokenizer, self.text_encoder, batch, device, chunk=chunk)
            return found.to(self.unet.dtype)

        highs, lows = pair(run.texts, settings.guided)
        high, low = (
            run.shared.get(("texts", chunk, *batch), partial(encoded, batch))
            for batch in (highs, lows if self.reads_lowlevel else highs)  # the same: made once
        )
        return Conditions(
            high=high,
            low=low,
            image=run.frame.padded.to(device),
            guidance_scale=settings.guidance_scale,
            conditioning_scale=settings.controlnet_conditioning_scale,
            image_tokens=self._image_tokens(run),
        )

    def _image_tokens(self, run: Run) -> Tensor | None:
        """What a model reads in the picture besides the texts; XPSR reads nothing."""
        return None

    def _text_notes(self, run: Run) -> tuple[str, ...]:
        """What of the texts the networks do not get, in sentences."""
        return cut_notes(run.texts)

    def _base(self, run: Run, conditions: Conditions) -> Generator[TileDone, None, Tensor | None]:
        """The latent to add before decoding; None in a model without residual latents."""
        if not self.config["residual_latents"]:
            return None
        total, tiles = len(run.solver.timesteps), run.blend.tiles
        key: tuple[Hashable, ...] = ("base", run.frame.working, *tiles)
        if self.controlnet.config.degradation_free_reads_texts:
            key += (run.texts.high.sent, run.texts.low.sent, run.settings.long_prompts)

        def made() -> Generator[TileDone, None, Tensor]:
            started = time.perf_counter()

            def between(done: int) -> TileDone:
                left = (time.perf_counter() - started) / done * (len(tiles) - done)
                return TileDone(-1, total, done, len(tiles), seconds_to_first_step=left)

            return base_latent(self.controlnet, self.vae, conditions, run.blend, between)

        return (yield from run.shared.walk(key, made))

    def _start(self, run: Run, conditions: Conditions, base: Tensor | None) -> Tensor:
        """The latent that denoising starts from.

        Draws: the autoencoder's sample, then the start's own noise.
        """
        image = conditions.image
        if base is not None:
            low = torch.zeros_like(base)
        elif run.settings.start == "noise":
            height, width = (side // run.frame.multiple for side in image.shape[-2:])
            low = image.new_zeros(1, self.unet.config.in_channels, height, width)
        else:
            key = ("latents", run.frame.working)
            found = run.shared.get(key, lambda: distribution(self.vae, image))
            low = draw(self.vae, found, run.noise)
        return start_latents(run.solver, run.settings, low, run.noise)

    def _denoiser(
        self, run: Run, conditions: Conditions, recorder: WordRecorder | None
    ) -> Denoiser:
        tiles, watch = run.blend.tiles, unwatched
        hints = run.shared.get(
            ("hints", run.frame.working, *tiles),
            lambda: Hints(self.controlnet, conditions.image, run.blend),
        )
        if recorder is not None:
            n = len(run.solver.timesteps)
            watch = recorder.begin(self.controlnet, self.tokenizer, run.texts, run.frame, tiles, n)
        return Denoiser(self.unet, self.controlnet, conditions, run.blend, hints, watch)

    def _recipe(
        self,
        image: Image.Image,
        result: Image.Image,
        prompts: Prompts,
        settings: Settings,
        notes: tuple[str, ...],
    ) -> Recipe:
        return Recipe(
            prompts=prompts,
            settings=settings,
            **self.surroundings(),
            input_sha256=pixel_sha256(image),
            input_size=image.size,
            output_sha256=pixel_sha256(result),
            output_size=result.size,
            notes=notes,
        )
