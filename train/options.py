"""Options: YAML file + `key=value` overrides → one checked value, or one sentence."""

import re
from collections.abc import Sequence
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from xpsr.errors import XPSRError

Options = TypeVar("Options", bound="Strict")

LIST = "write a list, as [a, b]"
# Folders stay text even when they look like a number.
FOLDERS = ("data", "out", "start", "validate_data")


class _Loader(yaml.SafeLoader):
    """YAML 1.1 takes 1e-4 for a word, and 1.0e-4 for a number; PyYAML the last of two same keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        keys = [key.value for key, _ in node.value]
        if twice := [key for key in keys if keys.count(key) > 1]:
            raise yaml.YAMLError(f"{twice[0]} stands there twice")
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"),
    list("-+.0123456789"),
)


class Strict(BaseModel):
    """Unknown keys are errors: a misspelt option must not train the wrong thing."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def read_options(
    kind: type[Options], path: str | Path | None, overrides: Sequence[str] | None = None
) -> Options:
    """Read a YAML file (None = the defaults) and apply overrides; `loss.x=0` reaches inside.

    Raises:
        XPSRError: the file, a key or a value is wrong; one sentence.
    """
    values = read_yaml(path) if path is not None else {}
    for override in overrides or []:
        _apply(values, override)
    try:
        return kind(**values)
    except ValidationError as error:
        raise XPSRError(_sentence(kind, error)) from None
    except TypeError:  # a key that is no text
        raise XPSRError(f"{path} must hold options by name, as key: value.") from None


def read_yaml(path: str | Path) -> dict[str, Any]:
    """A file of options by name; XPSRError where it is none."""
    try:
        values = yaml.load(Path(path).read_text(encoding="utf-8"), _Loader) or {}
    except FileNotFoundError:
        raise XPSRError(f"There is no configuration file {path}.") from None
    except (yaml.YAMLError, OSError, UnicodeDecodeError) as error:
        raise XPSRError(f"{path} cannot be read as YAML: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise XPSRError(f"{path} must hold keys and values.")
    return values


def _apply(values: dict, override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise XPSRError(f"Write options as key=value, not {override!r}.")
    *parents, last = key.split(".")
    for parent in parents:
        if values.get(parent) is None:
            values[parent] = {}
        values = values[parent]
        if not isinstance(values, dict):
            raise XPSRError(f"{key!r} is no option: {parent!r} has no parts.")
    values[last] = text if last in FOLDERS and text != "null" else read_value(key, text)


def read_value(key: str, text: str) -> Any:
    """What `key=text` means: a number, a word, a list …; XPSRError where it cannot be read."""
    try:
        value = yaml.load(text, _Loader)
    except yaml.YAMLError:
        raise XPSRError(f"The value of {key!r} cannot be read: {text!r}.") from None
    # YAML takes no, off and yes for truth values; `mixed_precision=no` means the word.
    return text if isinstance(value, bool) and text.lower() not in ("true", "false") else value


def _sentence(kind: type[Strict], error: ValidationError) -> str:
    errors = error.errors()
    key = _key(kind, errors[0]["loc"])
    # Where several kinds of value are possible, the one that was meant fails at the deepest place.
    first = max((e for e in errors if _key(kind, e["loc"]) == key), key=lambda e: len(e["loc"]))
    if first["type"] == "extra_forbidden":
        name, where = ".".join(map(str, first["loc"])), _model_at(kind, first["loc"][:-1])
        of = f" of {key!r}" if key else ""
        return f"There is no option {name!r}. The options{of} are: {', '.join(where.model_fields)}."
    if first["type"] == "missing" and first["loc"] == tuple(key.split(".")):
        return f"The option {key!r} is missing: give it as {key}=VALUE."
    if first["type"] in ("model_type", "model_attributes_type"):
        parts = ", ".join(f"{key}.{name}" for name in _model_at(kind, first["loc"]).model_fields)
        return f"The option {key!r} cannot be {first['input']!r}: give its parts, {parts}."
    plainer = {"missing": "give more values", "list_type": LIST, "tuple_type": LIST}
    message = plainer.get(first["type"], first["msg"]).removeprefix("Value error, ")
    if not key:
        return f"The options do not fit together: {message}."
    return f"The option {key!r} cannot be {first['input']!r}: {message}."


def _key(kind: type[Strict], place: tuple[int | str, ...]) -> str:
    """The option at `place`, without what pydantic adds of its value's kind and parts."""
    names = []
    for depth, name in enumerate(place):
        if name not in _model_at(kind, place[:depth]).model_fields:
            break
        names.append(str(name))
    return ".".join(names)


def _model_at(kind: type[Strict], place: tuple[int | str, ...]) -> type[Strict]:
    """The options that stand below the key `place`."""
    for name in place:
        field = kind.model_fields.get(str(name))
        if field is None:
            break
        annotation: Any = field.annotation
        union = get_origin(annotation) in (Union, UnionType)
        choices = get_args(annotation) if union else [annotation]
        kind = next((c for c in choices if isinstance(c, type) and issubclass(c, Strict)), kind)
    return kind
