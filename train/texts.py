"""Which texts a sample is given, and what its target becomes by them."""

import logging
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from train.claims import FLAWLESS, Claim, claim, is_measured
from train.config import DataConfig
from train.wording import degree, reworded
from xpsr.errors import XPSRError

logger = logging.getLogger(__name__)

DETAIL_STEP = 1.0  # strength of the unsharp mask for a degree of detail more
UNTOLD = -0.4  # degrees of detail where no content text is given: what nobody tells of stays softer


class Asked(NamedTuple):
    """The texts of a sample, and what they ask of its target.

    Attributes:
        high, low: the texts; empty where they are not given.
        claim, degrees: what they ask for beside what was measured; see `Batch.asked`.
        sharpness: strength of the unsharp mask on the target.
        vivid: as in `Batch`.
        trusts: the target is the picture that is shown.
    """

    high: str
    low: str
    claim: Claim
    degrees: float = 0.0
    sharpness: float = 0.0
    vivid: bool = False
    trusts: bool = False


def ask(
    high: str, low: str, content: str, bare: bool, config: DataConfig, random: np.random.Generator
) -> Asked:
    """The texts of one sample, some of them made to say something else.

    Args:
        high, low: content and quality of what is shown; either may have been left out.
        content: the former, never left out.
        bare: as in `Batch`.
    """
    gives_high, gives_low = (config.prompts in ("both", text) for text in ("high", "low"))
    # A target that follows a text is a riddle where that text is not given.
    detail_ratio = config.detail_ratio if gives_high else 0.0
    claim_ratio = config.claim_ratio if gives_low else 0.0
    trust_ratio = config.trust_ratio if gives_low else 0.0
    vivid = not bare and bool(high or not detail_ratio)
    sharpness = config.sharpen_targets if vivid else 0.0
    claimed, degrees = Claim(low, low), 0.0
    if claim_ratio and low:
        claimed = claim(low, content, random, claim_ratio)
        low = claimed.text
    if detail_ratio and not high:
        degrees = UNTOLD
    elif detail_ratio and random.random() < detail_ratio:
        high, degrees = reworded(high, random)
    sharpness += DETAIL_STEP * degrees
    vivid = vivid and degrees >= 0
    trusts = random.random() < trust_ratio
    if trusts:
        low, sharpness, vivid = str(random.choice(FLAWLESS)), 0.0, False
    high, low = high if gives_high else "", low if gives_low else ""
    return Asked(high, low, claimed, degrees, sharpness, vivid, trusts)


def check_texts(contents: Sequence[str], qualities: Sequence[str], config: DataConfig) -> None:
    """Whether `detail_ratio` and `claim_ratio` can do anything: they know one describer's words.

    Raises:
        XPSRError: not one of the texts is in these words.
    """
    for option, text, known in (
        ("detail_ratio", "high", [degree(text) is not None for text in contents]),
        ("claim_ratio", "low", [is_measured(text) for text in qualities]),
    ):
        if not getattr(config, option) or config.prompts not in ("both", text) or all(known):
            continue
        if not any(known):
            raise XPSRError(
                f"{option} rewords sentences of the measured describer, and no text is made of"
                f" them: python -m train.describe --describer measured, or give {option}=0."
            )
        logger.warning(
            "%d of %d texts are not of the measured describer: %s leaves them as they are",
            len(known) - sum(known),
            len(known),
            option,
        )
