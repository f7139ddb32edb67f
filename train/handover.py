"""What the denoiser hands to the decoder, for teaching the decoder."""

import torch
from torch import Tensor

from train.data import Batch, Samples
from train.networks import Networks
from train.reading import answer
from train.terminal import Bar
from xpsr.schedule import Noise, Solver

STEPS = (1, 2, 4)  # few: more steps differ little, and every one costs a pass of both networks


def decoder_examples(
    networks: Networks, pairs: Samples, count: int, batch_size: int, seed: int
) -> list[tuple[Tensor, Tensor]]:
    """`count` batches of (unscaled latent (B, C, h, w), clean picture (B, 3, H, W) in [-1, 1])."""
    examples = []
    with Bar("what the decoder gets, in batches") as bar:
        for number in range(count):
            # Numbers that the loop does not reach: pictures in another order than it saw them.
            first = 10**12 + number * batch_size
            batch = pairs.batch(range(first, first + batch_size))
            latent = denoised(networks, batch, STEPS[number % len(STEPS)], seed + number)
            examples.append((latent, batch.clean))
            bar.update(number + 1, count)
    return examples


@torch.no_grad()
def denoised(networks: Networks, batch: Batch, steps: int, seed: int) -> Tensor:
    """Sample from pure noise as the pipeline does without guidance (DDIM)."""
    scale = networks.vae.config.scaling_factor
    high = networks.text_encoder(batch.input_ids)[0]
    low = networks.text_encoder(batch.lowlevel_input_ids)[0]
    guess = networks.controlnet.degradation_free(batch.conditioning, high, low)
    base = networks.vae.encode(guess * 2 - 1).latent_dist.mode()
    solver, noise = Solver(networks.scheduler.config, "ddim", steps), Noise(seed)
    latents = noise.like(base)
    for timestep in solver.timesteps:
        both = (networks.controlnet, networks.unet)
        _, prediction = answer(*both, latents, timestep, batch, high, low)
        latents = solver.step(prediction, timestep, latents, noise)
    return latents / scale + base if networks.residual_latents else latents / scale
