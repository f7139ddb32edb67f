"""The networks of XPSR and of SeeSR on stock diffusers, and mini's autoencoder."""

from xpsr.models.controlnet import XPSRControlNetModel, XPSRControlNetOutput
from xpsr.models.dape import DAPEModel
from xpsr.models.patch_autoencoder import PatchAutoencoder
from xpsr.models.seesr import SeeSRControlNetModel, SeeSRUNet2DConditionModel
from xpsr.models.unet import XPSRUNet2DConditionModel

__all__ = [
    "DAPEModel",
    "PatchAutoencoder",
    "SeeSRControlNetModel",
    "SeeSRUNet2DConditionModel",
    "XPSRControlNetModel",
    "XPSRControlNetOutput",
    "XPSRUNet2DConditionModel",
]
