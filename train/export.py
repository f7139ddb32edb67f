"""A trained run → a folder that `xpsr.load` opens."""

from pathlib import Path

import torch

from train.config import TrainConfig
from train.networks import Networks


def export(networks: Networks, out: Path, config: TrainConfig, dtype=torch.float16) -> None:
    """Write the pipeline as diffusers folders of fp16 safetensors."""
    from xpsr.pipeline import XPSRPipeline

    small = networks.whole_unet
    pipe = XPSRPipeline(
        vae=networks.vae,
        text_encoder=networks.text_encoder,
        tokenizer=networks.tokenizer,
        unet=networks.unet,
        controlnet=networks.controlnet,
        scheduler=networks.scheduler,
        residual_latents=networks.residual_latents,
        default_preset="mini" if small else "official",
    )
    pipe.to(dtype, silence_dtype_warnings=True).save_pretrained(out)
