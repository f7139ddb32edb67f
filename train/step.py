"""Everything between a batch and its loss."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from train.config import OF_PICTURES, TrainConfig
from train.data import Batch
from train.discriminator import Discriminator, adversarial_errors, moved
from train.latents import LatentCache
from train.loss import Losses, decoded_error, diffusion_error, diffusion_target, training_loss
from train.networks import Networks
from train.reading import Reading, answer
from train.tagging import TaggingStep
from xpsr.autoencoder import encode
from xpsr.errors import XPSRError
from xpsr.models import DAPEModel
from xpsr.schedule import Noise, Solver

KEEPING = 30.0  # how much keeping the answers of before counts, which are far smaller errors
STEPS = (1, 2, 4)  # of a walk: more differ little, and every one costs a pass of both networks
KEPT = 4  # one pair in so many is enough for that, and takes most of the time


class TrainingStep(nn.Module):
    """Both networks and what feeds them, as one module.

    One module means one `accumulate` and one gradient synchronisation: wrapping the two networks
    one by one is what broke both in the authors' script.

    Args:
        networks: what is trained.
        config: of the run.
        cache: where encoded clean pictures are kept; None = encode anew each time.
    """

    def __init__(self, networks: Networks, config: TrainConfig, cache: LatentCache | None = None):
        super().__init__()
        self.controlnet, self.unet = networks.controlnet, networks.unet
        self.vae, self.text_encoder = networks.vae, networks.text_encoder
        self.scheduler, self.tagger = networks.scheduler, networks.tagger
        self.residual_latents = networks.residual_latents
        self.config, self.cache = config, cache
        weights = config.loss
        self.judge = Discriminator(seed=config.seed) if weights.adversarial_weight else None
        self.reading = Reading(networks) if config.model.only == "texts" else None
        whole = config.model.only is None
        if whole and self.scheduler.config.prediction_type != "sample":
            _refuse_clean_latents(config)

    def forward(self, batch: Batch) -> Losses:
        """Paper, sec. 3.4. Every draw comes from the pairs' own seeds, on the CPU."""
        if self.config.model.only == "degradation_free":
            return self._degradation_free(batch)
        if self.config.model.only == "decoder":
            return self._decoder(batch)
        if self.reading is not None:
            return self._texts(batch, self.reading)
        if self.tagger is not None:
            return self._seesr(batch, self.tagger)
        draws = [torch.Generator().manual_seed(seed) for seed in batch.seeds]
        high = self.text_encoder(batch.input_ids)[0]
        low = self.text_encoder(batch.lowlevel_input_ids)[0]
        clean, base = self._clean_latent(batch, draws, high, low)
        noise = _normal(clean, draws)
        noisy, timesteps = self._noisy(clean, noise, batch, draws)
        networks = (self.controlnet, self.unet)
        control, prediction = answer(*networks, noisy, timesteps, batch, high, low)
        losses = training_loss(
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
        if not self.config.loss.looks_at_pictures:
            return losses
        return self._with_picture(losses, prediction / self.vae.config.scaling_factor + base, batch)

    def _seesr(self, batch: Batch, tagger: DAPEModel) -> Losses:
        """SeeSR's objective: the error of the denoiser, by one text and what the tagger sees."""
        draws = [torch.Generator().manual_seed(seed) for seed in batch.seeds]
        clean, _ = self._clean_latent(batch, draws)
        noise = _normal(clean, draws)
        noisy, timesteps = self._noisy(clean, noise, batch, draws)
        with torch.no_grad():
            # Of the enlarged side, as its authors do; in use the picture is there as it came.
            seen = tagger.embed(tagger.squashed(batch.conditioning, "bicubic"))
        told = {
            "encoder_hidden_states": self.text_encoder(batch.input_ids)[0],
            "image_encoder_hidden_states": seen,
        }
        control = self.controlnet(noisy, timesteps, controlnet_cond=batch.conditioning, **told)
        prediction = self.unet(
            noisy,
            timesteps,
            down_block_additional_residuals=control.down_block_res_samples,
            mid_block_additional_residual=control.mid_block_res_sample,
            **told,
        ).sample
        target = diffusion_target(self.scheduler, clean, noise, timesteps)
        floor = self.config.loss.log_floor
        return training_loss(prediction, target, (), batch.clean, (), clean, log_floor=floor)

    def _noisy(
        self, clean: Tensor, noise: Tensor, batch: Batch, draws: list[torch.Generator]
    ) -> tuple[Tensor, Tensor]:
        """What the denoiser starts from, and the timesteps."""
        timesteps = self._timesteps(draws).to(clean.device)
        noisy = self.scheduler.add_noise(clean, noise, timesteps)
        if any(batch.bare):
            noisy, timesteps = self._without_noise(batch, noisy, timesteps)
        return noisy, timesteps

    def _texts(self, batch: Batch, reading: Reading) -> Losses:
        """What texts ask of the first guess, and the answers of before from all else."""
        high = self.text_encoder(batch.input_ids)[0]
        low = self.text_encoder(batch.lowlevel_input_ids)[0]
        picture, words = reading.of_picture(self.controlnet, batch, high, low)
        few = batch.some(range(-(-len(batch.ids) // KEPT)))
        draws = [torch.Generator().manual_seed(seed) for seed in few.seeds]
        clean, _ = self._clean_latent(few, draws)
        noisy, timesteps = self._noisy(clean, _normal(clean, draws), few, draws)
        high, low = high[: len(few.ids)], low[: len(few.ids)]
        networks = (self.controlnet, self.unet)
        _, now = answer(*networks, noisy, timesteps, few, high, low)
        kept = F.mse_loss(now, reading.before(noisy, timesteps, few))
        none = kept.new_zeros(0)
        total = picture + words + KEEPING * kept
        return Losses(picture, none, none, total, judge=kept.new_zeros(()))

    def _with_picture(self, losses: Losses, latent: Tensor, batch: Batch) -> Losses:
        """And what is wrong with the pictures that the latents, not scaled, stand for."""
        weights = self.config.loss
        decoded = self.vae.decode(latent).sample
        total = losses.total + decoded_error(decoded, batch.clean, weights)
        if self.judge is None:
            return losses._replace(total=total)
        vivid = torch.tensor(batch.vivid, device=decoded.device)
        draw = torch.Generator().manual_seed(batch.seeds[0])
        seen = moved([decoded, batch.clean, batch.conditioning], draw)
        fooled, caught = adversarial_errors(self.judge, *seen, vivid)
        total = total + weights.adversarial_weight * fooled + caught
        return losses._replace(total=total, judge=caught)

    def _decoder(self, batch: Batch) -> Losses:
        """What is wrong with the pictures that the decoder makes of what it is handed over."""
        zero = batch.clean.new_zeros(())
        none = batch.clean.new_zeros(0)
        losses = Losses(zero, none, none, zero, judge=zero)
        found = self._with_picture(losses, self._handed_over(batch), batch)
        return found._replace(diffusion=found.total.detach())

    @torch.no_grad()
    def _handed_over(self, batch: Batch) -> Tensor:
        """What the decoder is given in the end, not scaled: by a walk of a few steps (DDIM, no
        guidance), each pair's own number of them; bare samples as `start="lr_bare"`, in one."""
        draws = [torch.Generator().manual_seed(seed) for seed in batch.seeds]
        high = self.text_encoder(batch.input_ids)[0]
        low = self.text_encoder(batch.lowlevel_input_ids)[0]
        clean, base = self._clean_latent(batch, draws, high, low)
        noise = _normal(clean, draws)
        latents, _ = self._without_noise(batch, noise, torch.zeros(len(draws)).to(noise))
        counts = [_drawn(STEPS, draw) for draw in draws]
        counts = [1 if bare else count for bare, count in zip(batch.bare, counts, strict=True)]
        for count in {*counts}:
            few = [number for number, own in enumerate(counts) if own == count]
            latents[few] = self._walk(latents[few], count, batch.some(few), high[few], low[few])
        return latents / self.vae.config.scaling_factor + base

    def _walk(self, latents: Tensor, steps: int, batch: Batch, high: Tensor, low: Tensor) -> Tensor:
        solver, noise = Solver(self.scheduler.config, "ddim", steps), Noise(0)  # it draws none
        for timestep in solver.timesteps:
            networks = (self.controlnet, self.unet)
            _, prediction = answer(*networks, latents, timestep, batch, high, low)
            latents = solver.step(prediction.float(), timestep, latents, noise)
        return latents

    def _degradation_free(self, batch: Batch) -> Losses:
        """The ControlNet's first guess against the clean picture; nothing is diffused."""
        guess = self.controlnet.degradation_free(batch.conditioning).float() * 2 - 1
        error = diffusion_error(guess, batch.clean, self.config.loss.decoded_log_floor)
        none = error.new_zeros(0)
        return Losses(error, none, none, error, judge=error.new_zeros(()))

    @torch.no_grad()
    def _clean_latent(
        self,
        batch: Batch,
        draws: list[torch.Generator],
        high: Tensor | None = None,
        low: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | float]:
        """What is diffused, scaled; and what the decoder adds to it, not scaled."""
        if self.cache is None:
            posterior = self.vae.encode(batch.clean).latent_dist
        else:
            posterior = self.cache.encode(batch).latent_dist
        # In float32: half of it would round what little noise the first timesteps have.
        mean, std = posterior.mean.float(), posterior.std.float()
        latent = mean + std * _normal(mean, draws)
        base: Tensor | float = 0.0
        if self.residual_latents:
            guess = self.controlnet.degradation_free(batch.conditioning, high, low)
            base = self.vae.encode(guess.float() * 2 - 1).latent_dist.mode().float()
        return (latent - base) * self.vae.config.scaling_factor, base

    @torch.no_grad()
    def _without_noise(
        self, batch: Batch, noisy: Tensor, timesteps: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Bare samples as `start_latents` makes them for "lr_bare", the others as they are."""
        last = self.scheduler.config.num_train_timesteps - 1
        low = torch.zeros_like(noisy)
        if not self.residual_latents:
            low = encode(self.vae, batch.conditioning)
        bare = torch.tensor(batch.bare, device=noisy.device)
        start = self.scheduler.alphas_cumprod[last].to(low) ** 0.5 * low
        return (
            torch.where(bare[:, None, None, None], start, noisy),
            torch.where(bare, last, timesteps),
        )

    def _timesteps(self, draws: list[torch.Generator]) -> Tensor:
        total = self.scheduler.config.num_train_timesteps
        uniform = torch.cat([torch.rand(1, generator=draw) for draw in draws])
        return (uniform ** (1 / self.config.timestep_power) * total).long().clamp(max=total - 1)


Step = TrainingStep | TaggingStep


def step_of(networks: Networks, config: TrainConfig, cache: LatentCache | None = None) -> Step:
    """What turns the batches of a run into losses, with all that learns by them; arguments as of
    `TrainingStep`."""
    if config.model.only == "tagger":
        assert networks.tagger is not None  # see networks.py
        return TaggingStep(networks.tagger)
    return TrainingStep(networks, config, cache)


def _refuse_clean_latents(config: TrainConfig) -> None:
    """What looks at the clean latent or its picture needs a network that predicts it."""
    wanted = {"bare_ratio": config.bare_ratio}
    for name in (*OF_PICTURES, "adversarial_weight"):
        wanted[f"loss.{name}"] = getattr(config.loss, name)
    for name, value in wanted.items():
        if value:
            raise XPSRError(f"{name} needs a model with prediction_type: sample.")


def _drawn(choices: tuple[int, ...], draw: torch.Generator) -> int:
    return choices[int(torch.randint(len(choices), (), generator=draw))]


def _normal(like: Tensor, draws: list[torch.Generator]) -> Tensor:
    """Each picture's noise from its own generator, so that it does not depend on its neighbours."""
    noise = [torch.randn(like.shape[1:], generator=draw) for draw in draws]
    return torch.stack(noise).to(like)
