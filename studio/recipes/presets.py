"""Presets of a visitor's own: settings and texts under a name, as a value and as JSON.

They lie in the browser, so every byte of them is foreign each time it comes here.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from xpsr.errors import XPSRError
from xpsr.prompts import PROMPT_NAMES, Prompts
from xpsr.settings import PRESETS, Settings

from ..form import MAIN_TEXTS
from . import words

MAX_BYTES, MAX_NAME, MAX_PRESETS = 512 * 1024, 60, 50
TEXTS = tuple(name for name in PROMPT_NAMES if name not in MAIN_TEXTS)
_Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME)]


class NamedPreset(BaseModel):
    """Everything of the form but the two main texts and the seed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: _Name
    texts: dict[str, str]
    settings: dict[str, Any]

    @model_validator(mode="after")
    def _usable(self) -> NamedPreset:
        if self.name != _tidy(self.name) or set(self.texts) - set(TEXTS) or "seed" in self.settings:
            raise ValueError("not a preset")
        try:
            self.prompts(Prompts())
            self.all_settings(0)
        except XPSRError as error:
            raise ValueError(str(error)) from error
        return self

    @classmethod
    def of_form(cls, name: str, prompts: Prompts, settings: Settings) -> NamedPreset:
        """Raises XPSRError if the name cannot be used."""
        said = {one: text for one, text in asdict(prompts).items() if one in TEXTS}
        numbers = {one: value for one, value in asdict(settings).items() if one != "seed"}
        return cls(name=checked_name(name), texts=said, settings=numbers)

    def prompts(self, now: Prompts) -> Prompts:
        """The texts of `now` with those of the preset in their places."""
        return Prompts(**{**asdict(now), **self.texts})

    def all_settings(self, seed: int) -> Settings:
        """Settings that did not exist when it was saved are those of "official"."""
        return Settings().changed(seed=seed, **self.settings)


class PresetBook(BaseModel):
    """All presets of a visitor, in the order in which they were saved."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["xpsr presets"] = "xpsr presets"
    schema_version: Literal[1] = 1
    presets: Annotated[tuple[NamedPreset, ...], Field(max_length=MAX_PRESETS)] = ()

    @model_validator(mode="after")
    def _no_twins(self) -> PresetBook:
        if len({_key(one.name) for one in self.presets}) < len(self.presets):
            raise ValueError("two presets of one name")
        return self

    @classmethod
    def read(cls, stored: Any) -> PresetBook:
        """What a browser kept, or a file holds.

        Raises:
            XPSRError: too large, not JSON, or nothing of ours.
        """
        if stored is None or stored == "":
            return cls()
        try:
            text = stored if isinstance(stored, (str, bytes)) else json.dumps(stored)
            data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
            if len(data) > MAX_BYTES:
                raise XPSRError(words.PRESETS_LARGE.format(limit=MAX_BYTES // 1024))
            return cls.model_validate_json(data)
        except (ValidationError, TypeError, ValueError, RecursionError):
            raise XPSRError(words.PRESETS_NO_FILE) from None

    def names(self) -> list[str]:
        return [one.name for one in self.presets]

    def find(self, name: str | None) -> NamedPreset:
        """Raises XPSRError if there is none of that name."""
        for one in self.presets:
            if one.name == name:
                return one
        raise XPSRError(words.PRESET_CHOOSE)

    def added(self, preset: NamedPreset) -> PresetBook:
        """Raises XPSRError if the name is taken or there is no room."""
        if _key(preset.name) in map(_key, self.names()):
            raise XPSRError(words.name_taken(preset.name))
        if len(self.presets) >= MAX_PRESETS:
            raise XPSRError(words.too_many_presets(MAX_PRESETS))
        return self._with((*self.presets, preset))

    def replaced(self, preset: NamedPreset) -> PresetBook:
        """The preset of the same name replaced."""
        self.find(preset.name)
        return self._with(preset if one.name == preset.name else one for one in self.presets)

    def renamed(self, old: str | None, new: str) -> PresetBook:
        """Raises XPSRError if the new name is taken or cannot be used."""
        preset, name = self.find(old), checked_name(new)
        if _key(name) in (_key(one) for one in self.names() if one != old):
            raise XPSRError(words.name_taken(name))
        changed = preset.model_copy(update={"name": name})
        return self._with(changed if one is preset else one for one in self.presets)

    def removed(self, name: str | None) -> PresetBook:
        gone = self.find(name)
        return self._with(one for one in self.presets if one is not gone)

    def merged(self, other: PresetBook) -> tuple[PresetBook, int]:
        """With the presets of a file; how many came. One whose name is taken gets a number."""
        book, count = self, 0
        for preset in other.presets:
            if any(_same(preset, one) for one in book.presets):
                continue
            book = book.added(preset.model_copy(update={"name": book._free(preset.name)}))
            count += 1
        return book, count

    def _free(self, name: str) -> str:
        taken = {*map(_key, self.names()), *PRESETS}
        numbered = (f"{name[: MAX_NAME - 5]} ({number})" for number in range(2, MAX_PRESETS + 9))
        return next(one for one in (name, *numbered) if _key(one) not in taken)

    def _with(self, presets: Any) -> PresetBook:
        return PresetBook(presets=tuple(presets))

    def to_json(self) -> str:
        return json.dumps(self.model_dump(mode="json"), ensure_ascii=False, indent=2)


def checked_name(name: str) -> str:
    """A name as it is kept: blanks tidied.

    Raises:
        XPSRError: empty, too long, unprintable, or that of a built-in preset.
    """
    tidy = _tidy(str(name or ""))
    if not tidy:
        raise XPSRError(words.NAME_EMPTY)
    if len(tidy) > MAX_NAME:
        raise XPSRError(words.name_long(MAX_NAME))
    if _key(tidy) in PRESETS:
        raise XPSRError(words.name_built_in(tidy))
    return tidy


def _tidy(name: str) -> str:
    return "".join(letter for letter in " ".join(name.split()) if letter.isprintable())


def _key(name: str) -> str:
    return name.casefold()


def _same(new: NamedPreset, known: NamedPreset) -> bool:
    """Whether it came before, perhaps under its name with a number."""
    bare = re.sub(r" \(\d+\)$", "", known.name)
    return new.name in (known.name, bare) and (new.texts, new.settings) == (
        known.texts,
        known.settings,
    )
