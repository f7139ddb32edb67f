"""The full record of one run: as a value, as JSON, and inside a PNG."""

from __future__ import annotations

import hashlib
import json
import re
from codecs import BOM_UTF8
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Literal, TypeVar

from PIL import Image, PngImagePlugin
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    ValidationError,
    field_validator,
    model_validator,
)

from xpsr import __version__
from xpsr.errors import XPSRError
from xpsr.image import BEGINNINGS, pixel_sha256
from xpsr.prompts import MAX_CHARACTERS, Prompts, TextName
from xpsr.prompts.provenance import MAX_BY, MAX_RUNS, Kind, Sentence, from_runs, to_runs
from xpsr.settings import Settings

MAX_BYTES = 64 * 1024
NEWEST = 3  # schema_version
PNG_KEY = "xpsr"
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_Kind = TypeVar("_Kind", Prompts, Settings)

Short = Annotated[str, Field(max_length=100)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Revision = Annotated[str, Field(pattern=r"^(weights-)?[0-9a-f]{40}$")]
Side = Annotated[int, Field(ge=1, le=1_000_000)]


def _into(kind: type[_Kind]) -> PlainValidator:
    """Build `kind` from JSON through its own constructor, so that its own checks speak."""

    def build(value: Any) -> _Kind:
        if isinstance(value, kind):
            return value
        if not isinstance(value, dict):
            raise XPSRError(f"The {kind.__name__.lower()} of this recipe are not a list of names.")
        unknown = sorted(set(value) - set(kind.__dataclass_fields__))
        if unknown:
            raise XPSRError(f"This recipe holds an unknown entry, {_quoted(unknown[0])}.")
        return kind(**value)

    return PlainValidator(build)


class Versions(BaseModel):
    """The software a run was made with."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    xpsr: Short
    torch: Short
    diffusers: Short
    transformers: Short | None = None  # not in recipes before version 3

    @classmethod
    def here(cls) -> Versions:
        """The versions that are installed now."""
        others = ("torch", "diffusers", "transformers")
        return cls(xpsr=__version__, **{name: _installed(name) for name in others})


class Run(BaseModel):
    """Neighbouring sentences of one origin, see `xpsr.prompts.provenance.Origin`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sentences: Annotated[int, Field(ge=1, le=MAX_CHARACTERS)]
    origin: Kind
    by: Annotated[str, Field(max_length=MAX_BY)] | None = None


class Recipe(BaseModel):
    """Everything that is needed to repeat a run and to see whether it came out the same.

    Attributes:
        model: "mini", a hub id or the name of a folder; never a path of some machine.
        revision: which weights of that name, see `xpsr.revision.revision_of`.
        base, base_revision: the same of the Stable Diffusion that an official checkpoint needs.
        schema_version: 3; older recipes are still read. Version 1 hashed pictures in another way
            (see `is_input`); before version 3 nothing was known of revisions.
        device, dtype, hardware, threads: where, in which number format and (on a CPU) in how many
            threads the networks ran: others round differently, so pixels are repeated exactly
            only with the same. hardware and threads are not in recipes of version 1.
        input_sha256, output_sha256: `xpsr.image.pixel_sha256` of the two pictures.
        input_size, output_size: (width, height) in pixels.
        provenance: who wrote the sentences of each text, in their order; None if nobody said.
        notes: sentences about the run, such as which words did not fit.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[1, 2, 3] = 3
    model: Short
    revision: Revision | None = None
    base: Short | None = None
    base_revision: Revision | None = None
    prompts: Annotated[Prompts, _into(Prompts), PlainSerializer(asdict, return_type=dict)]
    settings: Annotated[Settings, _into(Settings), PlainSerializer(asdict, return_type=dict)]
    versions: Versions
    device: Short
    dtype: Short
    hardware: Short | None = None
    threads: Annotated[int, Field(ge=1, le=1024)] | None = None
    input_sha256: Sha256
    input_size: tuple[Side, Side]
    output_sha256: Sha256
    output_size: tuple[Side, Side]
    provenance: dict[TextName, Annotated[tuple[Run, ...], Field(max_length=MAX_RUNS)]] | None = None
    notes: Annotated[tuple[Annotated[str, Field(max_length=500)], ...], Field(max_length=20)] = ()

    @field_validator("model", "base")
    @classmethod
    def _no_path(cls, name: str | None) -> str | None:
        # A recipe travels: it must neither tell where its maker keeps files nor make the one who
        # repeats it open a folder of its choice.
        if name is None:
            return None
        if not re.fullmatch(r"[\w.-][\w. -]*(/[\w.-]+)?", name) or ".." in name:
            raise XPSRError(f"This recipe names a model that is not allowed, {_quoted(name)}.")
        return name

    @model_validator(mode="before")
    @classmethod
    def _tell_of_gaps(cls, data: Any) -> Any:
        """A note where texts or settings are not told and their defaults stand in for them."""
        if not isinstance(data, dict):
            return data
        gaps = [
            name
            for part, kind in (("prompts", Prompts), ("settings", Settings))
            if isinstance(told := data.get(part), dict)
            for name in kind.__dataclass_fields__
            if name not in told
        ]
        notes = data.get("notes", ())
        if not gaps or not isinstance(notes, list | tuple):
            return data
        note = f"This recipe does not tell {', '.join(gaps)}: the default is taken."
        return {**data, "notes": [note, *notes]}

    @property
    def seed(self) -> int:
        """The seed, which is one of the settings."""
        return self.settings.seed

    def is_input(self, image: Image.Image) -> bool:
        """Whether `image` has the pixels that the run began with."""
        return self._sha256(image) == self.input_sha256

    def is_output(self, image: Image.Image) -> bool:
        """Whether `image` has the pixels that came out."""
        return self._sha256(image) == self.output_sha256

    def _sha256(self, image: Image.Image) -> str:
        if self.schema_version > 1:
            return pixel_sha256(image)
        size = f"RGB {image.width}x{image.height}\n".encode()  # version 1 hashed the size as well
        return hashlib.sha256(size + image.convert("RGB").tobytes()).hexdigest()

    def with_provenance(self, texts: Mapping[str, Sequence[Sentence]]) -> Recipe:
        """This recipe with the origins of its sentences, by the names of the texts."""
        runs = {name: tuple(Run(**run) for run in to_runs(found)) for name, found in texts.items()}
        return self.model_copy(update={"provenance": runs})

    def sentences(self, name: TextName) -> tuple[Sentence, ...]:
        """The sentences of a text and their origins; "recipe" where this one does not tell."""
        runs = (self.provenance or {}).get(name, ())
        return from_runs(getattr(self.prompts, name), [run.model_dump() for run in runs])

    def to_json(self) -> str:
        """Readable JSON; the same recipe always gives the same text."""
        return json.dumps(
            self.model_dump(mode="json", exclude_none=True), ensure_ascii=False, indent=2
        )

    @classmethod
    def from_json(cls, text: str | bytes) -> Recipe:
        """Read a recipe.

        Raises:
            XPSRError: too large, not JSON, not ours, or with values out of range.
        """
        data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
        data = data.removeprefix(BOM_UTF8)  # which some editors put in front
        if len(data) > MAX_BYTES:
            raise XPSRError(
                f"This recipe is larger than {MAX_BYTES // 1024} kB, so it is not one of ours."
            )
        try:
            return cls.model_validate_json(data)
        except (ValidationError, XPSRError) as error:
            if (version := _version(data)) > NEWEST:
                raise XPSRError(
                    f"This recipe is of version {version}; here they are read up to version "
                    f"{NEWEST}. Update XPSR Studio to use it."
                ) from None
            if isinstance(error, XPSRError):
                raise
            raise XPSRError(_first_problem(error)) from None


def model_label(name: str) -> str:
    """The name of a model as a recipe may carry it: for a folder its last part alone."""
    if re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", name) and ".." not in name:
        return name[:100]
    last = re.split(r"[/\\]", name.rstrip("/\\"))[-1]
    label = re.sub(r"[^\w. -]", "_", last).replace("..", "_").strip()
    return label[:100] or "unnamed"


def save_png(image: Image.Image, recipe: Recipe, path: str | Path | BinaryIO) -> None:
    """Write `image` as PNG with the recipe inside (an iTXt entry named "xpsr").

    Args:
        image: RGB.
        recipe: of `image`.
        path: of the file, or one that is open for writing bytes.
    """
    texts = PngImagePlugin.PngInfo()
    texts.add_itxt(PNG_KEY, recipe.to_json())
    image.save(path, format="PNG", pnginfo=texts)


def read_recipe(path: str | Path) -> Recipe:
    """The recipe in a PNG written by `save_png`, or in a JSON file. Pixels are not decoded.

    Raises:
        XPSRError: no such file, no recipe in it, or one that cannot be used.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            start = file.read(MAX_BYTES + 1)
    except OSError:
        if path.is_dir():
            raise XPSRError(f"{path} is a folder; give a PNG or JSON file in it.") from None
        raise XPSRError(f"The file {path.name} cannot be opened; check its name.") from None
    if start.startswith(_PNG_SIGNATURE):
        return Recipe.from_json(_png_text(path))
    if start.startswith(BEGINNINGS) or start[4:8] == b"ftyp":
        raise XPSRError(_no_recipe(path))
    return Recipe.from_json(start)


def carries_recipe(path: str | Path) -> bool:
    """Whether a file is a PNG with a recipe inside, be it one that can be used here or not."""
    try:
        return bool(_png_text(Path(path)))
    except XPSRError:
        return False


def _png_text(path: Path) -> str:
    # The class itself and not Image.open: nothing is decoded, so a huge picture does no harm.
    try:
        with path.open("rb") as file:
            text = PngImagePlugin.PngImageFile(file).info.get(PNG_KEY)
    except (OSError, ValueError, SyntaxError):
        raise XPSRError(f"{path.name} is damaged; its recipe cannot be read.") from None
    if not isinstance(text, str):
        raise XPSRError(_no_recipe(path))
    return text


def _no_recipe(path: Path) -> str:
    return (
        f"{path.name} carries no recipe; only PNG pictures saved by XPSR Studio do, and some "
        "programs and websites remove it."
    )


class _Versioned(BaseModel):
    """What recipes of all versions tell."""

    schema_version: Annotated[int, Field(ge=1, le=1000)]


def _version(data: bytes) -> int:
    """The version of a recipe of which nothing else is known; 0: it tells none."""
    try:
        return _Versioned.model_validate_json(data).schema_version
    except ValidationError:
        return 0


def _first_problem(error: ValidationError) -> str:
    problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
    if problem["type"] == "json_invalid":
        return "This is not a recipe: it cannot be read as JSON."
    place = ".".join(str(part) for part in problem["loc"]) or "its form"
    return f"This recipe cannot be used: {_quoted(place)}: {problem['msg']}."


def _quoted(text: str) -> str:
    return json.dumps(text[:60], ensure_ascii=True)


def _installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"
