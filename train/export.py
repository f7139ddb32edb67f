"""A trained run → a folder that `xpsr.load` opens."""

import shutil
from pathlib import Path

import torch

from train.card import model_card
from train.config import TrainConfig
from train.disk import writing
from train.networks import Networks
from train.tagging import take_out_lora
from xpsr.errors import XPSRError
from xpsr.models.own_layers import save_own_layers
from xpsr.parts import COMPONENTS
from xpsr.pipeline import XPSRPipeline
from xpsr.seesr import SeeSRPipeline
from xpsr.whole import unlocked

# All that an export may consist of; what another kind of export has left goes.
PARTS = {"model_index.json", *COMPONENTS["SeeSRPipeline"]}


def as_pipeline(networks: Networks, config: TrainConfig) -> XPSRPipeline:
    """The networks, as they are now, ready to restore."""
    parts = {name: getattr(networks, name) for name in COMPONENTS["XPSRPipeline"]}
    if networks.tagger is not None:
        return SeeSRPipeline(**parts, tagger=networks.tagger)
    return XPSRPipeline(
        **parts,
        residual_latents=networks.residual_latents,
        default_preset="mini" if networks.whole_unet else "official",
    )


def check_export(networks: Networks, config: TrainConfig) -> None:
    """Refuse before the training what cannot be exported after it."""
    if config.export != "own":
        return
    if networks.whole_unet or config.model.train_text_encoder:
        raise XPSRError(
            "export=own leaves out what Stable Diffusion has already; this model has no such base."
            " Leave export=full."
        )
    if config.model.start and Path(config.model.start).resolve() == Path(config.out).resolve():
        raise XPSRError(
            "export=own would take away the base that it needs: model.start and out are one folder."
            " Give another out, or leave export=full."
        )


def export(
    networks: Networks,
    config: TrainConfig,
    steps: int,
    a_step: int,
    dtype: torch.dtype = torch.float16,
) -> None:
    """Write the pipeline, or only its own layers, as fp16 safetensors with a model card, which
    says of how many `steps` of how many pairs.

    Everything is written beside the last export first and then takes its place.
    """
    out = Path(config.out)
    part = out / ".export"
    shutil.rmtree(part, ignore_errors=True)
    if networks.tagger is not None:
        take_out_lora(networks.tagger)
    pipe = as_pipeline(networks, config).to(dtype, silence_dtype_warnings=True)
    with writing(part, "The trained model"):
        if config.export == "full":
            pipe.save_pretrained(part)
        else:
            save_own_layers(pipe.unet, part / "unet")
            pipe.controlnet.save_pretrained(part / "controlnet")
        unlocked(part.rglob("*.safetensors"))
        card = model_card(config, networks.family, steps, a_step)
        (part / "README.md").write_text(card, encoding="utf-8")
    for name in PARTS | {path.name for path in part.iterdir()}:
        old, new = out / name, part / name
        if old.is_dir():
            shutil.rmtree(old)
        if new.exists():
            new.replace(old)
        else:
            old.unlink(missing_ok=True)
    part.rmdir()
