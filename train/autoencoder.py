"""What the embedded model's autoencoder starts from: components of patches, and a scale."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from train.data import Samples
from xpsr.errors import XPSRError
from xpsr.models import PatchAutoencoder


def patches_of(pairs: Samples, patch_size: int, count: int, seed: int) -> Tensor:
    """Random clean patches, (count, 3·patch²) in [-1, 1], in the order of pixel_unshuffle; fewer
    where there are few pictures, each of which is drawn once on average at most."""
    random = np.random.default_rng(seed)
    per_picture = 900
    rows = []
    for index in random.integers(0, len(pairs), min(max(1, count // per_picture), len(pairs))):
        clean = torch.from_numpy(pairs.pictures(int(index))[0]).permute(2, 0, 1).float() / 127.5 - 1
        top, left = (int(random.integers(0, patch_size)) for _ in range(2))
        h, w = ((s - patch_size) // patch_size * patch_size for s in clean.shape[1:])
        window = clean[None, :, top : top + h, left : left + w]
        found = F.pixel_unshuffle(window, patch_size).flatten(2)[0].T
        rows.append(found[random.permutation(len(found))[:per_picture]])
    return torch.cat(rows)


def start_from_components(vae: PatchAutoencoder, pairs: Samples, seed: int = 0) -> None:
    """Set the basis to the principal components of the training photos.

    Raises:
        XPSRError: a patch has no so many components, or patches do not fill the photos.
    """
    _refuse_sizes(vae, pairs)
    patches = patches_of(pairs, vae.config.patch_size, 200_000, seed).double()
    mean = patches.mean(dim=0)
    centred = patches - mean
    _, vectors = torch.linalg.eigh(centred.T @ centred)
    components = vectors.flip(1)[:, : vae.config.latent_channels].T
    vae.set_basis(components.float(), mean.float())


def _refuse_sizes(vae: PatchAutoencoder, pairs: Samples) -> None:
    side, channels = vae.config.patch_size, vae.config.latent_channels
    said = "No network can be built from the tables of model: autoencoder."
    if side < 1 or not 1 <= channels <= 3 * side**2:
        raise XPSRError(
            f"{said}latent_channels cannot be {channels} with autoencoder.patch_size={side}, whose"
            f" patches have {3 * side**2} numbers."
        )
    height, width, _ = pairs.pictures(0)[0].shape
    if height % side or width % side:
        raise XPSRError(
            f"{said}patch_size cannot be {side} with pictures of {width} x {height} pixels."
        )


def set_scaling(vae: PatchAutoencoder, pairs: Samples, residual: bool, seed: int = 0) -> None:
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
