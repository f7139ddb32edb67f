"""config.yaml in the folder of a run: whose folder it is, and what a resumed run changes."""

from pathlib import Path
from typing import Any

import yaml

from train.config import TrainConfig, read_config
from train.disk import write_whole
from xpsr.errors import XPSRError

NAME = "config.yaml"
# What may be there without that file: a run that ended early leaves its log, checkpoints are
# copied to go on from them elsewhere, and the last of a series finds those before it.
OWN = {"log", "checkpoints", "parts"}
# What decides nothing about the weights of a step.
FREE = {"out", "steps", "minutes", "save_every", "keep_checkpoints", "log_every", "trackers"}
FREE |= {"validate_every", "validate_data", "validate_pictures", "validate_setting"}
FREE |= {"export", "data_workers"}


def check_folder(out: Path) -> None:
    """A run writes its model and a README.md into `out`: only where nothing of others can be.

    Raises:
        XPSRError: there are files in it and none of them is a run's.
    """
    if out.exists() and not out.is_dir():
        raise XPSRError(f"out={out} is a file; give a folder.")
    if not out.is_dir() or (out / NAME).is_file():
        return
    if {path.name for path in out.iterdir()} - OWN:
        raise XPSRError(
            f"out={out} holds files that are not of a run, and some of them would be replaced;"
            " give a new folder."
        )


def changes(out: Path, config: TrainConfig) -> list[str]:
    """What differs from the run that is there already: "learning_rate: 0.001, now 1e-05"."""
    if not (out / NAME).is_file():
        return []
    try:
        before = read_config(out / NAME)
    except XPSRError as error:  # damaged, or of a version with other options
        return [f"unknown, for those are not to be read. {error}".rstrip(".")]
    # With all defaults: one that is given is no change.
    old, new = (
        dict(_leaves(one.model_dump(mode="json", exclude=FREE))) for one in (before, config)
    )
    return [
        f"{key}: {old.get(key, 'not given')}, now {new.get(key, 'not given')}"
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
    ]


def write(out: Path, config: TrainConfig) -> None:
    text = yaml.safe_dump(config.model_dump(exclude_unset=True), sort_keys=False)
    write_whole(out / NAME, text)


def _leaves(table: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    found = []
    for key, value in table.items():
        name = f"{prefix}{key}"
        found += _leaves(value, f"{name}.") if isinstance(value, dict) else [(name, value)]
    return found
