"""The options behind a describer's name or address, as in "llava?bits=4&questions=q-instruct"."""

from __future__ import annotations

from urllib.parse import parse_qsl

from xpsr.errors import XPSRError


def split_options(spec: str) -> tuple[str, dict[str, str]]:
    """The name or address, and the options that follow it."""
    place, _, rest = spec.partition("?")
    return place, dict(parse_qsl(rest, keep_blank_values=True))


def check_options(options: dict[str, str], known: dict[str, str], whose: str) -> None:
    """Refuse options that do not exist. Values are never repeated: one may be a key."""
    for name in options:
        if name not in known:
            said = f'"{name}"' if name.isidentifier() else "of that name"
            raise XPSRError(f"{whose} has no option {said}; choose among {', '.join(known)}.")


def whole_number(options: dict[str, str], name: str, default: int, low: int, high: int) -> int:
    """An option that is a whole number from `low` to `high`."""
    text = options.get(name, str(default))
    if not (text.isascii() and text.isdecimal() and low <= int(text) <= high):
        raise XPSRError(f"The option {name} takes a whole number from {low} to {high}.")
    return int(text)
