"""Checkpoints that a run can be stopped at: written whole or not at all, the newest few kept."""

import logging
import shutil
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from torch import nn

from train.disk import writing
from xpsr.errors import XPSRError

logger = logging.getLogger(__name__)

FOLDER = "checkpoints"


class Extras:
    """What accelerate does not know of: the learning-rate schedule, the averaged weights, and the
    scale of the latents, which a small model takes from its first data and must keep."""

    def __init__(self, schedule: Any, ema: Any | None, trained: list[nn.Parameter], vae: Any):
        self.schedule, self.ema, self.trained, self.vae = schedule, ema, trained, vae

    def state_dict(self) -> dict:
        return {
            "schedule": self.schedule.state_dict(),
            "ema": self.ema.state_dict() if self.ema is not None else None,
            "scaling_factor": self.vae.config.scaling_factor,
        }

    def load_state_dict(self, state: dict) -> None:
        self.schedule.load_state_dict(state["schedule"])
        if "scaling_factor" in state:  # not in checkpoints of earlier versions
            self.vae.register_to_config(scaling_factor=state["scaling_factor"])
        if self.ema is None:
            return
        if state["ema"] is not None:
            self.ema.load_state_dict(state["ema"])
            # accelerate reads what is ours on the CPU; the average is taken where the weights are.
            pairs = zip(self.ema.shadow_params, self.trained, strict=True)
            self.ema.shadow_params = [mean.to(weight.device) for mean, weight in pairs]
        else:  # the average begins here, and not with the weights that the run had begun with
            self.ema.shadow_params = [p.detach().clone() for p in self.trained]


def save(accelerator: Accelerator, out: Path, step: int, keep: int) -> None:
    """Write the state beside the others, then give it its name: a name means a whole checkpoint.

    Raises:
        XPSRError: it cannot be written; the ones before are still there.
    """
    folder = out / FOLDER
    part = folder / f"part-{step}"
    with writing(part, f"The checkpoint of step {step}"):
        accelerator.save_state(str(part))
        accelerator.wait_for_everyone()
        if accelerator.is_main_process:
            final = folder / f"step-{step:08d}"
            shutil.rmtree(final, ignore_errors=True)
            part.rename(final)
            for old in sorted(folder.glob("step-*"))[:-keep]:
                shutil.rmtree(old)
    accelerator.wait_for_everyone()


def newest_step(out: Path) -> int:
    """Of the newest checkpoint, read or not; 0 = there is none."""
    found = sorted((out / FOLDER).glob("step-*"))
    return int(found[-1].name.removeprefix("step-")) if found else 0


def resume(accelerator: Accelerator, out: Path) -> int:
    """Load the newest checkpoint that can be read; returns its step, 0 when there is none.

    Raises:
        XPSRError: there are checkpoints and none can be read. To begin anew over them would destroy
            what may only need another option.
    """
    found = sorted((out / FOLDER).glob("step-*"), reverse=True)
    for folder in found:
        try:
            accelerator.load_state(str(folder))
        except Exception as error:  # whatever a damaged file raises, the one before may be whole
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            logger.warning(
                "%s is damaged or of other networks (%s); trying the one before it", folder, reason
            )
            continue
        # Checkpoints lie between steps. A run that accumulates otherwise now would else begin in
        # the middle of one.
        accelerator.step = 0
        logger.info("going on from %s", folder)
        return int(folder.name.removeprefix("step-"))
    if found:
        raise XPSRError(
            f"No checkpoint in {out / FOLDER} fits this configuration ({reason}); give another out,"
            " or the options the run was started with."
        )
    return 0
