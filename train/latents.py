"""What the frozen autoencoder makes of clean pictures, kept on the disk."""

import hashlib
from pathlib import Path
from uuid import uuid4

import torch
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from diffusers.models.modeling_outputs import AutoencoderKLOutput
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from train.config import TrainConfig
from train.data import Batch
from train.disk import writing


class LatentCache:
    """Mean and log-variance of whole clean pictures, one file each, in `data/latents/`.

    Kept in float32, so a run with it is the run without it. Files are written under another name
    first: processes that meet at the same picture write the same bytes.
    """

    def __init__(self, config: TrainConfig, vae: nn.Module):
        digest = hashlib.sha256()
        for tensor in vae.state_dict().values():
            digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy())
        self.folder = Path(config.data) / "latents" / digest.hexdigest()[:16]
        self.folder.mkdir(parents=True, exist_ok=True)
        weight = next(vae.parameters())
        with torch.no_grad():
            blank = vae.encode(weight.new_zeros(1, 3, 64, 64)).latent_dist
        self.deterministic = blank.deterministic

    def encode(self, vae: nn.Module, batch: Batch) -> AutoencoderKLOutput:
        """As `vae.encode(batch.clean)`."""
        moments = [
            self._moments(vae, name, picture[None])
            for name, picture in zip(batch.ids, batch.clean, strict=True)
        ]
        posterior = DiagonalGaussianDistribution(torch.cat(moments), self.deterministic)
        return AutoencoderKLOutput(latent_dist=posterior)

    def _moments(self, vae: nn.Module, name: str, picture: Tensor) -> Tensor:
        path = self.folder / f"{name}.safetensors"
        if not path.is_file():
            posterior = vae.encode(picture).latent_dist
            part = path.with_suffix(f".{uuid4().hex}.part")
            with writing(part, "A cached latent"):
                save_file({"moments": posterior.parameters.float().cpu().contiguous()}, part)
            part.replace(path)
        return load_file(path)["moments"].to(picture.device)
