"""The training configuration: YAML file + `key=value` overrides → one checked value."""

from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from xpsr.errors import XPSRError


class Strict(BaseModel):
    """Unknown keys are errors: a misspelt option must not train the wrong thing."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class LossConfig(Strict):
    """Weights of the objective (paper, eq. 4 and 5).

    `log_floor`: average the logarithm of every picture's error + this; `null` = the plain mean.
    """

    pixel_weight: float = Field(0.05, ge=0)
    latent_weight: float = Field(0.05, ge=0)
    log_floor: float | None = Field(None, gt=0)


class ModelConfig(Strict):
    """What is trained.

    `start` is an XPSR pipeline folder to go on from, or a Stable Diffusion folder or hub id to
    start from as the authors do. Without it a small model is built from the tables below.

    `decoder_steps`: after the loop, the small autoencoder's decoder learns for so many steps on
    what the trained denoiser hands over.

    `alpha_bar_range` = (first, last) cuts the noise schedule short: even its first timestep keeps
    only the share `first` of the signal. Below it lies the finest detail, which a small model
    cannot place and would replace by noise; the last step jumps from there to the picture.
    """

    start: str | None = None
    train_text_encoder: bool = False
    residual_latents: bool = False
    controlnet: dict[str, Any] = {}
    unet: dict[str, Any] = {}
    text_encoder: dict[str, Any] = {}
    autoencoder: dict[str, Any] = {}
    decoder_steps: int = Field(0, ge=0)
    scheduler: dict[str, Any] = {}
    alpha_bar_range: tuple[float, float] | None = None


class TrainConfig(Strict):
    """Everything one run depends on.

    Attributes:
        data: folder made by `python -m train.prepare`.
        out: folder of checkpoints, log, and at the end the exported pipeline.
        steps: optimiser steps in all.
        batch_size: pairs a step on one process, before accumulation.
        crop: side of the training crops in output pixels; `null` = whole pairs.
        timestep_power: t = 1000·u^(1/power); 1 draws timesteps evenly, more favours noise.
        caption_dropout: chance that a text is left empty, for each of the two alone.
        original_image_ratio: chance that the clean picture stands in for the low-resolution one.
        trust_ratio: chance that the text calls the picture flawless and the target is the picture.
        lr_schedule: any name of `diffusers.optimization.get_scheduler`.
        ema_decay: 0 = no running average of the weights.
    """

    data: str
    out: str
    seed: int = 0
    steps: int = Field(100_000, ge=1)
    batch_size: int = Field(2, ge=1)
    gradient_accumulation_steps: int = Field(1, ge=1)
    crop: int | None = None
    timestep_power: float = Field(1.0, ge=1)
    caption_dropout: float = Field(0.0, ge=0, le=1)
    original_image_ratio: float = Field(0.0, ge=0, le=1)
    trust_ratio: float = Field(0.0, ge=0, le=1)
    learning_rate: float = Field(5e-5, gt=0)
    lr_schedule: str = "constant"
    lr_warmup_steps: int = Field(0, ge=0)
    weight_decay: float = Field(1e-2, ge=0)
    max_grad_norm: float = Field(1.0, gt=0)
    ema_decay: float = Field(0.0, ge=0, lt=1)
    mixed_precision: Literal["no", "fp16", "bf16"] = "no"
    gradient_checkpointing: bool = False
    save_every: int = Field(1000, ge=1)
    keep_checkpoints: int = Field(2, ge=1)
    log_every: int = Field(20, ge=1)
    loss: LossConfig = LossConfig()
    model: ModelConfig = ModelConfig()


def read_config(path: str | Path, overrides: list[str] | None = None) -> TrainConfig:
    """Read a YAML file and apply `key=value` overrides (`loss.pixel_weight=0` reaches inside).

    Raises:
        XPSRError: the file, a key or a value is wrong; one sentence.
    """
    try:
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8")) or {}
    except FileNotFoundError:
        raise XPSRError(f"There is no configuration file {path}.") from None
    except (yaml.YAMLError, OSError, UnicodeDecodeError) as error:
        raise XPSRError(f"{path} cannot be read as YAML: {error}") from error
    if not isinstance(values, dict):
        raise XPSRError(f"{path} must hold keys and values.")
    for override in overrides or []:
        _apply(values, override)
    try:
        return TrainConfig(**values)
    except ValidationError as error:
        raise XPSRError(_sentence(error)) from None


def _apply(values: dict, override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals:
        raise XPSRError(f"Write options as key=value, not {override!r}.")
    *parents, last = key.split(".")
    for parent in parents:
        values = values.setdefault(parent, {})
        if not isinstance(values, dict):
            raise XPSRError(f"{key!r} is no option: {parent!r} has no parts.")
    # Folders stay text even when they look like a number.
    values[last] = text if last in ("data", "out", "start") else yaml.safe_load(text)


def _sentence(error: ValidationError) -> str:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        known = ", ".join(TrainConfig.model_fields)
        return f"There is no option {key!r}. The options are: {known}."
    if first["type"] == "missing":
        return f"The option {key!r} is missing: give it as {key}=VALUE."
    return f"The option {key!r} cannot be {first['input']!r}: {first['msg']}."
