"""Teaching the networks to read: what texts ask for, while all else keeps its answers."""

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from train.claims import PRAISED
from train.data import NO_DETAIL, Batch
from train.networks import Networks
from train.telling import as_told
from xpsr.models import XPSRControlNetModel
from xpsr.models.controlnet import XPSRControlNetOutput

DETAIL_STRENGTH = 0.7  # of an unsharp mask, for a degree of detail
FLOOR = 4e-4  # squared error ([-1, 1]) of a picture that counts as much as what is asked of it
LEVELS = (PRAISED + 1, PRAISED + 1, PRAISED + 1, NO_DETAIL + 1)


class Reading(nn.Module):
    """What is known before the networks learn to read, and what their reading is judged by.

    Attributes:
        first_unet, first_controlnet, first_text_encoder: copies that stay as they were.
        names: tells from what the reader has understood which levels the texts named. No picture
            is needed for that, and without it the words are hardly told apart.
    """

    def __init__(self, networks: Networks):
        super().__init__()
        parts = (networks.unet, networks.controlnet, networks.text_encoder)
        first = [copy.deepcopy(part).requires_grad_(False) for part in parts]
        self.first_unet, self.first_controlnet, self.first_text_encoder = first
        reader = networks.controlnet.reader
        assert reader is not None  # see networks.py
        self.names = nn.Linear(reader.width, sum(LEVELS))

    def of_picture(
        self, controlnet: XPSRControlNetModel, batch: Batch, high: Tensor, low: Tensor
    ) -> tuple[Tensor, Tensor]:
        """How far the first guess is from what the texts ask for, as a share of what they ask; and
        the cross-entropy of the levels that were named."""
        shown = batch.conditioning * 2 - 1
        with torch.no_grad():
            plain = controlnet.degradation_free(batch.conditioning).float() * 2 - 1
            noise, blur, degrees = batch.asked.unbind(1)
            wanted = as_told(plain, shown, noise, blur, DETAIL_STRENGTH * degrees)
            asked = _squared(wanted - plain)
        guess = controlnet.degradation_free(batch.conditioning, high, low).float() * 2 - 1
        error = (_squared(guess - wanted) / (asked + FLOOR)).mean()
        assert controlnet.reader is not None
        named = self.names(controlnet.reader.said(high, low)).split(LEVELS, dim=1)
        kinds = zip(named, batch.said.unbind(1), strict=True)
        unlike = [F.cross_entropy(logits, level) for logits, level in kinds]
        return error, torch.stack(unlike).sum()

    @torch.no_grad()
    def before(self, noisy: Tensor, timesteps: Tensor, batch: Batch) -> Tensor:
        """The denoiser's answer by the copies, to the texts that the networks knew then."""
        high = self.first_text_encoder(batch.input_ids)[0]
        low = self.first_text_encoder(batch.like_input_ids)[0]
        networks = (self.first_controlnet, self.first_unet)
        return answer(*networks, noisy, timesteps, batch, high, low)[1]


def answer(
    controlnet: nn.Module,
    unet: nn.Module,
    noisy: Tensor,
    timesteps: Tensor | int,
    batch: Batch,
    high: Tensor,
    low: Tensor,
) -> tuple[XPSRControlNetOutput, Tensor]:
    """Both networks in a row: what the ControlNet gives, and the prediction, shaped as `noisy`."""
    control = controlnet(
        noisy,
        timesteps,
        encoder_hidden_states=high,
        lowlevel_encoder_hidden_states=low,
        controlnet_cond=batch.conditioning,
    )
    prediction = unet(
        noisy,
        timesteps,
        encoder_hidden_states=high,
        down_block_additional_residuals=control.down_block_res_samples,
        mid_block_additional_residual=control.mid_block_res_sample,
    ).sample
    return control, prediction


def _squared(difference: Tensor) -> Tensor:
    """(B, …) → the mean square of each picture, (B,)."""
    return difference.square().flatten(1).mean(dim=1)
