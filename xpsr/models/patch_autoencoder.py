"""The autoencoder of the embedded model: a patch basis and small convolutions at latent size."""

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from diffusers.models.autoencoders.vae import DecoderOutput, DiagonalGaussianDistribution
from diffusers.models.modeling_outputs import AutoencoderKLOutput
from torch import Tensor, nn
from torch.nn import functional as F

from xpsr.models.bands import in_bands
from xpsr.models.chroma import chroma_reach, smooth_chroma
from xpsr.models.patch_unet import PatchUNet
from xpsr.models.residual_block import ResidualBlock

FINE = 2  # pixels that the finish takes for one place
AT_ONCE = 2048 * 2048  # pixels; of more, its features would take gigabytes


class PatchAutoencoder(ModelMixin, ConfigMixin):
    """Pictures ⇄ latents at 1/`patch_size` of their size, as `AutoencoderKL` spells it.

    The encoder is linear: an orthonormal basis of `patch_size`² × 3 patches (principal components
    of photographs), so a latent is the picture less its finest detail, with no noise of its own.
    The decoder is the transposed basis plus a correction that sees neighbouring patches and so
    removes block edges. These run at latent size: on a CPU, convolutions at full size are what
    makes autoencoders slow. What is drawn a patch at a time has a pattern of its own, though, and
    nothing finer than the basis: the finish, at half the size, sees across patches.

    Args:
        latent_channels: components kept of each patch.
        patch_size: pixels per latent pixel.
        decoder_width, decoder_blocks: size of the correction.
        finish_channels: widths of the finish at 1/2, 1/4, … of the picture's side; () = no finish.
        scaling_factor: latents are multiplied by it before diffusion.
        chroma_sigma: decoded pictures have their colour differences blurred by so many pixels; 0 =
            not at all. Of these a low-resolution picture says little, and the eye asks for less;
            what a small decoder draws there is coloured grain.
    """

    @register_to_config
    def __init__(
        self,
        latent_channels: int = 48,
        patch_size: int = 8,
        decoder_width: int = 128,
        decoder_blocks: int = 2,
        scaling_factor: float = 1.0,
        chroma_sigma: float = 0.0,
        finish_channels: tuple[int, ...] = (),
    ):
        super().__init__()
        pixels = 3 * patch_size**2
        self.basis = nn.Conv2d(pixels, latent_channels, 1)
        self.unbasis = nn.Conv2d(latent_channels, pixels, 1)
        self.correction = nn.Sequential(
            nn.Conv2d(latent_channels, decoder_width, 3, padding=1),
            *(ResidualBlock(decoder_width) for _ in range(decoder_blocks)),
            nn.SiLU(),
            nn.Conv2d(decoder_width, pixels, 3, padding=1),
        )
        # Starts as the plain linear basis, which reconstructs photographs without any training.
        nn.init.zeros_(self.correction[-1].weight)
        nn.init.zeros_(self.correction[-1].bias)
        self.finish = PatchUNet(finish_channels, FINE) if finish_channels else None
        if self.finish is not None:
            nn.init.zeros_(self.finish.conv_out.weight)
            nn.init.zeros_(self.finish.conv_out.bias)

    @torch.no_grad()
    def set_basis(self, components: Tensor, mean: Tensor) -> None:
        """Start from principal components (latent_channels, 3·patch²), orthonormal rows, and the
        mean patch (3·patch²), both of pictures in [-1, 1] in the order of `pixel_unshuffle`."""
        self.basis.weight.copy_(components[..., None, None])
        self.basis.bias.copy_(-components @ mean)
        self.unbasis.weight.copy_(components.T[..., None, None])
        self.unbasis.bias.copy_(mean)

    def encode(self, x: Tensor, return_dict: bool = True):
        """(B, 3, H, W) in [-1, 1], sides multiples of `patch_size` → a latent without spread."""
        z = self.basis(F.pixel_unshuffle(x, self.config.patch_size))
        moments = torch.cat([z, torch.zeros_like(z)], dim=1)
        posterior = DiagonalGaussianDistribution(moments, deterministic=True)
        return AutoencoderKLOutput(latent_dist=posterior) if return_dict else (posterior,)

    def decode(self, z: Tensor, return_dict: bool = True, generator=None):
        """Latent (B, C, h, w), not scaled → picture (B, 3, h·patch, w·patch), about [-1, 1]."""
        sample = F.pixel_shuffle(self.unbasis(z) + self.correction(z), self.config.patch_size)
        multiple, reach = (
            (1, 0) if self.finish is None else (self.finish.multiple, self.finish.reach)
        )
        reach += -(-chroma_reach(self.config.chroma_sigma) // multiple) * multiple
        sample = in_bands(self._finished, sample, AT_ONCE, multiple, reach)
        return DecoderOutput(sample=sample) if return_dict else (sample,)

    def _finished(self, sample: Tensor) -> Tensor:
        """What patches leave, gone over at full size."""
        if self.finish is not None:
            sample = self.finish(sample)
        if self.config.chroma_sigma:
            sample = smooth_chroma(sample, self.config.chroma_sigma)
        return sample
