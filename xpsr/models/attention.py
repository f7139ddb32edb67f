"""Semantic-fusion attention: two prompts read side by side, then joined (paper, sec. 3.2)."""

import copy
from typing import Any, Literal, get_args

import torch
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from torch import Tensor, nn

FusionKind = Literal["parallel", "serial", "high", "low"]
FUSION_KINDS: tuple[str, ...] = get_args(FusionKind)

# The two text embeddings travel through diffusers' stock blocks as one value.
PromptPair = tuple[Tensor, Tensor | None]


def tokens(feature_map: Tensor) -> Tensor:
    """(B, C, H, W) feature map → (B, H·W, C) tokens, with no norm or projection of their own."""
    return feature_map.flatten(2).transpose(1, 2)


def transformer_like(stock: Transformer2DModel, cross_attention_dim: int) -> Transformer2DModel:
    """A fresh transformer shaped as `stock` whose cross-attention reads `cross_attention_dim`."""
    return Transformer2DModel(**shape_of(stock, cross_attention_dim))


def shape_of(stock: Transformer2DModel, cross_attention_dim: int) -> dict[str, Any]:
    """The arguments that a transformer like `stock` is built from.

    Taken from the module and not from `stock.config`: diffusers' blocks pass the head count and
    width as positional arguments, which the config then lists as defaults and drops on rebuilding.
    """
    attention = stock.transformer_blocks[0].attn1
    return {
        "num_attention_heads": attention.heads,
        "attention_head_dim": attention.inner_dim // attention.heads,
        "in_channels": stock.in_channels,
        "num_layers": len(stock.transformer_blocks),
        "cross_attention_dim": cross_attention_dim,
        "norm_num_groups": stock.norm.num_groups,
        "use_linear_projection": stock.use_linear_projection,
        "upcast_attention": attention.upcast_attention,
    }


class SemanticFusionAttention(nn.Module):
    """Stands where a stock block keeps one text transformer and reads both prompts instead.

    `fusion="parallel"` is the paper's: `high` and `low` read the same input, `fuse` lets the
    high-level result attend to the low-level one. `serial` applies one after the other, `high` and
    `low` keep a single branch (paper, Table 3).

    Args:
        high: the stock transformer; its weights become the high-level branch.
        cross_attention_dim: width of the text embeddings.
        fusion: one of `FUSION_KINDS`.
    """

    def __init__(self, high: Transformer2DModel, cross_attention_dim: int, fusion: FusionKind):
        super().__init__()
        self.fusion = fusion
        self.high = high if fusion != "low" else None
        self.low = transformer_like(high, cross_attention_dim) if fusion != "high" else None
        self.fuse = transformer_like(high, high.in_channels) if fusion == "parallel" else None

    def start_from_high(self) -> None:
        """Copy the high-level weights into the other branches wherever the shapes agree.

        So the authors start: the text-reading weights of `fuse` (C × C) stay fresh, because those
        of `high` are C × cross_attention_dim.
        """
        if self.high is None:
            return
        weights = self.high.state_dict()
        for branch in filter(None, (self.low, self.fuse)):
            own = branch.state_dict()
            fits = {k: v for k, v in copy.deepcopy(weights).items() if own[k].shape == v.shape}
            branch.load_state_dict({**own, **fits})

    def forward(
        self, hidden_states: Tensor, encoder_hidden_states: PromptPair, **_stock: Any
    ) -> tuple[Tensor]:
        """`hidden_states` (B, C, H, W), `encoder_hidden_states` = (high, low), each (B, L, D).

        With no low-level embedding the high-level branch is used alone. `_stock` takes the masks
        and flags that stock blocks pass along; XPSR masks no text.
        """
        prompt, lowlevel_prompt = encoder_hidden_states
        if self.high is None:
            text = prompt if lowlevel_prompt is None else lowlevel_prompt
            return (_read(self.low, hidden_states, text),)
        high = _read(self.high, hidden_states, prompt)
        if self.low is None or lowlevel_prompt is None:
            return (high,)
        if self.fuse is None:
            return (_read(self.low, high, lowlevel_prompt),)
        low = _read(self.low, hidden_states, lowlevel_prompt)
        return (_read(self.fuse, high, tokens(low)),)


def _read(transformer: nn.Module | None, hidden_states: Tensor, context: Tensor) -> Tensor:
    assert transformer is not None
    return transformer(hidden_states, encoder_hidden_states=context, return_dict=False)[0]


def reads_text(block: nn.Module) -> bool:
    """Whether a stock block has text transformers; those without do not all say so."""
    return getattr(block, "has_cross_attention", False)


def fuse_block(block: nn.Module, cross_attention_dim: int, fusion: FusionKind) -> None:
    """Give every text transformer of a stock block (if it has any) its second prompt."""
    if reads_text(block):
        block.attentions = nn.ModuleList(
            SemanticFusionAttention(stock, cross_attention_dim, fusion)
            for stock in block.attentions
        )


def fusion_units(module: nn.Module) -> list[SemanticFusionAttention]:
    """Every fusion unit below `module`, in the order of the forward pass."""
    return [m for m in module.modules() if isinstance(m, SemanticFusionAttention)]


def walk_down(
    network: nn.Module, sample: Tensor, temb: Tensor, told: Any
) -> tuple[Tensor, list[Tensor]]:
    """The way down through a UNet or ControlNet.

    Args:
        network: has the stock `down_blocks` and `mid_block`.
        sample: features behind the first convolution (B, C, h, w).
        temb: time embedding (B, D).
        told: what the transformers of the blocks read, as they take it.

    Returns:
        features behind the middle, and those for the skips.
    """
    skips = [sample]
    for block in network.down_blocks:
        text = {"encoder_hidden_states": told} if reads_text(block) else {}
        sample, outputs = block(hidden_states=sample, temb=temb, **text)
        skips.extend(outputs)
    text = {"encoder_hidden_states": told} if reads_text(network.mid_block) else {}
    return network.mid_block(sample, temb, **text), skips


def broadcast_timestep(timestep: Tensor | float, sample: Tensor) -> Tensor:
    """A number, a scalar tensor or a (B,) tensor → a (B,) tensor on the device of `sample`."""
    return torch.as_tensor(timestep, device=sample.device).reshape(-1).expand(sample.shape[0])
