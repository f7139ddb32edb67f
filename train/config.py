"""The training configuration."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from train.options import Strict, read_options
from train.pairing import PairConfig

# Terms of the loss that look at the decoded picture; the judge's apart.
OF_PICTURES = ("decoded_weight", "gradient_weight", "weave_weight")
Schedule = Literal["constant", "linear", "cosine", "polynomial"]


class LossConfig(Strict):
    """Weights of the objective (paper, eq. 4 and 5).

    The paper's Table 4 is `pixel_weight: 0`, `latent_weight: 0`, or both; the heads can be left
    out as well, by `model.controlnet.return_rgbs: false` and `use_latent_pred: false`.

    `log_floor`: average the logarithm of every picture's error + this; `null` = the plain mean.

    `decoded_weight`: of the squared error of the decoded picture, [-1, 1], for models that predict
    the clean latent. `decoded_log_floor` is to it what `log_floor` is to the denoiser's error.

    `adversarial_weight`: of what a judge that learns along can tell from a photo (see
    `discriminator.py`), for such models as well. What a model is not certain of it blurs; this is
    the counterweight, and costs PSNR. Bare samples and those whose text asks for no sharper picture
    (`trust_ratio`, `detail_ratio`) are not judged. How a step is divided over processes and
    accumulated batches matters here: the judged pictures are averaged over each.

    `gradient_weight`: of how unlike the edges of the decoded picture are to the clean one's (see
    `gradient_error`), for such models as well.

    `weave_weight`: of what repeats from patch to patch of the decoded picture and not in the clean
    one (see `weave_error`), for such models as well. A judge alone lets some of it pass.
    """

    pixel_weight: float = Field(0.05, ge=0)
    latent_weight: float = Field(0.05, ge=0)
    log_floor: float | None = Field(None, gt=0)
    decoded_weight: float = Field(0.0, ge=0)
    decoded_log_floor: float | None = Field(None, gt=0)
    gradient_weight: float = Field(0.0, ge=0)
    adversarial_weight: float = Field(0.0, ge=0)
    weave_weight: float = Field(0.0, ge=0)

    @property
    def looks_at_pictures(self) -> bool:
        """Whether any term needs the decoded picture."""
        return any(getattr(self, name) for name in (*OF_PICTURES, "adversarial_weight"))


class ModelConfig(Strict):
    """What is trained.

    `start` is a folder or hub id: an XPSR pipeline to go on from, or a Stable Diffusion to start
    from as the authors do (the paper's Table 6: another base). Without it a small model is
    built from the tables below. `controlnet.fusion` is how the two texts meet (Table 3): parallel,
    serial, high or low.

    Small models learn in parts, each by a run of its own (`only`), or all but the first together:

    - `degradation_free`: a ControlNet with `controlnet.degradation_free_channels` predicts the
      clean picture by itself, and the rest diffuses what it leaves out. That predictor learns
      first, by `loss.decoded_log_floor`, and is held still while the rest learns.
    - `texts`: with `controlnet.degradation_free_reads_texts` it leaves in the picture what the
      texts do not complain of. How texts are read is learnt by the data's `claim_ratio` and
      `detail_ratio`, while all else keeps the answers that it gave before. Networks that come from
      a `start` without such a reader get a fresh one.
    - `decoder`: the small autoencoder's encoder never moves, but its decoder learns what to make of
      the latents that a walk of a few steps hands over. `train_decoder` lets it learn along with
      the denoiser as well. Both by the errors of the decoded picture, see `LossConfig`.

    `tagger` is the folder of RAM and DAPE, as the describer `tags` takes it: what is built on a
    Stable Diffusion is then a SeeSR, which reads one text and what the tagger sees in the picture.
    A whole SeeSR as `start` has one already. With `only: tagger` that learns alone, and nothing
    else of the model: to see in damaged pictures what it sees in clean ones (see `tagging.py`).

    `alpha_bar_range` = (first, last) cuts the noise schedule short: even its first timestep keeps
    only the share `first` of the signal. Below it lies the finest detail, which a small model
    cannot place and would replace by noise; the last step jumps from there to the picture.
    """

    start: str | None = None
    only: Literal["degradation_free", "texts", "decoder", "tagger"] | None = None
    tagger: str | None = None
    train_text_encoder: bool = False
    residual_latents: bool = False
    controlnet: dict[str, Any] = Field({})
    unet: dict[str, Any] = Field({})
    text_encoder: dict[str, Any] = Field({})
    autoencoder: dict[str, Any] = Field({})
    train_decoder: bool = False
    scheduler: dict[str, Any] = Field({})
    alpha_bar_range: tuple[float, float] | None = None

    @field_validator("alpha_bar_range")
    @classmethod
    def _falls(cls, ends: tuple[float, float] | None) -> tuple[float, float] | None:
        if ends is not None and not 1 > ends[0] > ends[1] > 0:
            raise ValueError("the first share must be the larger one, both between 0 and 1")
        return ends


class DataConfig(Strict):
    """How a sample is drawn from the pairs.

    Attributes:
        crop: side of the training crops in output pixels; `null` = whole pairs.
        prompts: which texts are given; the others are empty (the paper's Table 2).
        caption_source: the side that the caption describes: `lr` as in the paper, `hr` as in the
            authors' code.
        caption_dropout: chance that a text is left empty, for each of the two alone.
        original_image_ratio: chance that the clean picture stands in for the low-resolution one,
            with the clean picture's quality text.
        trust_ratio: chance that the text calls the picture flawless and the target is the picture.
        sharpen_targets: strength of a fine unsharp mask on the targets (1.5 pixels wide); 0 = none.
            What a model is not certain of it blurs; this is the counterweight, and costs PSNR.
        detail_ratio: chance that the content text calls the picture smoother or more detailed than
            it is, and the target is softened or sharpened to match (see `train/wording.py`). If
            there is any, the targets of samples without a content text are a little softer.
        claim_ratio: chance that the quality text claims less or more blur, noise and JPEG than was
            measured; the others say the same in other words, or nothing (see `train/claims.py`).
            For `model.only=texts`.
        bare_ratio: chance that a sample starts as the setting `start="lr_bare"` does: from the
            low-resolution side's latent without noise, at the last timestep. Its target is not
            sharpened, for such a start asks for the likeliest picture.
        flips: mirror half of the samples. Off because texts name places ("dark at the left"),
            which a mirrored picture turns into lies; harmless with describers that never do.
        turns: turn each sample by a random number of quarter turns. As with `flips`; photos that
            are no squares need a `crop`.
        data_workers: processes that read or degrade ahead of the training.
    """

    crop: int | None = Field(None, ge=16, multiple_of=8)
    prompts: Literal["both", "high", "low", "none"] = "both"
    caption_source: Literal["lr", "hr"] = "lr"
    caption_dropout: float = Field(0.0, ge=0, le=1)
    original_image_ratio: float = Field(0.0, ge=0, le=1)
    trust_ratio: float = Field(0.0, ge=0, le=1)
    sharpen_targets: float = Field(0.0, ge=0)
    detail_ratio: float = Field(0.0, ge=0, le=1)
    claim_ratio: float = Field(0.0, ge=0, le=1)
    bare_ratio: float = Field(0.0, ge=0, le=1)
    flips: bool = False
    turns: bool = False
    data_workers: int = Field(0, ge=0)


class TrainConfig(DataConfig):
    """Everything one run depends on.

    Attributes:
        data: folder made by `python -m train.prepare`; or a folder of photos, which are then
            degraded as they are drawn.
        degradation: how photos are degraded; unused for ready pairs.
        cache_latents: keep the autoencoder's output of every clean picture on the disk, beside the
            pairs. Only for whole pairs, unflipped.
        out: folder of checkpoints, log, and at the end the exported pipeline.
        steps: optimiser steps in all; 0 = none, only the export.
        minutes: end after so long, with a checkpoint and an export; `null` = when `steps` are done.
            Run again and it goes on; a schedule that falls with the steps falls no faster.
        batch_size: pairs a step on one process, before accumulation.
        timestep_power: t = 1000·u^(1/power); 1 draws timesteps evenly, more favours noise.
        optimizer: `adamw`, `adamw8bit` (needs bitsandbytes) or `muon` (not with FSDP or DeepSpeed),
            by which small models learn in fewer steps.
        lr_warmup_steps: over so many the rate rises to `learning_rate`, whatever the schedule.
        ema_decay: 0 = no running average of the weights.
        trackers: names that accelerate knows (tensorboard, wandb, trackio …); `null` = tensorboard
            where it is installed.
        validate_every: steps between restoring and scoring a few pictures; 0 = never.
        validate_data: pairs or photos for that; `null` = the training's own.
        validate_pictures: how many of them.
        validate_setting: as for `python -m train.validate` (negative texts: the paper's Table 5).
        export: `full` pipeline, or `own`: only the layers that are not Stable Diffusion's, less
            than half of the size, for `xpsr.load(folder, base=…)`.
    """

    data: str
    out: str = Field(min_length=1)
    degradation: PairConfig = PairConfig()
    cache_latents: bool = False
    seed: int = Field(0, ge=0, lt=2**63)
    steps: int = Field(100_000, ge=0)
    minutes: float | None = Field(None, gt=0)
    batch_size: int = Field(2, ge=1)
    gradient_accumulation_steps: int = Field(1, ge=1)
    timestep_power: float = Field(1.0, ge=1)
    learning_rate: float = Field(5e-5, gt=0)
    optimizer: Literal["adamw", "adamw8bit", "muon"] = "adamw"
    lr_schedule: Schedule = "constant"
    lr_warmup_steps: int = Field(0, ge=0)
    weight_decay: float = Field(1e-2, ge=0)
    max_grad_norm: float = Field(1.0, gt=0)
    ema_decay: float = Field(0.0, ge=0, lt=1)
    mixed_precision: Literal["no", "fp16", "bf16"] = "no"
    gradient_checkpointing: bool = False
    save_every: int = Field(1000, ge=1)
    keep_checkpoints: int = Field(2, ge=1)
    log_every: int = Field(20, ge=1)
    trackers: list[str] | None = None
    validate_every: int = Field(0, ge=0)
    validate_data: str | None = None
    validate_pictures: int = Field(4, ge=1)
    validate_setting: str = "default"
    export: Literal["full", "own"] = "full"
    loss: LossConfig = LossConfig()
    model: ModelConfig = ModelConfig()

    @field_validator("mixed_precision", mode="before")
    @classmethod
    def _word(cls, value: object) -> object:
        """YAML reads the word no as false."""
        return "no" if value is False else value

    @property
    def sheets(self) -> Path:
        """Where validation leaves its pictures, which are no photos to learn from."""
        return Path(self.out) / "validation"


def read_config(path: str | Path, overrides: list[str] | None = None) -> TrainConfig:
    """A YAML file and `key=value` overrides → the configuration; XPSRError where one is wrong."""
    return read_options(TrainConfig, path, overrides)
