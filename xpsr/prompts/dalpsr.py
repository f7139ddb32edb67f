"""The describer `dalpsr`: the quality text in the form that DaLPSR gives it.

DaLPSR-style, our reimplementation from the abstract and figure: its candidate sentences read
"Deblur with sigma 0.25~0.5, Denoise with sigma 0~0.25, Dejpeg with sigma 0~0.25", each figure a
quarter of the severity between 0 and 1. No model of this project was trained on such sentences.
"""

from PIL import Image

from xpsr.prompts import scene
from xpsr.prompts.description import Description
from xpsr.prompts.estimator import LEVELS, RANGES, Estimate, estimate

VERBS = {"blur": "Deblur", "noise": "Denoise", "jpeg": "Dejpeg"}


class DalpsrDescriber:
    """Quality in DaLPSR's form, by the estimator; content as `measured` gives it."""

    name = "dalpsr"

    def describe(self, image: Image.Image) -> Description:
        """Describe a picture of at least 16 x 16 pixels; raises XPSRError for a smaller one."""
        return Description(scene.sentences(image), sentence(estimate(image)), self.name)


def sentence(found: Estimate) -> str:
    """The most probable level of each type, in words."""
    return ", ".join(
        f"{VERBS[name]} with sigma {interval_name(found.level(name))}" for name in RANGES
    )


def interval_name(level: int) -> str:
    """The severities of a level: "0~0.25", "0.25~0.5", "0.5~0.75", "0.75~1"."""
    return f"{level / LEVELS:g}~{(level + 1) / LEVELS:g}"
