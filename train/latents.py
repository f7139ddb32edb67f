"""What the frozen autoencoder makes of clean pictures, kept on the disk."""

import hashlib
from functools import cached_property
from pathlib import Path

import torch
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from diffusers.models.modeling_outputs import AutoencoderKLOutput
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from train.config import TrainConfig
from train.data import Batch
from train.disk import writing
from train.networks import weights_hash
from xpsr.whole import unlocked, whole


class LatentCache:
    """Mean and log-variance of whole clean pictures, one file each, in `data/latents/`.

    A file is named after the picture itself: pairs that are made anew find none of before. Encoded
    and kept in float32 whatever the run computes in, so that runs can share them. Processes that
    meet at the same picture write the same bytes.
    """

    def __init__(self, config: TrainConfig, vae: nn.Module):
        self.data, self.vae = Path(config.data), vae
        weight = next(vae.parameters())
        with torch.no_grad():
            blank = vae.encode(weight.new_zeros(1, 3, 64, 64)).latent_dist
        self.deterministic = blank.deterministic

    @cached_property
    def folder(self) -> Path:
        """Named after the weights, which a checkpoint may have brought since the beginning; not
        after those that learn, for nothing that encodes does."""
        weights = (*self.vae.parameters(), *self.vae.buffers())
        still = (weight for weight in weights if not weight.requires_grad)
        folder = self.data / "latents" / weights_hash(still)[:16]
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def encode(self, batch: Batch) -> AutoencoderKLOutput:
        """As `vae.encode(batch.clean)`."""
        moments = torch.cat([self._moments(picture[None]) for picture in batch.clean])
        return AutoencoderKLOutput(
            latent_dist=DiagonalGaussianDistribution(moments, self.deterministic)
        )

    def _moments(self, picture: Tensor) -> Tensor:
        pixels = ((picture + 1) * 127.5).round().byte().cpu().contiguous().numpy()
        path = self.folder / f"{hashlib.sha256(pixels).hexdigest()[:32]}.safetensors"
        if not path.is_file():
            with torch.autocast(picture.device.type, enabled=False):
                moments = self.vae.encode(picture).latent_dist.parameters
            with whole(path) as part, writing(part, "A cached latent"):
                save_file({"moments": moments.float().cpu().contiguous()}, part)
                unlocked([part])
        return load_file(path)["moments"].to(picture.device)
