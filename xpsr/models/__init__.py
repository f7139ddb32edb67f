"""The networks: XPSR's ControlNet and UNet on stock diffusers, and mini's autoencoder."""

from xpsr.models.controlnet import XPSRControlNetModel, XPSRControlNetOutput
from xpsr.models.dape import DAPEModel
from xpsr.models.patch_autoencoder import PatchAutoencoder
from xpsr.models.unet import XPSRUNet2DConditionModel

__all__ = [
    "DAPEModel",
    "PatchAutoencoder",
    "XPSRControlNetModel",
    "XPSRControlNetOutput",
    "XPSRUNet2DConditionModel",
]
