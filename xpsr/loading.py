"""From a name to a ready pipeline: the embedded model, folders, hub ids, official checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel

from xpsr.errors import XPSRError
from xpsr.finding import INDEX, find_model, named_base, refuse_base
from xpsr.models import XPSRControlNetModel
from xpsr.models.checkpoint import CLASSES, locate, tagger_of
from xpsr.models.family import SEESR, family_of
from xpsr.models.official import read_config
from xpsr.models.own_layers import has_own_layers, load_own_layers
from xpsr.models.weights_file import align
from xpsr.parts import (
    ALL_PARTS,
    BASE_PARTS,
    NO_ROOM,
    check_base,
    parts_of,
    read_index,
    read_part,
    read_parts,
    read_tagger,
)
from xpsr.pipeline import XPSRPipeline
from xpsr.placement import choose_device, choose_dtype, telling_of_memory
from xpsr.revision import ModelSource, revision_of
from xpsr.seesr import SeeSRPipeline
from xpsr.turbo import PRESET as TURBO_PRESET
from xpsr.turbo import is_turbo, put_turbo_in


@telling_of_memory(NO_ROOM)
def load(
    name_or_folder: str | Path = "mini",
    *,
    base: str | Path | None = None,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
) -> XPSRPipeline:
    """Load a model, ready to restore pictures.

    Args:
        name_or_folder: "mini" (embedded, needs no network), a folder or hub id in diffusers'
            layout (model_index.json), or an official checkpoint (folders unet and controlnet).
        base: for official checkpoints: folder or hub id of the Stable Diffusion they build on, 1.5
            for XPSR and 2 (base) for SeeSR, or SD-Turbo, which gives that one its UNet as well.
        device: "cuda", "mps", "cpu"; default: the best there is.
        dtype: "float32", "float16", "bfloat16"; default: float16, on the CPU float32.

    Raises:
        XPSRError: nothing of that name, a folder of another kind, parts that do not fit together,
            a device that is not there, or (`NotEnoughMemoryError`) too little memory.
    """
    place = choose_device(device)
    number_format = choose_dtype(place, dtype)
    name = str(name_or_folder)
    if isinstance(name_or_folder, Path) and name_or_folder.is_dir():
        name_or_folder = name_or_folder.absolute()  # Path("./mini") is a folder, "mini" is not
    folder = find_model(str(name_or_folder), ALL_PARTS)
    if (folder / INDEX).is_file():
        refuse_base(name, base)
        index = read_index(folder)
        kind = SeeSRPipeline if "tagger" in parts_of(index) else XPSRPipeline
        told = {key: index[key] for key in ("residual_latents", "default_preset") if key in index}
        pipe = kind(**read_parts(folder, parts_of(index), number_format), **told)
        pipe.source = ModelSource(revision_of(folder))
    else:
        pipe = _official(locate(folder), base, number_format)
    _check_fit(pipe)
    pipe.model_name = name
    pipe.to(place, silence_dtype_warnings=True)
    for part in pipe.components.values():
        if isinstance(part, torch.nn.Module):
            align(part)
    return pipe


def _official(folder: Path, base: str | Path | None, dtype: torch.dtype) -> XPSRPipeline:
    base_folder = find_model(named_base(folder.name, base), tuple(BASE_PARTS))
    kind: type[XPSRPipeline] = XPSRPipeline
    networks: dict[str, Any] = {}
    told: dict[str, Any] = {}
    beside: tuple[Path, ...] = ()
    if has_own_layers(folder / "unet"):  # trained here and exported without the base's layers
        whole = find_model(str(base), ("unet",)) / "unet"
        plain = read_part(whole, UNet2DConditionModel, dtype)
        networks["unet"] = load_own_layers(folder / "unet", plain)
        networks["controlnet"] = read_part(folder / "controlnet", XPSRControlNetModel, dtype)
    else:
        config = read_config(folder / "unet")
        family = family_of(config)
        # What is missing or does not fit is told before gigabytes are read.
        check_base(base_folder, config.get("cross_attention_dim", 1280), family)
        if family is SEESR:
            tagger = tagger_of(folder)
            kind, networks["tagger"] = SeeSRPipeline, read_tagger(tagger, dtype)
            beside = tagger.weights
        for part, cls in CLASSES[family.name].items():
            networks[part] = cls.from_official(folder / part, dtype)
        if family is SEESR and is_turbo(base_folder):
            put_turbo_in(networks["unet"], str(base))
            told["default_preset"] = TURBO_PRESET
    pipe = kind(**read_parts(base_folder, tuple(BASE_PARTS), dtype), **networks, **told)
    pipe.source = ModelSource(revision_of(folder, *beside), str(base), revision_of(base_folder))
    return pipe


def _check_fit(pipe: XPSRPipeline) -> None:
    """Refuse parts that come from different families before they crash in the middle of a run."""
    for name in ("unet", "controlnet"):
        network = getattr(pipe, name)
        pairs = (
            (
                "text_encoder",
                network.config.cross_attention_dim,
                pipe.text_encoder.config.hidden_size,
            ),
            ("vae", network.config.in_channels, pipe.vae.config.latent_channels),
        )
        for part, wanted, found in pairs:
            if wanted != found:
                raise XPSRError(
                    f"The {name} and the {part} do not belong together ({wanted} channels against "
                    f"{found}); Stable Diffusion 1.5 is the base of XPSR's official checkpoint, "
                    "Stable Diffusion 2 (base) that of SeeSR's."
                )
