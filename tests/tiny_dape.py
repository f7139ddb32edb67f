"""The tagger of the golden numbers: its files, its sizes as `DAPEModel` spells them."""

import json
from pathlib import Path

from xpsr.models import DAPEModel

SEESR = Path(__file__).parent / "golden" / "seesr"
FOLDER = SEESR / "tiny" / "dape"
RAM, DAPE = FOLDER / "ram_base.safetensors", FOLDER / "dape_lora.safetensors"
SAID = json.loads((FOLDER / "config.json").read_text(encoding="utf-8"))
_SAME = "image_size patch_size embed_dim depths num_heads window_size mlp_ratio tags thresholds"
_HEAD = {
    "head_width": "hidden_size",
    "head_heads": "num_attention_heads",
    "head_layers": "num_hidden_layers",
    "head_feed_forward": "intermediate_size",
}
CONFIG = {name: SAID[name] for name in _SAME.split()}
CONFIG |= {ours: SAID["tagging_head"][theirs] for ours, theirs in _HEAD.items()}


def tiny_dape(**options) -> DAPEModel:
    """The golden tagger, with its LoRA."""
    return DAPEModel.from_official(RAM, DAPE, config=CONFIG, **options)
