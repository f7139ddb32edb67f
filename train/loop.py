"""The training loop."""

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import Accelerator
from diffusers.optimization import get_scheduler
from diffusers.training_utils import EMAModel
from torch import Tensor, nn

from train import checkpoints
from train.config import TrainConfig
from train.data import Batch, Pairs
from train.loss import Losses, diffusion_target, training_loss
from train.networks import Networks
from xpsr.errors import XPSRError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Report:
    """What the loop says every `log_every` steps."""

    step: int
    steps: int
    losses: dict[str, float]
    learning_rate: float
    images_per_second: float


class TrainingStep(nn.Module):
    """Everything between a batch and its loss, as one module.

    One module means one `accumulate` and one gradient synchronisation: wrapping the two networks
    one by one is what broke both in the authors' script.
    """

    def __init__(self, networks: Networks, config: TrainConfig):
        super().__init__()
        self.controlnet, self.unet = networks.controlnet, networks.unet
        self.vae, self.text_encoder = networks.vae, networks.text_encoder
        self.scheduler = networks.scheduler
        self.residual_latents = networks.residual_latents
        self.config = config

    def forward(self, batch: Batch, seed: int) -> Losses:
        """Paper, sec. 3.4. Every draw comes from `seed`, on the CPU: resumed runs repeat it."""
        generator = torch.Generator().manual_seed(seed)
        clean = self._clean_latent(batch, generator)
        noise = torch.randn(clean.shape, generator=generator).to(clean)
        timesteps = self._timesteps(len(clean), generator).to(clean.device)
        noisy = self.scheduler.add_noise(clean, noise, timesteps)
        high = self.text_encoder(batch.input_ids)[0]
        low = self.text_encoder(batch.lowlevel_input_ids)[0]
        control = self.controlnet(
            noisy,
            timesteps,
            encoder_hidden_states=high,
            lowlevel_encoder_hidden_states=low,
            controlnet_cond=batch.conditioning,
        )
        prediction = self.unet(
            noisy,
            timesteps,
            encoder_hidden_states=high,
            down_block_additional_residuals=control.down_block_res_samples,
            mid_block_additional_residual=control.mid_block_res_sample,
        ).sample
        return training_loss(
            prediction,
            diffusion_target(self.scheduler, clean, noise, timesteps),
            control.pixel_predictions,
            batch.clean,
            control.latent_predictions,
            clean,
            self.config.loss.pixel_weight,
            self.config.loss.latent_weight,
            self.config.loss.log_floor,
        )

    @torch.no_grad()
    def _clean_latent(self, batch: Batch, generator: torch.Generator) -> Tensor:
        scale = self.vae.config.scaling_factor
        latent = self.vae.encode(batch.clean).latent_dist.sample(generator)
        if self.residual_latents:
            latent = latent - self.vae.encode(batch.conditioning * 2 - 1).latent_dist.mode()
        return latent * scale

    def _timesteps(self, count: int, generator: torch.Generator) -> Tensor:
        total = self.scheduler.config.num_train_timesteps
        uniform = torch.rand(count, generator=generator)
        return (uniform ** (1 / self.config.timestep_power) * total).long().clamp(max=total - 1)


def train(config: TrainConfig, networks: Networks, accelerator: Accelerator) -> Iterator[Report]:
    """Train from the newest checkpoint in `config.out` (or the start) to `config.steps`."""
    pairs = Pairs(
        config.data,
        networks.tokenizer,
        config.crop,
        config.caption_dropout,
        config.original_image_ratio,
        config.trust_ratio,
    )
    model = TrainingStep(networks, config)
    if config.gradient_checkpointing:
        networks.unet.enable_gradient_checkpointing()
        networks.controlnet.enable_gradient_checkpointing()
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(
        trained, lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
    )
    schedule = get_scheduler(
        config.lr_schedule,
        optimizer,
        num_warmup_steps=config.lr_warmup_steps,
        num_training_steps=config.steps,
    )
    ema = EMAModel(trained, decay=config.ema_decay) if config.ema_decay else None
    # The schedule stays outside prepare(): accelerate would step it once for every process.
    model, optimizer = accelerator.prepare(model, optimizer)
    extras = checkpoints.Extras(schedule=schedule, ema=ema)
    accelerator.register_for_checkpointing(extras)
    out = Path(config.out)
    step = checkpoints.resume(accelerator, out)

    world, rank = accelerator.num_processes, accelerator.process_index
    accumulation = config.gradient_accumulation_steps
    began, first = time.monotonic(), step
    while step < config.steps:
        for part in range(accumulation):
            # Each process and part has its own numbers, the same ones in every run.
            number = (step * accumulation + part) * world + rank
            batch = pairs.batch(config.batch_size, config.seed, number).to(accelerator.device)
            with accelerator.accumulate(model):
                losses = model(batch, seed=_draws(config.seed, number))
                _stop_on_nan(losses, batch, out)
                accelerator.backward(losses.total)
                if accelerator.sync_gradients:
                    accelerator.clip_grad_norm_(trained, config.max_grad_norm)
                optimizer.step()
                optimizer.zero_grad()
        schedule.step()
        if ema is not None:
            ema.step(trained)
        step += 1
        if step % config.log_every == 0 or step == config.steps:
            count = (step - first) * config.batch_size * accumulation * world
            yield Report(
                step,
                config.steps,
                _values(losses),
                schedule.get_last_lr()[0],
                count / (time.monotonic() - began),
            )
        if step % config.save_every == 0 or step == config.steps:
            checkpoints.save(accelerator, out, step, config.keep_checkpoints)
    if ema is not None:
        ema.copy_to(trained)


def _draws(seed: int, number: int) -> int:
    """The seed of one batch's noise; apart from the one that chose its pictures."""
    return (seed * 1_000_003 + number) * 2 + 1


def _values(losses: Losses) -> dict[str, float]:
    return {
        "loss": losses.total.item(),
        "diffusion": losses.diffusion.item(),
        "pixel": losses.pixel.sum().item(),
        "latent": losses.latent.sum().item(),
    }


def _stop_on_nan(losses: Losses, batch: Batch, out: Path) -> None:
    if not torch.isfinite(losses.total):
        (out / "not_finite.txt").write_text("\n".join(batch.ids) + "\n")
        raise XPSRError(
            f"The loss is not a number any more. The pairs of that batch are in"
            f" {out / 'not_finite.txt'}; a smaller learning_rate usually helps."
        )
