"""What callers of the named endpoints may send. Types are checked here; ranges and choices are
checked where they are defined, by `xpsr.Settings` and `xpsr.Prompts`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from xpsr.errors import XPSRError
from xpsr.prompts import PROMPT_NAMES
from xpsr.settings import CHOICES, SETTING_NAMES

Text: Any = (str | None, None)
Number: Any = (int | float | None, None)


class Asked(BaseModel):
    """Strict: "5" is no number, and 5 is no text. NaN and infinity are none either."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


_FIELDS: dict[str, Any] = {
    **dict.fromkeys((*PROMPT_NAMES, "preset"), Text),
    **{name: Text if name in CHOICES else Number for name in SETTING_NAMES},
}
Restore = create_model("Restore", __base__=Asked, **_FIELDS)
Score = create_model("Score", __base__=Asked, metrics=Text)
CountTokens = create_model(
    "CountTokens",
    __base__=Asked,
    text=(str, ...),
    added_prompt=Text,
    long_prompts=Text,
    added_position=Text,
)


def check(model: type[Asked], given: Mapping[str, Any]) -> None:
    """Check the types of what was sent.

    Raises:
        XPSRError: names the first value of a wrong type, and the type it must have.
    """
    try:
        model.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = str(first["loc"][0])
        wants_text = str in _types(model, name)
        wanted = "a text" if wants_text else "a number"
        raise XPSRError(f"{name} is {_shown(first['input'])}; it must be {wanted}.") from error


def _types(model: type[Asked], name: str) -> tuple[Any, ...]:
    annotation = model.model_fields[name].annotation
    return getattr(annotation, "__args__", (annotation,))


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return f'the text "{value[:40]}"'
    if isinstance(value, bool):
        return str(value).lower()
    names = {list: "a list", dict: "an object", type(None): "missing"}
    return names.get(type(value), str(value)[:40])
