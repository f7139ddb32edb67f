"""SeeSR in two steps: SD-Turbo's UNet with SeeSR's image attention put in, as its authors do."""

from __future__ import annotations

from pathlib import Path

from diffusers import UNet2DConditionModel

from xpsr.errors import XPSRError
from xpsr.finding import find_model
from xpsr.models import SeeSRUNet2DConditionModel
from xpsr.models.family import SEESR
from xpsr.models.official import report
from xpsr.parts import read_part, read_setting

PRESET = "seesr-turbo"


def is_turbo(base: Path) -> bool:
    """Whether the Stable Diffusion in a folder is SD-Turbo: its schedule begins at the very last
    timestep ("trailing"), that of Stable Diffusion 2 base does not."""
    return read_setting(base / "scheduler", "timestep_spacing") == "trailing"


def put_turbo_in(unet: SeeSRUNet2DConditionModel, base: str | Path) -> None:
    """Replace all of a SeeSR's UNet that is Stable Diffusion's by that of SD-Turbo.

    Args:
        base: folder or hub id of SD-Turbo; of a hub id the UNet is fetched.

    Raises:
        XPSRError: it has none, or another one than Stable Diffusion 2 has.
    """
    folder = find_model(str(base), ("unet",)) / "unet"
    turbo = read_part(folder, UNet2DConditionModel, unet.dtype).state_dict()
    own = SEESR.networks["unet"].mark
    expected = {name: value for name, value in unet.state_dict().items() if own not in name}
    if mismatches := report(expected, turbo):
        raise XPSRError(
            f"The unet in {folder.parent} is not that of SD-Turbo, which SeeSR's layers fit:"
            f" {mismatches}. Name another base."
        )
    unet.load_state_dict(turbo, strict=False)
