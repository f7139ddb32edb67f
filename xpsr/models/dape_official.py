"""The authors' files of RAM and DAPE → `DAPEModel`: names, the LoRA merged, readable complaints.

Sizes and layout from cswry/SeeSR (Apache-2.0). Of RAM's file a third is needed; its text decoder
and tag encoder are not read at all. Position indices and masks are computed anew.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from accelerate import init_empty_weights
from diffusers import ModelMixin
from torch import Tensor

from xpsr.errors import XPSRError
from xpsr.models.official import report
from xpsr.models.weights_file import align, read_shapes, read_weights
from xpsr.tagger_files import DAPE_FILE, RAM_FILE, SOURCE

Model = TypeVar("Model", bound=ModelMixin)
Read = Callable[[Path], dict[str, Tensor]]  # what a file holds

RANK = 8  # of every LoRA layer; its weight in the sum is 1 / RANK

_UNUSED = ("tag_encoder.", "text_decoder.")
# Part of a name of theirs → of ours, each applied; Swin's as transformers spells them since 5.9.
_RULES = (
    ("visual_encoder.patch_embed.proj.", "swin.embeddings.patch_embeddings.projection."),
    ("visual_encoder.patch_embed.", "swin.embeddings."),
    ("visual_encoder.layers.", "swin.encoder.layers."),
    ("visual_encoder.norm.", "swin.layernorm."),
    (".norm1.", ".layernorm_before."),
    (".norm2.", ".layernorm_after."),
    (".attn.relative_position_bias_table", ".attention.relative_position_bias."
     "relative_position_bias_table"),
    (".attn.proj.", ".attention.o_proj."),
    ("tagging_head.encoder.layer.", "tagging_head."),
    (".crossattention.self.query.", ".attention.to_q."),
    (".crossattention.self.key.", ".attention.to_k."),
    (".crossattention.self.value.", ".attention.to_v."),
    (".crossattention.output.dense.", ".attention.to_out.0."),
    (".crossattention.output.LayerNorm.", ".attention_norm."),
    (".intermediate.dense.", ".feed_forward.net.0.proj."),
    (".output.dense.", ".feed_forward.net.2."),
    (".output.LayerNorm.", ".feed_forward_norm."),
)  # fmt: skip
# Query and value of every Swin block in one, query and key of the tagging head.
_LORA = re.compile(
    r"visual_encoder\.layers\.\d+\.blocks\.\d+\.attn\.qkv\.weight"
    r"|tagging_head\.encoder\.layer\.\d+\.crossattention\.self\.(query|key)\.weight"
)


def load_dape(
    cls: type[Model], ram: Path, dape: Path | None, dtype: torch.dtype, config: dict[str, Any]
) -> Model:
    """See `DAPEModel.from_official`."""
    model = _lay_out(cls, config)
    found = _fitting(model, ram, dape, _whole)
    model.load_state_dict({name: v.to(dtype) for name, v in found.items()}, assign=True)
    return align(model).eval()


def needed_shapes(cls: type[Model], ram: Path, dape: Path | None) -> dict[str, Tensor]:
    """By our names what `DAPEModel.from_official` would take of the published files, without its
    values; it raises as that does."""
    return _fitting(_lay_out(cls, {}), ram, dape, _bare)


def _lay_out(cls: type[Model], config: dict[str, Any]) -> Model:
    try:
        with init_empty_weights():  # indices and masks, which no file holds, are computed
            return cls(**config)
    except (ValueError, TypeError, ZeroDivisionError) as error:
        raise XPSRError(f"There is no tagger of these sizes: {error}.") from error


def _fitting(model: ModelMixin, ram: Path, dape: Path | None, read: Read) -> dict[str, Tensor]:
    expected = model.state_dict()
    weights = _one_spelling(read(ram))
    _check_kind(ram, weights, RAM_FILE)
    if dape is not None:
        lora = _one_spelling(read(dape))
        _check_kind(dape, lora, DAPE_FILE)
        if mismatches := merge_lora(weights, lora):
            raise XPSRError(f"{dape} does not fit {ram}: {mismatches}.")
    found = {name: value for name, value in to_ours(weights).items() if name in expected}
    if mismatches := report(expected, found):
        raise XPSRError(f"{ram} does not hold the weights of RAM: {mismatches}.")
    return found


def _whole(path: Path) -> dict[str, Tensor]:
    """The weights in a file, in the number format that the LoRA is merged in; two thirds of RAM's
    are of no use here and are not read at all."""
    return read_weights(path, torch.float32, lambda name: not name.startswith(_UNUSED))


def _bare(path: Path) -> dict[str, Tensor]:
    """The same without any values: names and shapes."""
    return {name: value.float() for name, value in read_shapes(path).items()}


def to_ours(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """RAM's weights by the names of `DAPEModel`; what it has no use for is there as well."""
    ours = {}
    for name, value in weights.items():
        for theirs, own in _RULES:
            name = name.replace(theirs, own)
        if ".attn.qkv." in name:  # one layer of theirs is three of transformers'
            for letter, part in zip("qkv", value.chunk(3), strict=True):
                ours[name.replace(".attn.qkv.", f".attention.{letter}_proj.")] = part.clone()
        else:
            ours[name] = value
    return ours


def merge_lora(weights: dict[str, Tensor], lora: Mapping[str, Tensor]) -> str:
    """Add DAPE's layers to RAM's `weights`. Its file holds more than inference needs: the rest of
    its layers is left out.

    Returns:
        What is missing or misshapen, in words, where nothing was added; empty when all is well.
    """
    places = {name.removesuffix("weight"): name for name in weights if _LORA.fullmatch(name)}
    expected = {}
    for place, name in places.items():
        out, width = weights[name].shape
        parts = 2 if place.endswith(".qkv.") else 1  # of qkv only the query and the value
        out = 2 * out // 3 if parts == 2 else out
        expected[place + "lora_A"] = torch.empty(RANK * parts, width, device="meta")
        expected[place + "lora_B"] = torch.empty(out, RANK, device="meta")
    if mismatches := report(expected, {name: v for name, v in lora.items() if name in expected}):
        return mismatches
    for place, name in places.items():
        down, up = lora[place + "lora_A"], lora[place + "lora_B"]
        if place.endswith(".qkv."):
            width = len(up) // 2
            query = up[:width] @ down[:RANK]
            value = up[width:] @ down[RANK:]
            added = torch.cat([query, torch.zeros_like(query), value])
        else:
            added = up @ down
        weights[name] = weights[name] + added / RANK
    return ""


def _one_spelling(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Some releases call the tagging head otherwise."""
    return {name.replace("vision_multi.", "tagging_head."): v for name, v in weights.items()}


def _check_kind(path: Path, names: Iterable[str], wanted: str) -> None:
    """Refuse a file that holds something else altogether, by what it looks like."""
    kind = _kind(names)
    if kind != wanted:
        looks = {
            RAM_FILE: f"RAM ({RAM_FILE})",
            DAPE_FILE: f"the LoRA of DAPE ({DAPE_FILE})",
        }.get(kind, kind)
        raise XPSRError(
            f"{path} is not the file {wanted}: it looks like {looks}. {SOURCE} says where to "
            "fetch it."
        )


def _kind(names: Iterable[str]) -> str:
    names = [*names]
    if any(name.endswith((".lora_A", ".lora_B")) for name in names):
        return DAPE_FILE
    if any(name.startswith("reweight_scale") for name in names):
        return "RAM++, its successor, which SeeSR was not trained with"
    if any(name.startswith("visual_encoder.") for name in names) and "label_embed" in names:
        return RAM_FILE
    return "another kind of model"
