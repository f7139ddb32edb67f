"""Classifier-free guidance: away from the negative texts, towards the positive ones."""

from __future__ import annotations

from torch import Tensor

from xpsr.prompts.text import EncoderTexts


def pair(texts: EncoderTexts, guided: bool) -> tuple[list[str], list[str]]:
    """The content and the quality texts of one batch: [negative, positive], or [positive] alone.

    Without guidance (see `Settings.guided`) the negative half is not computed at all.
    """
    if guided:
        return (
            [texts.negative_high.sent, texts.high.sent],
            [texts.negative_low.sent, texts.low.sent],
        )
    return [texts.high.sent], [texts.low.sent]


def combine(prediction: Tensor, guidance_scale: float) -> Tensor:
    """(2, C, h, w) of [negative, positive] → (1, C, h, w): neg + w·(pos - neg) (eq. 6).

    The paper writes pos + λs·(pos - neg), so w = λs + 1. A batch of one is passed through.
    """
    if len(prediction) == 1:
        return prediction
    negative, positive = prediction.chunk(2)
    return negative + guidance_scale * (positive - negative)
