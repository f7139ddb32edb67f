"""Going on from a checkpoint: what it holds, and what is said where things are not as they were."""

import torch
from diffusers.training_utils import EMAModel

from train.checkpoints import Extras


class Nothing:
    """Stands in for a schedule."""

    def state_dict(self) -> dict:
        return {}

    def load_state_dict(self, state: dict) -> None:
        pass


def extras(*weights: torch.Tensor) -> Extras:
    trained = [torch.nn.Parameter(weight) for weight in weights]
    return Extras(Nothing(), EMAModel(trained, decay=0.9), trained)


def test_averaged_weights_go_on_where_the_weights_are():
    """They are read on the CPU; "meta" stands for a GPU here."""
    saved = extras(torch.ones(3), torch.ones(2, 2)).state_dict()
    here = extras(torch.ones(3, device="meta"), torch.ones(2, 2, device="meta"))
    here.load_state_dict(saved)
    assert here.ema is not None
    assert {mean.device.type for mean in here.ema.shadow_params} == {"meta"}
    here.ema.step(here.trained)
