"""Lets a diffusers model grow config keys of its own."""

import inspect
from collections.abc import Callable
from typing import Any


def extends_config_of(base: type) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorate an `__init__(self, own=…, **config)` with the signature of `base` plus its own keys.

    diffusers decides by the signature of `__init__` which keys of a config.json it passes on; bare
    keyword arguments would drop every key of the base class without a word.
    """

    def decorate(init: Callable[..., None]) -> Callable[..., None]:
        by_name = inspect.signature(init).parameters.values()
        own = [p for p in by_name if p.name != "self" and p.kind is not p.VAR_KEYWORD]
        inherited = list(inspect.signature(base.__init__).parameters.values())
        init.__signature__ = inspect.Signature([*inherited, *own])  # type: ignore[attr-defined]
        return init

    return decorate


def like_unet(cls: type, unet: Any, own: dict[str, Any]) -> Any:
    """A new network of `cls`, sized as a UNet; `own` = config keys that differ or are new."""
    expected = cls._get_init_keys(cls)
    config = {k: v for k, v in unet.config.items() if k in expected and not k.startswith("_")}
    return cls(**{**config, **own})


def without_unused_official_keys(config: dict[str, Any]) -> dict[str, Any]:
    """Drop the flags of the authors' networks that say nothing: those that XPSR's released training
    never switches on, and the one that SeeSR's always has on.

    Raises:
        ValueError: one of them is on; such a network has layers that this class does not build.
    """
    flags = ("down_use_lowlevel_prompt", "mid_use_lowlevel_prompt", "up_use_lowlevel_prompt")
    for flag in flags:
        value = config.get(flag, False)
        if any(value) if isinstance(value, (list, tuple)) else value:
            raise ValueError(f"its config switches {flag} on, which XPSR as published never uses")
    dropped = (*flags, "use_image_cross_attention")
    return {key: value for key, value in config.items() if key not in dropped}
