"""XPSR's ControlNet: low-resolution picture and two prompts → residuals for the UNet."""

from dataclasses import dataclass
from pathlib import Path

# diffusers' pipeline loader looks for the name ModelMixin in the module of a custom component.
from diffusers import ControlNetModel, ModelMixin, UNet2DConditionModel  # noqa: F401
from diffusers.configuration_utils import register_to_config
from diffusers.utils import BaseOutput
from torch import Tensor, dtype, float32, nn

from xpsr.models.attention import (
    FUSION_KINDS,
    FusionKind,
    broadcast_timestep,
    fuse_block,
    fusion_units,
    walk_down,
)
from xpsr.models.config import extends_config_of, like_unet
from xpsr.models.degradation_free import DegradationFreePredictor, TextReader
from xpsr.models.encoder import LowResolutionEncoder
from xpsr.models.family import XPSR
from xpsr.models.official import load_official


@dataclass
class XPSRControlNetOutput(BaseOutput):
    """What one ControlNet pass gives.

    Attributes:
        down_block_res_samples: residuals for the UNet's skips, scaled by `conditioning_scale`.
        mid_block_res_sample: residual for the UNet's middle, scaled likewise.
        pixel_predictions: clean-RGB predictions at 1/2, 1/4, … of the picture's size.
        latent_predictions: clean-latent predictions, one for each residual, the middle one last;
            computed before scaling.
    """

    down_block_res_samples: tuple[Tensor, ...]
    mid_block_res_sample: Tensor
    pixel_predictions: tuple[Tensor, ...]
    latent_predictions: tuple[Tensor, ...]


class XPSRControlNetModel(ControlNetModel):
    """ControlNet with semantic-fusion attention and the heads of the degradation-free constraint.

    Every argument of `diffusers.ControlNetModel`, and:

    Args:
        fusion: how the two prompts meet, see `SemanticFusionAttention` (paper, Table 3). Levels
            whose block type is `DownBlock2D` carry no fusion.
        use_lowlevel_prompt: `False` is the authors' spelling of `fusion="high"`.
        use_latent_pred: build the latent heads.
        return_rgbs: build the pixel heads.
        use_rrdb: residual dense blocks before the pyramid.
        degradation_free_channels: widths of a `DegradationFreePredictor`; `None` = none, as in the
            paper.
        degradation_free_reads_texts: the predictor hears both texts as well, and leaves in the
            picture what they do not complain of (`TextReader`).
    """

    # ControlNetModel names none; compile_repeated_blocks() needs them.
    _repeated_blocks = ["BasicTransformerBlock"]  # noqa: RUF012
    _no_split_modules = ["BasicTransformerBlock", "ResnetBlock2D"]  # noqa: RUF012

    @register_to_config
    @extends_config_of(ControlNetModel)
    def __init__(
        self,
        *,
        fusion: FusionKind = "parallel",
        use_lowlevel_prompt: bool = True,
        use_latent_pred: bool = True,
        return_rgbs: bool = True,
        use_rrdb: bool = False,
        degradation_free_channels: tuple[int, ...] | None = None,
        degradation_free_reads_texts: bool = False,
        **config,
    ):
        if fusion not in FUSION_KINDS:
            raise ValueError(f"fusion must be one of {', '.join(FUSION_KINDS)}, not {fusion!r}")
        super().__init__(**config)
        widths = self.config.block_out_channels
        self.controlnet_cond_embedding = LowResolutionEncoder(
            widths[0],
            self.config.conditioning_channels,
            tuple(self.config.conditioning_embedding_out_channels),
            use_rrdb,
            return_rgbs,
        )
        self.degradation_free_predictor = (
            DegradationFreePredictor(
                tuple(degradation_free_channels),
                self.config.cross_attention_dim if degradation_free_reads_texts else None,
            )
            if degradation_free_channels
            else None
        )
        for block in (*self.down_blocks, self.mid_block):
            fuse_block(
                block, self.config.cross_attention_dim, fusion if use_lowlevel_prompt else "high"
            )
        latent_channels = self.config.in_channels
        heads = [
            nn.Conv2d(zero.out_channels, latent_channels, 3, padding=1)
            for zero in (*self.controlnet_down_blocks, self.controlnet_mid_block)
        ]
        self.conv_degradation = nn.ModuleList(heads[:-1] if use_latent_pred else ())
        self.conv_degradation_mid = heads[-1] if use_latent_pred else None

    @property
    def downscale(self) -> int:
        """Picture pixels per latent pixel: 2 to the number of pyramid stages (8 for SD)."""
        return 2 ** (len(self.config.conditioning_embedding_out_channels) - 1)

    def hint(self, controlnet_cond: Tensor) -> Tensor:
        """Embed the picture once; it does not depend on the timestep. (B, 3, H, W) in [0, 1]."""
        return self.controlnet_cond_embedding(controlnet_cond)[0]

    def degradation_free(
        self,
        controlnet_cond: Tensor,
        encoder_hidden_states: Tensor | None = None,
        lowlevel_encoder_hidden_states: Tensor | None = None,
    ) -> Tensor:
        """The picture without its damage, as far as one pass can tell; without a predictor for
        that, the picture itself. (B, 3, H, W), [0, 1] in, about that range out. The texts are as in
        `forward`; a predictor that reads none does without."""
        if self.degradation_free_predictor is None:
            return controlnet_cond
        return self.degradation_free_predictor(
            controlnet_cond, encoder_hidden_states, lowlevel_encoder_hidden_states
        )

    @property
    def reader(self) -> TextReader | None:
        """What reads the texts for the predictor of the clean picture; None = nothing does."""
        predictor = self.degradation_free_predictor
        return None if predictor is None else predictor.reader

    def learn_to_read(self) -> None:
        """Give the predictor of the clean picture a fresh reader of texts, if it has none."""
        predictor = self.degradation_free_predictor
        if predictor is not None and predictor.reader is None:
            self.register_to_config(degradation_free_reads_texts=True)
            width = self.config.cross_attention_dim
            predictor.reader = TextReader(width, predictor.block_widths)

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor | float,
        encoder_hidden_states: Tensor,
        controlnet_cond: Tensor | None = None,
        conditioning_scale: float = 1.0,
        lowlevel_encoder_hidden_states: Tensor | None = None,
        hint: Tensor | None = None,
        with_predictions: bool = True,
        return_dict: bool = True,
    ) -> XPSRControlNetOutput | tuple:
        """One pass (paper, sec. 3.1).

        Args:
            sample: noisy latent (B, C, h, w).
            timestep: a number or (B,).
            encoder_hidden_states: high-level text embedding (B, L, D).
            controlnet_cond: low-resolution picture enlarged to output size, (B, 3, H, W) in [0, 1].
            conditioning_scale: factor on every residual.
            lowlevel_encoder_hidden_states: low-level text embedding (B, L', D); without it the
                high-level branch works alone.
            hint: the result of `hint(controlnet_cond)`, given instead of the picture.
            with_predictions: compute the training heads.
            return_dict: `False` gives a plain tuple of the same four values.
        """
        temb = self.time_proj(broadcast_timestep(timestep, sample)).to(sample.dtype)
        temb = self.time_embedding(temb)
        prompts = (encoder_hidden_states, lowlevel_encoder_hidden_states)
        pixel_predictions: tuple[Tensor, ...] = ()
        if hint is None:
            if controlnet_cond is None:
                raise ValueError("give controlnet_cond (the picture) or hint (its embedding)")
            hint, pixel_predictions = self.controlnet_cond_embedding(controlnet_cond)

        sample, skips = walk_down(self, self.conv_in(sample) + hint, temb, prompts)
        residuals = [zero(x) for zero, x in zip(self.controlnet_down_blocks, skips, strict=True)]
        residuals.append(self.controlnet_mid_block(sample))
        output = XPSRControlNetOutput(
            down_block_res_samples=tuple(r * conditioning_scale for r in residuals[:-1]),
            mid_block_res_sample=residuals[-1] * conditioning_scale,
            pixel_predictions=pixel_predictions if with_predictions else (),
            latent_predictions=self._latent_predictions(residuals) if with_predictions else (),
        )
        return output if return_dict else tuple(output.values())

    def _latent_predictions(self, residuals: list[Tensor]) -> tuple[Tensor, ...]:
        if self.conv_degradation_mid is None:
            return ()
        heads = (*self.conv_degradation, self.conv_degradation_mid)
        return tuple(head(r) for head, r in zip(heads, residuals, strict=True))

    @classmethod
    def from_unet(cls, unet: UNet2DConditionModel, **own) -> "XPSRControlNetModel":
        """Start from a (plain or XPSR) UNet: copy its encoder, the low-level and fusing branches
        from the high-level one; the zero convolutions start at zero, the rest fresh. `own` = config
        keys of this class or of `ControlNetModel`."""
        controlnet = like_unet(cls, unet, own)
        # Stock attention weights belong to the high-level branch of the unit in their place.
        encoder = {
            key: value
            for key, value in unet.state_dict().items()
            if key.startswith(("conv_in.", "time_embedding.", "down_blocks.", "mid_block."))
        }
        own_keys = controlnet.state_dict().keys()
        ours = XPSR.to_our_names("controlnet", encoder)
        controlnet.load_state_dict({k: v for k, v in ours.items() if k in own_keys}, strict=False)
        for unit in fusion_units(controlnet):
            unit.start_from_high()
        return controlnet

    @classmethod
    def from_official(cls, folder: str | Path, dtype: dtype = float32) -> "XPSRControlNetModel":
        """Load the authors' checkpoint: a folder with config.json and safetensors or .bin weights.

        Args:
            folder: the one of this network.
            dtype: number format of the weights in memory.

        Raises:
            XPSRError: the folder holds something else; the sentence says what.
        """
        return load_official(cls, XPSR, "controlnet", Path(folder), dtype)
