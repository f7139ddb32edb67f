"""The options for texts and settings, for every command that restores pictures."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, get_type_hints

from xpsr.cli.restore import restore
from xpsr.prompts import PROMPT_NAMES
from xpsr.settings import SETTING_NAMES

RUN_OPTIONS = (*PROMPT_NAMES, *SETTING_NAMES)


def with_run_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options for texts and settings of `restore`.

    `command` takes them as its keyword argument `run`: {field: value, or None if left out}.
    Borrowed and not written again: a new setting is then an option of every command at once.
    """

    @functools.wraps(command)
    def filled(**given: Any) -> None:
        run = {name: given.pop(name) for name in RUN_OPTIONS}
        command(**given, run=run)

    types = {
        **get_type_hints(restore, include_extras=True),
        **get_type_hints(command, include_extras=True),
    }
    own, others = (inspect.signature(one).parameters for one in (command, restore))
    parameters = [*(own[name] for name in own if name != "run")]
    parameters += [others[name] for name in RUN_OPTIONS]
    # typer reads names, defaults and types here.
    filled.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [one.replace(annotation=types[one.name]) for one in parameters]
    )
    filled.__annotations__ = {one.name: types[one.name] for one in parameters}
    return filled


def texts_of(run: dict[str, Any]) -> dict[str, str | None]:
    """The texts among the options."""
    return {name: run[name] for name in PROMPT_NAMES}


def settings_of(run: dict[str, Any]) -> dict[str, Any]:
    """The settings among the options."""
    return {name: run[name] for name in SETTING_NAMES}
