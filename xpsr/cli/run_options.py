"""What commands that restore pictures have in common: the run's options, and the model."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Container
from dataclasses import replace
from typing import TYPE_CHECKING, Any, get_type_hints

from xpsr.cli import options as o
from xpsr.cli.report import CannotBeginError
from xpsr.errors import XPSRError
from xpsr.prompts import PROMPT_NAMES, Prompts
from xpsr.settings import SETTING_NAMES, Settings

if TYPE_CHECKING:
    import torch
    from PIL import Image

    from xpsr.pipeline import XPSRPipeline
    from xpsr.prompts.describer import Describer, Description


def with_run_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command an option for every text and setting.

    `command` takes them as its keyword argument `run`: {field: value, or None if left out}.
    """

    @functools.wraps(command)
    def filled(**given: Any) -> None:
        run = {name: given.pop(name) for name in o.RUN}
        command(**given, run=run)

    types = {**get_type_hints(command, include_extras=True), **o.RUN}
    own = inspect.signature(command).parameters
    parameters = [one.replace(annotation=types[name]) for name, one in own.items() if name != "run"]
    parameters += [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
        for name, kind in o.RUN.items()
    ]
    # typer reads names, defaults and types here.
    filled.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    filled.__annotations__ = {one.name: types[one.name] for one in parameters}
    return filled


def texts_of(run: dict[str, Any]) -> dict[str, str | None]:
    """The texts among the options."""
    return {name: run[name] for name in PROMPT_NAMES}


def settings_of(run: dict[str, Any]) -> dict[str, Any]:
    """The settings among the options."""
    return {name: run[name] for name in SETTING_NAMES}


def describer_for(model: str, named: str | None) -> str:
    """The describer for a model: the one that is named, else its own, else "measured".

    Raises:
        XPSRError: the model is nowhere.
    """
    if named is None and model != "mini":
        from xpsr.finding import find_model
        from xpsr.inspection import own_describer
        from xpsr.parts import ALL_PARTS

        named = own_describer(find_model(model, ALL_PARTS))
    return named or "measured"


def described(
    author: Describer | None,
    image: Image.Image,
    given: Container[str],
    pipe: XPSRPipeline,
    settings: Settings,
) -> Description | None:
    """What a describer says; None where there is none, or both descriptions are given.

    Of what the model will not read nothing is said: every picture would tell that it had no effect.
    """
    if author is None or ("prompt" in given and "lowlevel_prompt" in given):
        return None
    said = author.describe(image)
    unread = not pipe.reads_lowlevel and settings.lowlevel_route == "lowlevel"
    return replace(said, low="") if unread else said


def check_run(run: dict[str, Any], preset: str | None, model: str) -> Settings:
    """The settings, as far as they are known before minutes are spent on a model.

    Raises:
        XPSRError: there is no such preset, or a value that none allows.
    """
    guess = preset or ("mini" if model == "mini" else "official")
    Prompts.from_preset(guess, **texts_of(run))
    return Settings.from_preset(guess, **settings_of(run))


def loader(
    model: str, base: str | None, device: str | torch.device | None, dtype: str | None
) -> Callable[[], XPSRPipeline]:
    """Gives the pipeline; it is loaded when it is first asked for."""

    @functools.cache
    def pipeline() -> XPSRPipeline:
        from xpsr import load

        try:
            return load(model, base=base, device=device, dtype=dtype)
        except XPSRError as error:
            raise CannotBeginError(str(error)) from error

    return pipeline
