"""The embedded model's autoencoder: principal components of patches, then a trained decoder."""

import logging

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from train.data import Pairs
from xpsr.models import PatchAutoencoder

logger = logging.getLogger(__name__)


def patches_of(pairs: Pairs, patch_size: int, count: int, seed: int) -> Tensor:
    """Random clean patches, (count, 3·patch²) in [-1, 1], in the order of pixel_unshuffle."""
    random = np.random.default_rng(seed)
    per_picture = 900
    rows = []
    for index in random.integers(0, len(pairs), max(1, count // per_picture)):
        clean = torch.from_numpy(pairs.pictures(int(index))[0]).permute(2, 0, 1).float() / 127.5 - 1
        top, left = (int(random.integers(0, patch_size)) for _ in range(2))
        h, w = ((s - patch_size) // patch_size * patch_size for s in clean.shape[1:])
        window = clean[None, :, top : top + h, left : left + w]
        found = F.pixel_unshuffle(window, patch_size).flatten(2)[0].T
        rows.append(found[random.permutation(len(found))[:per_picture]])
    return torch.cat(rows)


def start_from_components(vae: PatchAutoencoder, pairs: Pairs, seed: int = 0) -> None:
    """Set the basis to the principal components of the training photos."""
    patches = patches_of(pairs, vae.config.patch_size, 200_000, seed).double()
    mean = patches.mean(dim=0)
    centred = patches - mean
    _, vectors = torch.linalg.eigh(centred.T @ centred)
    components = vectors.flip(1)[:, : vae.config.latent_channels].T
    vae.set_basis(components.float(), mean.float())


def set_scaling(vae: PatchAutoencoder, pairs: Pairs, residual: bool, seed: int = 0) -> None:
    """Choose the scaling factor that gives the diffused latents unit variance."""
    random = np.random.default_rng(seed)
    squares = []
    for index in random.integers(0, len(pairs), min(200, len(pairs))):
        clean, low = (
            vae.encode(torch.from_numpy(p).permute(2, 0, 1)[None].float() / 127.5 - 1)
            for p in pairs.pictures(int(index))
        )
        latent = clean.latent_dist.mode()
        if residual:
            latent = latent - low.latent_dist.mode()
        squares.append(latent.square().mean())
    scale = 1 / torch.stack(squares).mean().sqrt().item()
    vae.register_to_config(scaling_factor=round(scale, 4))


def train_decoder(
    vae: PatchAutoencoder, pairs: Pairs, steps: int, seed: int = 0, batch_size: int = 8
) -> None:
    """Teach the decoder's correction; the encoder stays the linear basis, so latents do not move.

    Half of the latents get a little noise: what the denoiser hands over is never exact, and the
    correction must not answer its errors with blocks.
    """
    vae.requires_grad_(False)
    vae.correction.requires_grad_(True)
    optimizer = torch.optim.AdamW(vae.correction.parameters(), lr=1e-3, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    generator = torch.Generator().manual_seed(seed)
    for step in range(steps):
        clean = pairs.batch(batch_size, seed + 1, step).clean
        latent = vae.encode(clean).latent_dist.mode()
        noise = torch.randn(latent.shape, generator=generator) * 0.05
        noise[: batch_size // 2] = 0
        loss = F.l1_loss(vae.decode(latent + noise).sample, clean)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 100 == 0:
            logger.info("autoencoder step %d of %d: mean absolute error %.4f", step, steps, loss)
    vae.requires_grad_(False)
