"""Going on from a checkpoint: what it holds, and what is said where things are not as they were."""

import torch
from diffusers.training_utils import EMAModel

from train.checkpoints import Extras
from xpsr.models import PatchAutoencoder


class Nothing:
    """Stands in for a schedule."""

    def state_dict(self) -> dict:
        return {}

    def load_state_dict(self, state: dict) -> None:
        pass


def extras(*weights: torch.Tensor, scale: float = 1.0) -> Extras:
    trained = [torch.nn.Parameter(weight) for weight in weights]
    vae = PatchAutoencoder(4, 2, 4, 1, scaling_factor=scale)
    return Extras(Nothing(), EMAModel(trained, decay=0.9), trained, vae)


def test_averaged_weights_go_on_where_the_weights_are():
    """They are read on the CPU; "meta" stands for a GPU here."""
    saved = extras(torch.ones(3), torch.ones(2, 2)).state_dict()
    here = extras(torch.ones(3, device="meta"), torch.ones(2, 2, device="meta"))
    here.load_state_dict(saved)
    assert here.ema is not None
    assert {mean.device.type for mean in here.ema.shadow_params} == {"meta"}
    here.ema.step(here.trained)


def test_the_scale_of_the_latents_stays_that_of_the_first_data():
    saved, here = extras(torch.ones(1), scale=1.25).state_dict(), extras(torch.ones(1), scale=1.5)
    old = {key: value for key, value in saved.items() if key != "scaling_factor"}
    here.load_state_dict(old)
    assert here.vae.config.scaling_factor == 1.5
    here.load_state_dict(saved)
    assert here.vae.config.scaling_factor == 1.25
