"""Checkpoints that a run can be stopped at: written whole or not at all, the newest few kept."""

import logging
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import nn

from train.disk import writing
from train.networks import weights_hash
from xpsr.counted import counted
from xpsr.errors import XPSRError

logger = logging.getLogger(__name__)

FOLDER = "checkpoints"
OTHER_BASE = "model.start holds other weights than when it was written"


@dataclass
class Place:
    """Where a run stands in its samples, and what decides which come next.

    Attributes:
        seen: how many were drawn so far.
        a_step: how many a step takes, of all processes.
        count: of the pairs or photos.
        digest: of their names and stored texts.
        pixels: the same of the photos themselves; empty where it is not known, as in checkpoints of
            earlier versions and for photos that are degraded as they are drawn.
    """

    seen: int
    a_step: int
    count: int
    digest: str
    pixels: str = ""

    def changes(self, before: "Place") -> list[str]:
        """What makes the samples to come others than they would have been."""
        found = []
        if self.a_step != before.a_step:
            found.append(f"a step takes {counted(self.a_step, 'pair')}, before {before.a_step}")
        if self.count != before.count:
            found.append(f"data holds {self.count} pairs or photos, before {before.count}")
        elif self.digest != before.digest or (
            self.pixels and before.pixels and self.pixels != before.pixels
        ):
            found.append("data holds other pairs, texts or photos")
        return found


def leave_out_frozen(model: nn.Module) -> str:
    """From now on checkpoints of the model leave out what no step changes: Stable Diffusion's own
    layers, 4 GB of 15, which `model.start` has as well.

    Returns:
        what tells them from others.
    """

    def frozen(module: nn.Module) -> dict[str, nn.Parameter]:
        return {name: p for name, p in module.named_parameters() if not p.requires_grad}

    def leave_out(module: nn.Module, held: dict, prefix: str, _: Any) -> None:
        for name in frozen(module):
            del held[prefix + name]

    def put_in(module: nn.Module, held: dict, prefix: str, *_: Any) -> None:
        for name, weight in frozen(module).items():
            # Checkpoints of earlier versions hold them.
            if not torch.equal(held.setdefault(prefix + name, weight).to(weight), weight):
                raise XPSRError(OTHER_BASE)

    model.register_state_dict_post_hook(leave_out)
    model.register_load_state_dict_pre_hook(put_in)
    return weights_hash(frozen(model).values())


class Extras:
    """What accelerate does not know of: the learning-rate schedule, the averaged weights, the place
    in the samples, the scale of the latents, which a small model takes from its first data and must
    keep, which optimizer it was, for what one of them keeps is of no use to another, and which
    weights were left out.

    Attributes:
        changes: after loading, what is new about the samples, each a part of a sentence.
    """

    def __init__(
        self,
        schedule: Any,
        ema: Any | None,
        trained: list[nn.Parameter],
        vae: Any,
        place: Place,
        optimizer: str,
        base: str | None,
    ):
        self.schedule, self.ema, self.trained = schedule, ema, trained
        self.vae, self.place, self.optimizer, self.base = vae, place, optimizer, base
        self.changes: list[str] = []

    def state_dict(self) -> dict:
        return {
            "schedule": self.schedule.state_dict(),
            "ema": self.ema.state_dict() if self.ema is not None else None,
            "scaling_factor": self.vae.config.scaling_factor,
            "place": asdict(self.place),
            "optimizer": self.optimizer,
            "base": self.base,
        }

    def load_state_dict(self, state: dict) -> None:
        before = state.get("optimizer", self.optimizer)  # not in those of earlier versions
        if before != self.optimizer:
            raise XPSRError(f"it was written with optimizer={before}")
        if state.get("base", self.base) != self.base:
            raise XPSRError(OTHER_BASE)
        self.schedule.load_state_dict(state["schedule"])
        if "place" in state:
            before = Place(**state["place"])
            self.place.seen, self.changes = before.seen, self.place.changes(before)
            self.vae.register_to_config(scaling_factor=state["scaling_factor"])
        else:  # of an earlier version, which took every step for one of now
            self.place.seen = self.schedule.last_epoch * self.place.a_step
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
    """How far the checkpoints of a run go; 0 when there is none."""
    steps = (path.name.removeprefix("step-") for path in (out / FOLDER).glob("step-*"))
    return max(map(int, steps), default=0)


def resume(accelerator: Accelerator, out: Path) -> int:
    """Load the newest checkpoint that can be read; returns its step, 0 when there is none.

    What is newer and cannot be read is put aside under another name: among the newest that are kept
    it would take the place of one that can. What a stop in the middle of writing left is removed.

    Raises:
        XPSRError: there are checkpoints and none can be read. To begin anew over them would destroy
            what may only need another option. Or the processes do not find the same ones, and would
            wait for each other for ever.
    """
    if accelerator.is_main_process:
        for part in (out / FOLDER).glob("part-*"):
            shutil.rmtree(part)
    found = sorted((out / FOLDER).glob("step-*"), reverse=True)
    names = [path.name for path in found]
    if any(theirs != names for theirs in gather_object([names])):
        raise XPSRError(
            f"Not every process finds the same checkpoints in {out / FOLDER}: out must be one"
            " folder that all machines share."
        )
    for newer, folder in enumerate(found):
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
        accelerator.wait_for_everyone()  # all have looked at those
        if accelerator.is_main_process:
            _put_aside(found[:newer])
        return int(folder.name.removeprefix("step-"))
    if found:
        raise XPSRError(
            f"No checkpoint in {out / FOLDER} fits this configuration ({reason}); give another"
            f" out, or the options the run was started with, which {out / 'config.yaml'} holds."
        )
    return 0


def _put_aside(unread: list[Path]) -> None:
    for folder in unread:
        aside = folder.with_name(f"unread-{folder.name}")
        shutil.rmtree(aside, ignore_errors=True)
        folder.rename(aside)
        logger.warning("%s is now %s; delete it where it is of no use", folder, aside.name)
