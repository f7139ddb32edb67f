"""Checkpoints that a run can be stopped at: written whole or not at all, the newest few kept."""

import logging
import shutil
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from xpsr.errors import XPSRError

logger = logging.getLogger(__name__)

FOLDER = "checkpoints"


class Extras:
    """What accelerate does not know of: the learning-rate schedule and the averaged weights."""

    def __init__(self, schedule: Any, ema: Any | None):
        self.schedule, self.ema = schedule, ema

    def state_dict(self) -> dict:
        return {
            "schedule": self.schedule.state_dict(),
            "ema": self.ema.state_dict() if self.ema is not None else None,
        }

    def load_state_dict(self, state: dict) -> None:
        self.schedule.load_state_dict(state["schedule"])
        if self.ema is not None and state["ema"] is not None:
            self.ema.load_state_dict(state["ema"])


def save(accelerator: Accelerator, out: Path, step: int, keep: int) -> None:
    """Write the state beside the others, then give it its name: a name means a whole checkpoint.

    Raises:
        XPSRError: it cannot be written; the ones before are still there.
    """
    folder = out / FOLDER
    part = folder / f"part-{step}"
    try:
        accelerator.save_state(str(part))
        accelerator.wait_for_everyone()
        if accelerator.is_main_process:
            final = folder / f"step-{step:08d}"
            shutil.rmtree(final, ignore_errors=True)
            part.rename(final)
            for old in sorted(folder.glob("step-*"))[:-keep]:
                shutil.rmtree(old)
    except (OSError, RuntimeError) as error:  # torch calls a full disk a RuntimeError
        if isinstance(error, RuntimeError) and "write" not in str(error):
            raise
        shutil.rmtree(part, ignore_errors=True)
        raise XPSRError(
            f"The checkpoint of step {step} cannot be written to {folder} ({error}). The ones"
            " before are unharmed: make room and run the same command again."
        ) from error
    accelerator.wait_for_everyone()


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
            logger.warning("%s is damaged (%s); trying the one before it", folder, reason)
            continue
        logger.info("going on from %s", folder)
        return int(folder.name.removeprefix("step-"))
    if found:
        raise XPSRError(
            f"No checkpoint in {out / FOLDER} fits this configuration ({reason}); give another out,"
            " or the options the run was started with."
        )
    return 0
