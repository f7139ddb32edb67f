"""A configuration that names others: trainings in a row, each going on from the one before."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from train import checkpoints
from train.compatibility import check_options
from train.config import TrainConfig, read_config
from train.options import read_yaml
from xpsr.errors import XPSRError

FOLDER = "parts"  # in `out`, of what is made on the way
KEYS = {"series", "data", "out"}


def read_series(path: Path, overrides: Sequence[str] | None = None) -> list[TrainConfig]:
    """The trainings that a configuration asks for: its `series` of files beside it, or itself.

    All are given the overrides. The last one's `out` is that of the series, and those before it
    have folders in `out/parts`, from which the next one starts.

    Raises:
        XPSRError: a file, a key or a value is wrong, or does not go together with a series.
    """
    values, given = read_yaml(path), list(overrides or [])
    if "series" not in values:
        return [read_config(path, given)]
    names, data, out = _settled(path, values, given)
    read: list[TrainConfig] = []
    for place, name in enumerate(names, 1):
        folder = Path(out) if place == len(names) else Path(out) / FOLDER / Path(name).stem
        own = [*given, f"data={data}", f"out={folder}"]
        if read:
            own.append(f"model.start={read[-1].out}")
        read.append(_part(path.parent / name, own))
    if len({one.mixed_precision for one in read}) > 1:
        raise XPSRError(f"All of {', '.join(names)} must have the same mixed_precision.")
    return read


def _part(path: Path, options: list[str]) -> TrainConfig:
    """One of them. What is wrong with the last must not be told after hours."""
    try:
        config = read_config(path, options)
        check_options(config, device="", sharded=False)
    except XPSRError as error:
        raise XPSRError(f"{path.name}: {error}") from None
    return config


def is_done(config: TrainConfig) -> bool:
    """Whether a training has come to its end and exported its model."""
    return _step(config) >= config.steps and (Path(config.out) / "model_index.json").is_file()


def refuse_to_change_start(later: Sequence[TrainConfig], part: TrainConfig) -> None:
    """XPSRError where `part` is not done, or not any more, and another has begun from it."""
    begun = [Path(one.out) / checkpoints.FOLDER for one in later if _step(one)]
    if begun:
        raise XPSRError(
            f"{part.out} has come to step {_step(part)} of {part.steps}, and the training after it"
            f" has begun from that: give another out, or remove {begun[0]}."
        )


def _step(config: TrainConfig) -> int:
    return checkpoints.newest_step(Path(config.out))


def _settled(path: Path, values: dict[str, Any], given: list[str]) -> tuple[list[str], str, str]:
    """Names, data and out of a series."""
    names = values["series"]
    if not (isinstance(names, list) and names and all(isinstance(n, str) for n in names)):
        raise XPSRError(f"series in {path} must be a list of configurations that lie beside it.")
    if wrong := sorted(values.keys() - KEYS):
        raise XPSRError(
            f"{path} is a series, and {wrong[0]} belongs into one of {', '.join(names)}."
        )
    if any(one.startswith("minutes=") for one in given):
        raise XPSRError(
            f"minutes ends one training, and {path} is a series: give one of {', '.join(names)},"
            " or stop the command when you like; it goes on where it was."
        )
    last = {key: value for key, _, value in (one.partition("=") for one in given)}
    data, out = (last.get(key, values.get(key)) for key in ("data", "out"))
    if not data or not out:
        raise XPSRError(f"{path} needs data=FOLDER and out=FOLDER.")
    return names, str(data), str(out)
