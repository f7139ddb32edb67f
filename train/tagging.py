"""SeeSR's tagger, trained as DAPE was: to see in a damaged picture what RAM sees in the clean one.

Only a LoRA learns, on queries and values of the Swin transformer and on queries and keys of what
finds the tags (as the training code of SeeSR has it, Wu et al., CVPR 2024); it is merged when the
run is exported.
"""

import copy
from pathlib import Path

import torch
from peft import LoraConfig
from peft.tuners.lora import LoraLayer, LoraModel
from torch import Tensor, nn
from torch.nn import functional as F

from train.config import ModelConfig
from train.data import Batch
from train.loss import Losses
from xpsr.models import DAPEModel
from xpsr.models.dape_official import RANK
from xpsr.parts import read_tagger as read_files
from xpsr.tagger_files import find_tagger

# As loralib's: what LoRA adds to a layer has the weight 1 / rank.
LORA = LoraConfig(
    r=RANK,
    lora_alpha=1,
    target_modules=r"swin\..*\.attention\.(q_proj|v_proj)|tagging_head\.\d+\.attention\.(to_q|to_k)",
)


def read_tagger(config: ModelConfig) -> DAPEModel:
    """The tagger of `model.tagger`: RAM with DAPE, or RAM alone where DAPE is what is to be learnt.

    Raises:
        XPSRError: there is none in that folder, or it is not whole.
    """
    assert config.tagger is not None
    files = find_tagger(Path(config.tagger).expanduser(), plain=config.only == "tagger")
    return read_files(files, torch.float32)


def add_lora(tagger: DAPEModel) -> list[nn.Module]:
    """Put fresh LoRA layers into a tagger, which change nothing yet; returns what of it learns."""
    LoraModel(tagger, {"default": LORA}, "default")
    return [part for layer in _layers(tagger).values() for part in (layer.lora_A, layer.lora_B)]


def take_out_lora(tagger: DAPEModel, merge: bool = True) -> DAPEModel:
    """The same tagger without LoRA layers, where there are any; what they do stays if `merge`."""
    for name, layer in _layers(tagger).items():
        if merge:
            layer.merge()
        tagger.set_submodule(name, layer.get_base_layer())
    return tagger


def _layers(tagger: DAPEModel) -> dict[str, LoraLayer]:
    return {name: part for name, part in tagger.named_modules() if isinstance(part, LoraLayer)}


class TaggingStep(nn.Module):
    """From a batch to its loss, where the tagger learns.

    Args:
        tagger: with the LoRA that learns.
    """

    judge = None  # no picture comes of it

    def __init__(self, tagger: DAPEModel):
        super().__init__()
        self.student = tagger
        self.teacher = take_out_lora(copy.deepcopy(tagger), merge=False).requires_grad_(False)

    def forward(self, batch: Batch) -> Losses:
        """What the student sees in the low-resolution side against what the teacher, which does not
        change, sees in the clean one."""
        with torch.no_grad():
            wanted = _seen(self.teacher, batch.clean / 2 + 0.5)
        return tagging_loss(_seen(self.student, batch.conditioning), wanted)


def _seen(tagger: DAPEModel, pictures: Tensor) -> tuple[Tensor, Tensor]:
    """Tokens (B, N, D) and logits (B, tags) of pictures (B, 3, H, W) in [0, 1]."""
    tokens = tagger.embed(tagger.squashed(pictures))
    return tokens, tagger.logits(tokens)


def tagging_loss(found: tuple[Tensor, Tensor], wanted: tuple[Tensor, Tensor]) -> Losses:
    """The squared error of the tokens and the cross-entropy of the tags, each a mean, added.

    Args:
        found, wanted: tokens (B, N, D) and logits (B, tags) of student and teacher.
    """
    (tokens, logits), (true_tokens, true_logits) = found, wanted
    error = F.mse_loss(tokens.float(), true_tokens.float())
    likely = true_logits.float().sigmoid()
    unlike = F.binary_cross_entropy_with_logits(logits.float(), likely)
    none = error.new_zeros(0)
    return Losses(error, none, none, error + unlike, judge=error.new_zeros(()))
