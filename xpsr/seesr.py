"""SeeSR as a pipeline: the same way from a picture to its result, with one text and a tagger."""

from __future__ import annotations

from dataclasses import replace

import torch
from diffusers import AutoencoderKL, AutoencoderTiny, SchedulerMixin
from PIL import Image
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

from xpsr.models import DAPEModel, SeeSRControlNetModel, SeeSRUNet2DConditionModel
from xpsr.pipeline import Run, XPSRPipeline
from xpsr.placement import moved_in
from xpsr.prompts.text import cut_notes

ONE_TEXT = (
    "This model reads one text: the quality text had no effect. With lowlevel_route=content it "
    "stands in front of the content."
)


class SeeSRPipeline(XPSRPipeline):
    """Restores photographs with Stable Diffusion 2, a ControlNet, and what a tagger sees.

    The tagger's tokens of the low-resolution picture are read by both networks; its tags are
    meant for `prompt` (the describer `tags` writes them there). There is no second text: see
    `Settings.lowlevel_route` for what becomes of `lowlevel_prompt`.

    Args:
        vae, text_encoder, tokenizer, scheduler: those of Stable Diffusion 2 base.
        unet, controlnet: SeeSR's networks.
        tagger: SeeSR's DAPE.
        residual_latents, default_preset: as in `XPSRPipeline`.
    """

    reads_lowlevel = False
    model_cpu_offload_seq = "text_encoder->tagger->unet->vae"

    def __init__(
        self,
        vae: AutoencoderKL | AutoencoderTiny,
        text_encoder: CLIPTextModel,
        tokenizer: CLIPTokenizer,
        unet: SeeSRUNet2DConditionModel,
        controlnet: SeeSRControlNetModel,
        scheduler: SchedulerMixin,
        tagger: DAPEModel,
        residual_latents: bool = False,
        default_preset: str = "seesr",
    ) -> None:
        super().__init__(
            vae,
            text_encoder,
            tokenizer,
            unet,
            controlnet,
            scheduler,
            residual_latents,
            default_preset,
        )
        self.register_modules(tagger=tagger)

    @torch.no_grad()
    def tags(self, image: Image.Image) -> list[str]:
        """What the tagger sees in a picture, in the order of its vocabulary."""
        tagger = moved_in(self.tagger)
        return tagger.tags(tagger.embed(tagger.pixels(image)))[0]

    def _image_tokens(self, run: Run) -> Tensor:
        def made() -> Tensor:
            tagger = moved_in(self.tagger)
            # Of the picture as it came, before it is enlarged: so DAPE was trained.
            tokens = tagger.embed(tagger.pixels(run.image))
            return tokens.to(self._execution_device, self.unet.dtype)

        return run.shared.get("image tokens", made)

    def _text_notes(self, run: Run) -> tuple[str, ...]:
        texts = run.texts
        read = replace(texts, low=texts.high, negative_low=texts.negative_high)
        return (*cut_notes(read), *((ONE_TEXT,) if texts.low.sent else ()))
