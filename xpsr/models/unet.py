"""XPSR's UNet: Stable Diffusion's, whose decoder also looks at the ControlNet's features."""

from collections.abc import Sequence
from pathlib import Path

# diffusers' pipeline loader looks for the name ModelMixin in the module of a custom component.
from diffusers import ModelMixin, UNet2DConditionModel  # noqa: F401
from diffusers.configuration_utils import register_to_config
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from diffusers.models.unets.unet_2d_condition import UNet2DConditionOutput
from torch import Tensor, cat, dtype, float32, is_grad_enabled, nn

from xpsr.models.attention import broadcast_timestep, tokens, walk_down
from xpsr.models.config import extends_config_of, like_unet
from xpsr.models.family import XPSR
from xpsr.models.official import load_official


class ConditionalUpBlock(nn.Module):
    """A decoder block that adopts the layers of a stock one and adds conditional attention.

    After each resnet (and its text attention, where the level has one) a whole transformer lets the
    hidden state attend to the ControlNet residual of the very skip that the layer consumed
    (paper, sec. 3.3). Stock keys stay stock keys, so SD weights load as they are, and
    a LoRA made for SD as well.

    Args:
        stock: `UpBlock2D` or `CrossAttnUpBlock2D`.
        context_widths: channels of the residual each layer consumes, in the order of the layers;
            empty = no conditional attention at this level.
        heads, groups, use_linear_projection, upcast_attention: as in the stock transformers.
    """

    def __init__(
        self,
        stock: nn.Module,
        context_widths: Sequence[int],
        heads: int,
        groups: int,
        use_linear_projection: bool,
        upcast_attention: bool,
    ):
        super().__init__()
        self.resnets = stock.resnets
        if hasattr(stock, "attentions"):
            self.attentions = stock.attentions
        self.upsamplers = stock.upsamplers
        channels = stock.resnets[0].out_channels
        self.pixel_attentions = nn.ModuleList(
            Transformer2DModel(
                num_attention_heads=heads,
                attention_head_dim=channels // heads,
                in_channels=channels,
                cross_attention_dim=width,
                norm_num_groups=groups,
                use_linear_projection=use_linear_projection,
                upcast_attention=upcast_attention,
            )
            for width in context_widths
        )
        self.has_cross_attention = hasattr(stock, "attentions")
        self.gradient_checkpointing = False

    def forward(
        self,
        hidden_states: Tensor,
        temb: Tensor,
        skips: Sequence[Tensor],
        residuals: Sequence[Tensor],
        encoder_hidden_states: Tensor,
        upsample_size: tuple[int, int] | None = None,
    ) -> Tensor:
        """`skips` (residual already added) and the bare `residuals`, both in the order of use.

        They come as slices and nothing is popped: offload hooks hand blocks copies of their inputs.
        """
        for i, resnet in enumerate(self.resnets):
            hidden_states = cat([hidden_states, skips[i]], dim=1)
            if is_grad_enabled() and self.gradient_checkpointing:
                hidden_states = self._gradient_checkpointing_func(resnet, hidden_states, temb)
            else:
                hidden_states = resnet(hidden_states, temb)
            if self.has_cross_attention:
                hidden_states = self.attentions[i](
                    hidden_states, encoder_hidden_states=encoder_hidden_states, return_dict=False
                )[0]
            if len(self.pixel_attentions) > 0:
                hidden_states = self.pixel_attentions[i](
                    hidden_states, encoder_hidden_states=tokens(residuals[i]), return_dict=False
                )[0]
        for upsampler in self.upsamplers or ():
            hidden_states = upsampler(hidden_states, upsample_size)
        return hidden_states


class XPSRUNet2DConditionModel(UNet2DConditionModel):
    """Stable Diffusion's UNet with conditional attention in its decoder.

    Every argument of `diffusers.UNet2DConditionModel`, and:

    Args:
        conditional_attention: one flag for each up block; `None` = all of them, as in the paper.
    """

    @register_to_config
    @extends_config_of(UNet2DConditionModel)
    def __init__(self, *, conditional_attention: Sequence[bool] | None = None, **config):
        super().__init__(**config)
        count = len(self.up_blocks)
        flags = [True] * count if conditional_attention is None else list(conditional_attention)
        if len(flags) != count:
            raise ValueError(f"conditional_attention needs {count} flags, one for each up block")
        heads = self.config.num_attention_heads or self.config.attention_head_dim
        heads = [heads] * count if isinstance(heads, int) else list(heads)
        residual_widths = self._residual_widths()
        for i, stock in enumerate(self.up_blocks):
            consumed = [residual_widths.pop() for _ in stock.resnets]
            self.up_blocks[i] = ConditionalUpBlock(
                stock,
                consumed if flags[i] else (),
                heads=heads[-1 - i],
                groups=self.config.norm_num_groups,
                use_linear_projection=self.config.use_linear_projection,
                upcast_attention=self.config.upcast_attention,
            )

    def _residual_widths(self) -> list[int]:
        """Channels of the ControlNet residuals, in the order they are made (12 for SD-1.5)."""
        widths = [self.config.block_out_channels[0]]
        for block in self.down_blocks:
            halvings = len(block.downsamplers) if block.downsamplers is not None else 0
            widths += [block.resnets[-1].out_channels] * (len(block.resnets) + halvings)
        return widths

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor | float,
        encoder_hidden_states: Tensor,
        down_block_additional_residuals: Sequence[Tensor] | None = None,
        mid_block_additional_residual: Tensor | None = None,
        return_dict: bool = True,
    ) -> UNet2DConditionOutput | tuple[Tensor]:
        """One pass (paper, sec. 3.3).

        Own and short because the stock forward adds the residuals to the skips before a decoder
        block could see them apart.

        Args:
            sample: noisy latent (B, C, h, w), any size.
            timestep: a number or (B,).
            encoder_hidden_states: high-level text embedding (B, L, D).
            down_block_additional_residuals, mid_block_additional_residual: the ControlNet's output;
                the network cannot run without it.
            return_dict: `False` gives a plain tuple.
        """
        if down_block_additional_residuals is None or mid_block_additional_residual is None:
            raise ValueError("XPSR's UNet needs the residuals of its ControlNet")
        t_emb = self.get_time_embed(sample, broadcast_timestep(timestep, sample))
        temb = self.time_embedding(t_emb)
        sample, skips = walk_down(self, self.conv_in(sample), temb, encoder_hidden_states)
        sample = sample + mid_block_additional_residual
        residuals = list(down_block_additional_residuals)
        end = len(skips)
        for block in self.up_blocks:
            start = end - len(block.resnets)
            used = range(end - 1, start - 1, -1)
            sample = block(
                sample,
                temb,
                [skips[k] + residuals[k] for k in used],
                [residuals[k] for k in used],
                encoder_hidden_states,
                # Follow the next skip: latent sizes need not be multiples of the network's depth.
                skips[start - 1].shape[2:] if start > 0 else None,
            )
            end = start
        sample = self.conv_out(self.conv_act(self.conv_norm_out(sample)))
        return UNet2DConditionOutput(sample=sample) if return_dict else (sample,)

    @classmethod
    def from_unet(cls, unet: UNet2DConditionModel, **own) -> "XPSRUNet2DConditionModel":
        """Start from a plain UNet: copy all of it; conditional attention starts fresh, as the
        authors'. `from_pretrained` on a plain folder would leave those layers uninitialised."""
        model = like_unet(cls, unet, own)
        missing, unexpected = model.load_state_dict(unet.state_dict(), strict=False)
        assert not unexpected and all(".pixel_attentions." in key for key in missing)
        return model

    @classmethod
    def from_official(
        cls, folder: str | Path, dtype: dtype = float32
    ) -> "XPSRUNet2DConditionModel":
        """Load the authors' checkpoint: a folder with config.json and safetensors or .bin weights.

        Args:
            folder: the one of this network.
            dtype: number format of the weights in memory.

        Raises:
            XPSRError: the folder holds something else; the sentence says what.
        """
        return load_official(cls, XPSR, "unet", Path(folder), dtype)
