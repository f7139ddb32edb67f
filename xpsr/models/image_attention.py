"""SeeSR's second look: behind every text transformer, one that reads tokens of the picture."""

from typing import Any

from diffusers.models.transformers.transformer_2d import Transformer2DModel
from torch import Tensor, nn

from xpsr.models.attention import reads_text, shape_of, transformer_like


class TextThenImageTransformer(Transformer2DModel):
    """A text transformer, and behind it a whole second one whose cross-attention reads the picture.

    The first keeps the names of its weights, so Stable Diffusion's load as they are, and a LoRA
    made for it as well.

    Args:
        stock: the text transformer to be like.
        image_attention_dim: width of the picture's tokens.
    """

    def __init__(self, stock: Transformer2DModel, image_attention_dim: int):
        text_width = stock.transformer_blocks[0].attn2.to_k.in_features
        super().__init__(**shape_of(stock, text_width))
        self.image = transformer_like(stock, image_attention_dim)

    def forward(
        self, hidden_states: Tensor, encoder_hidden_states: tuple[Tensor, Tensor], **stock: Any
    ) -> tuple[Tensor]:
        """`hidden_states` (B, C, H, W), `encoder_hidden_states` = (text, tokens of the picture),
        (B, L, D) each. `stock` is what stock blocks pass along to every transformer."""
        text, image = encoder_hidden_states
        read = super().forward(hidden_states, encoder_hidden_states=text, **stock)[0]
        return self.image(read, encoder_hidden_states=image, return_dict=False)


def add_image_attention(network: nn.Module, image_attention_dim: int) -> None:
    """Put `TextThenImageTransformer`s into every stock block of a UNet or ControlNet that reads
    text."""
    blocks = (*network.down_blocks, network.mid_block, *getattr(network, "up_blocks", ()))
    for block in blocks:
        if reads_text(block):
            block.attentions = nn.ModuleList(
                TextThenImageTransformer(stock, image_attention_dim) for stock in block.attentions
            )
