"""Looks on while the ControlNet reads the two texts, and changes nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from xpsr.errors import XPSRError
from xpsr.models.attention import SemanticFusionAttention
from xpsr.models.image_attention import TextThenImageTransformer
from xpsr.wordmaps.grid import Grid
from xpsr.wordmaps.maps import Geometry, Layer, TextMaps, WordMaps
from xpsr.wordmaps.pieces import Piece, pieces_of, row_groups

if TYPE_CHECKING:
    from diffusers import Transformer2DModel
    from diffusers.models.attention_processor import Attention
    from transformers import CLIPTokenizer

    from xpsr.frame import Frame
    from xpsr.models import XPSRControlNetModel
    from xpsr.prompts.text import EncoderTexts
    from xpsr.tiling import Tile

BranchName = Literal["high", "low"]

MAX_PARTS = 4  # stretches of a run that are kept apart; more would only need more memory
QUERIES = 1024  # of which the attention is computed at a time


class WordRecorder:
    """Where the words of both texts are attended to during one run.

    ```python
    recorder = WordRecorder()
    for item in pipe.stream(image, prompts, settings, recorder=recorder):
        ...
    recorder.maps.words("high")
    ```

    The networks run as ever; the attention is computed a second time beside them, so the result
    stays the same bit for bit. What is recorded is the cross-attention of the two transformers
    that read the texts in every semantic-fusion unit (paper, sec. 3.2), averaged over heads, for
    the positive texts only; in a SeeSR that of the one that reads its text. It takes some
    megabytes, whatever the size of the picture.

    Args:
        steps: which steps to look at, from 0; None = all. They are kept in up to four parts of
            equal length.
    """

    def __init__(self, steps: Iterable[int] | None = None) -> None:
        self.steps = None if steps is None else frozenset(steps)
        self._run: _Recording | None = None

    def begin(
        self,
        controlnet: XPSRControlNetModel,
        tokenizer: CLIPTokenizer,
        texts: EncoderTexts,
        frame: Frame,
        tiles: list[Tile],
        total: int,
    ) -> Callable[[int, Tile], Any]:
        """Called by the pipeline: forget what was, and give what watches every network call.

        Raises:
            XPSRError: the model has no attention to texts, or no step would be recorded.
        """
        steps = [step for step in range(total) if self.steps is None or step in self.steps]
        if not steps:
            raise XPSRError(
                f"No step would be recorded: this run has {total} steps, counted from 0."
            )
        transformers = _readers(controlnet)
        if not transformers:
            raise XPSRError(
                "This model has no attention that reads the texts, so there are no word maps."
            )
        sent: dict[BranchName, str] = {"high": texts.high.sent, "low": texts.low.sent}
        geometry = Geometry.of(frame, tiles, controlnet.downscale)
        self._run = _Recording(transformers, tokenizer, sent, geometry, tiles, _parts(steps))
        return self._run.watching

    @property
    def maps(self) -> WordMaps:
        """What was recorded so far.

        Raises:
            XPSRError: no recorded step is over yet.
        """
        if self._run is None or not self._run.grids:
            raise XPSRError("Nothing has been recorded yet: run the pipeline with this recorder.")
        return self._run.maps()


@dataclass
class _Recording:
    """One run under way; `grids` are by branch, part and factor."""

    transformers: Sequence[tuple[BranchName, Transformer2DModel]]
    tokenizer: CLIPTokenizer
    sent: dict[BranchName, str]
    geometry: Geometry
    tiles: list[Tile]
    parts: tuple[tuple[int, ...], ...]
    step: int = -1
    pieces: dict[BranchName, tuple[Piece, ...]] = field(default_factory=dict)
    groups: dict[BranchName, Tensor] = field(default_factory=dict)
    grids: dict[tuple[BranchName, int, int], Grid] = field(default_factory=dict)

    @contextmanager
    def watching(self, number: int, tile: Tile) -> Iterator[None]:
        """Look on while the networks work on a tile; the first tile begins a step."""
        if number == 0:
            self.step += 1
        part = next((n for n, steps in enumerate(self.parts) if self.step in steps), None)
        if part is None:
            yield
            return
        with ExitStack() as hooks:
            # Hooks for this one call only: a run that is stopped leaves none behind.
            for branch, transformer in self.transformers:
                look = _Look(partial(self._add, branch=branch, part=part, tile=tile))
                handles = [transformer.register_forward_pre_hook(look.at_transformer)]
                handles += [
                    block.attn2.register_forward_pre_hook(look.at_attention, with_kwargs=True)
                    for block in transformer.transformer_blocks
                ]
                for handle in handles:
                    hooks.callback(handle.remove)
            yield

    def _add(self, found: Tensor, branch: BranchName, part: int, tile: Tile) -> None:
        """Take in the attention (h, w, tokens) of one layer."""
        height, width, length = found.shape
        if branch not in self.groups:
            self.pieces[branch] = pieces_of(self.tokenizer, self.sent[branch], length)
            self.groups[branch] = row_groups(self.pieces[branch], self.tokenizer, length)
        count = len(self.pieces[branch]) + 2
        groups = self.groups[branch].to(found.device)
        words = found.new_zeros(count, height, width)
        words.index_add_(0, groups, found.permute(2, 0, 1))
        factor = _factor(tile, height, width)
        key = (branch, part, factor)
        if key not in self.grids:
            self.grids[key] = Grid(count, *self.geometry.latent, factor)
        self.grids[key].add(words, tile, alone=len(self.tiles) == 1)

    def maps(self) -> WordMaps:
        area = sum(tile.height * tile.width for tile in self.tiles)
        layers = {
            branch: [
                Layer(part, grid.factor, grid.cell, grid.looks / area, grid.mean())
                for (owner, part, _), grid in sorted(self.grids.items())
                if owner == branch
            ]
            for branch in self.pieces
        }
        texts = {
            branch: TextMaps(self.sent[branch], pieces, tuple(layers[branch]))
            for branch, pieces in sorted(self.pieces.items())
        }
        done = tuple(tuple(s for s in steps if s <= self.step) for steps in self.parts)
        return WordMaps(texts, tuple(filter(None, done)), self.geometry)


class _Look:
    """Sees one transformer work: first the size of its map, then each cross-attention.

    Only in the thread that it was made in: others may run the same networks meanwhile, on pictures
    of their own.
    """

    def __init__(self, take: Callable[[Tensor], None]) -> None:
        self.take = take
        self.thread = threading.get_ident()
        self.size = (0, 0)

    def at_transformer(self, _transformer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if threading.get_ident() == self.thread:
            self.size = inputs[0].shape[-2:]

    def at_attention(
        self,
        attention: Attention,
        inputs: tuple[Tensor, ...],
        # torch notes a moment after the hook that it takes these: a thread that is inside of the
        # module just then calls it without.
        options: dict[str, Any] | None = None,
    ) -> None:
        if threading.get_ident() != self.thread or options is None:
            return
        # The last of the batch: [negative, positive] with guidance, [positive] without.
        found = over_tokens(attention, inputs[0][-1:], options["encoder_hidden_states"][-1:])
        self.take(found.unflatten(0, self.size))


@torch.no_grad()
def over_tokens(attention: Attention, hidden_states: Tensor, text: Tensor) -> Tensor:
    """How much each place attends to each token, averaged over heads: (N, L) float32.

    Every row sums to one; XPSR masks no token. Nothing that `attention` itself computes is touched.

    Args:
        attention: a cross-attention as the transformers of Stable Diffusion have it.
        hidden_states: (1, N, C), what it is about to read.
        text: (1, L, D), the embedding it reads.
    """
    assert attention.to_k is not None  # only attention to added texts alone has none
    query = attention.head_to_batch_dim(attention.to_q(hidden_states)).float()
    key = attention.head_to_batch_dim(attention.to_k(text)).float()
    return torch.cat(
        [attention.get_attention_scores(q, key).mean(0) for q in query.split(QUERIES, 1)]
    )


def _readers(controlnet: XPSRControlNetModel) -> list[tuple[BranchName, Transformer2DModel]]:
    """Every transformer that reads a text, with the branch it belongs to."""
    found: list[tuple[BranchName, Transformer2DModel]] = []
    for module in controlnet.modules():
        if isinstance(module, TextThenImageTransformer):  # SeeSR's: one text
            found.append(("high", module))
        if isinstance(module, SemanticFusionAttention):
            if module.high is not None:
                found.append(("high", module.high))
            if module.low is not None:
                found.append(("low", module.low))
    return found


def _parts(steps: list[int]) -> tuple[tuple[int, ...], ...]:
    """The steps in up to MAX_PARTS stretches, as equal as possible."""
    count = min(MAX_PARTS, len(steps))
    ends = [len(steps) * number // count for number in range(count + 1)]
    return tuple(tuple(steps[a:b]) for a, b in pairwise(ends))


def _factor(tile: Tile, height: int, width: int) -> int:
    """How many times smaller a map is than its tile: levels halve, and round up."""
    factor = 1
    while -(-tile.height // factor) > height or -(-tile.width // factor) > width:
        factor *= 2
    return factor
