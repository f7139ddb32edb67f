"""SeeSR's networks: Stable Diffusion's UNet and ControlNet, which also read tokens of the picture.

Wu et al., "SeeSR: Towards Semantics-Aware Real-World Image Super-Resolution", CVPR 2024. The
tokens come from its tagger (`DAPEModel`), as do the tags that stand in the text.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

# diffusers' pipeline loader looks for the name ModelMixin in the module of a custom component.
from diffusers import ControlNetModel, ModelMixin, UNet2DConditionModel  # noqa: F401
from diffusers.configuration_utils import register_to_config
from diffusers.models.controlnets.controlnet import ControlNetOutput
from diffusers.models.unets.unet_2d_condition import UNet2DConditionOutput
from torch import Tensor, dtype, float32

from xpsr.models.attention import broadcast_timestep, walk_down
from xpsr.models.config import extends_config_of, like_unet
from xpsr.models.family import SEESR
from xpsr.models.image_attention import add_image_attention
from xpsr.models.official import load_official


class SeeSRUNet2DConditionModel(UNet2DConditionModel):
    """Stable Diffusion's UNet with image attention behind every text attention.

    Every argument of `diffusers.UNet2DConditionModel`, and:

    Args:
        image_attention_dim: width of the picture's tokens.
    """

    @register_to_config
    @extends_config_of(UNet2DConditionModel)
    def __init__(self, *, image_attention_dim: int = 512, **config):
        super().__init__(**config)
        add_image_attention(self, image_attention_dim)

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor | float,
        encoder_hidden_states: Tensor,
        image_encoder_hidden_states: Tensor,
        down_block_additional_residuals: Sequence[Tensor] | None = None,
        mid_block_additional_residual: Tensor | None = None,
        return_dict: bool = True,
    ) -> UNet2DConditionOutput | tuple[Tensor]:
        """One pass.

        Args:
            sample: noisy latent (B, C, h, w), any size.
            timestep: a number or (B,).
            encoder_hidden_states: text embedding (B, L, D).
            image_encoder_hidden_states: the picture's tokens (B, N, image_attention_dim).
            down_block_additional_residuals, mid_block_additional_residual: the ControlNet's output.
            return_dict: `False` gives a plain tuple.
        """
        return super().forward(
            sample,
            timestep,
            (encoder_hidden_states, image_encoder_hidden_states),
            down_block_additional_residuals=down_block_additional_residuals,
            mid_block_additional_residual=mid_block_additional_residual,
            return_dict=return_dict,
        )

    @classmethod
    def from_unet(cls, unet: UNet2DConditionModel, **own) -> "SeeSRUNet2DConditionModel":
        """Start from a plain UNet: copy all of it; image attention starts fresh, as theirs."""
        model = like_unet(cls, unet, own)
        missing, unexpected = model.load_state_dict(unet.state_dict(), strict=False)
        mark = SEESR.networks["unet"].mark
        assert not unexpected and all(mark in key for key in missing)
        return model

    @classmethod
    def from_official(
        cls, folder: str | Path, dtype: dtype = float32
    ) -> "SeeSRUNet2DConditionModel":
        """Load the authors' checkpoint: a folder with config.json and safetensors or .bin weights.

        Raises:
            XPSRError: the folder holds something else; the sentence says what.
        """
        return load_official(cls, SEESR, "unet", Path(folder), dtype)


class SeeSRControlNetModel(ControlNetModel):
    """ControlNet on the enlarged picture, with image attention behind every text attention.

    diffusers' `from_unet` starts one from a SeeSR UNet: a copy of its encoder, image attention and
    all. Every argument of `diffusers.ControlNetModel`, and:

    Args:
        image_attention_dim: width of the picture's tokens.
    """

    # ControlNetModel names none; compile_repeated_blocks() needs them.
    _repeated_blocks = ["BasicTransformerBlock"]  # noqa: RUF012
    _no_split_modules = ["BasicTransformerBlock", "ResnetBlock2D"]  # noqa: RUF012

    @register_to_config
    @extends_config_of(ControlNetModel)
    def __init__(self, *, image_attention_dim: int = 512, **config):
        super().__init__(**config)
        add_image_attention(self, image_attention_dim)

    @property
    def downscale(self) -> int:
        """Picture pixels per latent pixel."""
        return 2 ** (len(self.config.conditioning_embedding_out_channels) - 1)

    def hint(self, controlnet_cond: Tensor) -> Tensor:
        """Embed the picture once; it does not depend on the timestep. (B, 3, H, W) in [0, 1]."""
        return self.controlnet_cond_embedding(controlnet_cond)

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor | float,
        encoder_hidden_states: Tensor,
        image_encoder_hidden_states: Tensor,
        controlnet_cond: Tensor | None = None,
        conditioning_scale: float = 1.0,
        hint: Tensor | None = None,
        return_dict: bool = True,
    ) -> ControlNetOutput | tuple[Any, ...]:
        """One pass.

        Args:
            sample: noisy latent (B, C, h, w).
            timestep: a number or (B,).
            encoder_hidden_states: text embedding (B, L, D).
            image_encoder_hidden_states: the picture's tokens (B, N, image_attention_dim).
            controlnet_cond: low-resolution picture enlarged to output size, (B, 3, H, W) in [0, 1].
            conditioning_scale: factor on every residual.
            hint: the result of `hint(controlnet_cond)`, given instead of the picture.
            return_dict: `False` gives a plain tuple.
        """
        if hint is None:
            if controlnet_cond is None:
                raise ValueError("give controlnet_cond (the picture) or hint (its embedding)")
            hint = self.hint(controlnet_cond)
        temb = self.time_proj(broadcast_timestep(timestep, sample)).to(sample.dtype)
        told = (encoder_hidden_states, image_encoder_hidden_states)
        middle, skips = walk_down(
            self, self.conv_in(sample) + hint, self.time_embedding(temb), told
        )
        down = tuple(
            zero(skip) * conditioning_scale
            for zero, skip in zip(self.controlnet_down_blocks, skips, strict=True)
        )
        output = ControlNetOutput(
            down_block_res_samples=down,
            mid_block_res_sample=self.controlnet_mid_block(middle) * conditioning_scale,
        )
        return output if return_dict else output.to_tuple()

    @classmethod
    def from_official(cls, folder: str | Path, dtype: dtype = float32) -> "SeeSRControlNetModel":
        """Load the authors' checkpoint: a folder with config.json and safetensors or .bin weights.

        Raises:
            XPSRError: the folder holds something else; the sentence says what.
        """
        return load_official(cls, SEESR, "controlnet", Path(folder), dtype)
