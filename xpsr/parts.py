"""The parts of a model in diffusers' layout, each read from its own folder."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from safetensors import SafetensorError

from xpsr import models
from xpsr.errors import NotEnoughMemoryError, XPSRError, is_out_of_memory
from xpsr.finding import INDEX
from xpsr.models.checkpoint import base_of
from xpsr.models.family import SEESR, Family
from xpsr.models.own_layers import FILE as OWN_LAYERS
from xpsr.models.weights_file import read_shapes
from xpsr.tagger_files import TaggerFiles

BASE_PARTS = {
    "vae": "AutoencoderKL",
    "text_encoder": "CLIPTextModel",
    "tokenizer": "CLIPTokenizer",
    "scheduler": "DDPMScheduler",
}
# The parts of a pipeline and their classes, by the name that stands in its model_index.json.
COMPONENTS = {
    "XPSRPipeline": {
        **BASE_PARTS,
        "unet": "XPSRUNet2DConditionModel",
        "controlnet": "XPSRControlNetModel",
    },
    "SeeSRPipeline": {
        **BASE_PARTS,
        "unet": "SeeSRUNet2DConditionModel",
        "controlnet": "SeeSRControlNetModel",
        "tagger": "DAPEModel",
    },
}
ALL_PARTS = tuple(COMPONENTS["SeeSRPipeline"])  # of every kind, before it is known of which
_NAMED = re.compile(
    r"(?:diffusion_pytorch_model|model|pytorch_model)(?:\.(\w+))?(?:-\d{5}-of-\d{5})?"
    r"\.(?:safetensors|bin)"
)
NO_ROOM = (
    "There is not enough memory to load this model: close other programs, or choose the number "
    "format float16 or another device."
)


def read_index(folder: Path) -> dict[str, Any]:
    """What a model's model_index.json says; {} for a base of bare component folders without one.

    Raises:
        XPSRError: it cannot be read.
    """
    path = folder / INDEX
    if not path.is_file():
        return {}
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        index = None
    if not isinstance(index, dict):
        raise XPSRError(f"{path} cannot be read; fetch the model again.")
    return index


def parts_of(index: dict[str, Any]) -> tuple[str, ...]:
    """The names of a model's parts, by its `read_index`."""
    return tuple(COMPONENTS.get(index.get("_class_name", ""), COMPONENTS["XPSRPipeline"]))


def class_of(part: str, index: dict[str, Any]) -> Any:
    """The class of a component, by its bare name and only from the libraries we know.

    A model_index.json may name any module: looking ours up by name lets them move, and a strange
    folder cannot make us import what it likes.
    """
    entry = index.get(part)
    usual = {**COMPONENTS["SeeSRPipeline"], **COMPONENTS["XPSRPipeline"]}[part]
    name = entry[1] if isinstance(entry, list) and len(entry) == 2 else usual
    kind = {"text_encoder": "CLIPTextModel", "tokenizer": "CLIPTokenizer"}.get(part, "")
    if kind and str(name).startswith(kind):
        return getattr(transformers, str(name), None) or getattr(transformers, kind)
    if name in models.__all__:
        return getattr(models, name)
    if re.fullmatch(r"Autoencoder(KL|Tiny)" if part == "vae" else r"\w+Scheduler", str(name)):
        found = getattr(diffusers, str(name), None)
        if found is not None and part in ("vae", "scheduler"):
            return found
    raise XPSRError(f'This is no XPSR and no SeeSR: its {part} is of the kind "{str(name)[:60]}".')


def read_parts(folder: Path, names: tuple[str, ...], dtype: torch.dtype) -> dict[str, Any]:
    """{name: component} of a model folder in diffusers' layout; see `read_part`."""
    index = read_index(folder)
    return {name: read_part(folder / name, class_of(name, index), dtype) for name in names}


def read_part(folder: Path, kind: Any, dtype: torch.dtype) -> Any:
    """One component from its own folder, never from the hub.

    Args:
        folder: named like the component, as in "models/xpsr/unet".
        kind: its class, see `class_of`.
        dtype: number format of its weights, if it has any.

    Raises:
        XPSRError: it is not there, not whole, or does not fit its configuration.
    """
    if not folder.is_dir():
        raise XPSRError(f'The model in {folder.parent} is incomplete: it has no "{folder.name}".')
    options: dict[str, Any] = {}
    network = issubclass(kind, torch.nn.Module)
    if network:
        options["output_loading_info"] = True
        options["dtype" if kind.__module__.startswith("transformers") else "torch_dtype"] = dtype
        options["variant"] = _variant(folder)
        if weight_files(folder, ".bin") and not weight_files(folder, ".safetensors"):
            options["use_safetensors"] = False  # else diffusers tells of an error on its way there
    try:
        # Already on this disk: without the flag a missing file would be looked for in the network.
        with no_progress_bars():
            part = kind.from_pretrained(folder, local_files_only=True, **options)
            part, told = part if network else (part, {})
    except (OSError, ValueError, RuntimeError, TypeError, SafetensorError) as error:
        if is_out_of_memory(error):
            raise NotEnoughMemoryError(NO_ROOM) from error
        for path in sorted(folder.glob("*.safetensors")):
            read_shapes(path)  # says so where a file is damaged or cut short
        reason = str(error).strip().split("\n")[0][:200]
        raise XPSRError(
            f'The "{folder.name}" in {folder.parent} cannot be loaded: {reason}'
        ) from error
    # Both libraries only log a warning, and make up what is missing.
    if misfit := _misfit(told, strict=kind.__name__ in models.__all__):
        raise XPSRError(
            f'The weights of "{folder.name}" in {folder.parent} do not fit its config.json: '
            f"{misfit}."
        )
    if hasattr(part, "register_to_config"):
        # diffusers notes the folder's path and writes it into every copy that is saved later.
        part.register_to_config(_name_or_path="")
    return part


def read_tagger(files: TaggerFiles, dtype: torch.dtype) -> models.DAPEModel:
    """SeeSR's tagger from wherever `find_tagger` found it; XPSRError if it is not whole."""
    if files.folder is not None:
        return read_part(files.folder, models.DAPEModel, dtype)
    assert files.ram is not None
    return models.DAPEModel.from_official(files.ram, files.dape, dtype)


def _misfit(told: dict[str, Any], strict: bool) -> str:
    """What keeps weights from being those of a network, by what `from_pretrained` tells of them.

    What is not expected counts for our own networks only: files of the base hold old buffers.
    """
    kinds = {"missing_keys": "missing", "mismatched_keys": "of the wrong shape"}
    if strict:
        kinds["unexpected_keys"] = "not expected"
    parts = []
    for kind, words in kinds.items():
        names = sorted(one if isinstance(one, str) else one[0] for one in told.get(kind) or ())
        if names:
            parts.append(f"{len(names)} {words} (first: {names[0]})")
    return "; ".join(parts)


def _variant(folder: Path) -> str | None:
    """What `save_pretrained(..., variant="fp16")` put into the names of weights; None: nothing."""
    found = {match[1] for path in folder.iterdir() if (match := _NAMED.fullmatch(path.name))}
    if None in found or not found:
        return None
    if len(found) > 1:
        raise XPSRError(
            f"{folder} holds its weights in several variants ({', '.join(sorted(found))}); leave "
            "only one there."
        )
    return found.pop()


def weight_files(folder: Path, ending: str) -> list[Path]:
    """The files with this ending that `load` takes a network's weights from, in their order."""
    variant, found = _variant(folder), []
    for path in sorted(folder.iterdir()):
        named = _NAMED.fullmatch(path.name)
        if path.suffix == ending and (path.name == OWN_LAYERS or (named and named[1] == variant)):
            found.append(path)
    return found


@contextmanager
def no_progress_bars() -> Iterator[None]:
    """Both libraries draw a bar on the terminal for each part, however small."""
    libraries = (transformers.utils.logging, diffusers.utils.logging)
    shown = [library for library in libraries if library.is_progress_bar_enabled()]
    for library in libraries:
        library.disable_progress_bar()
    try:
        yield
    finally:
        for library in shown:
            library.enable_progress_bar()


def check_base(folder: Path, text_width: int, family: Family) -> None:
    """Refuse a base of another kind by its configurations, before its weights are read.

    Args:
        folder: of the base.
        text_width, family: of the checkpoint that adds to it.

    Raises:
        XPSRError: says what is missing or does not fit.
    """
    for part in BASE_PARTS:
        if not (folder / part).is_dir():
            raise XPSRError(
                f'{folder} is no base: it has no folder "{part}". A base is a Stable Diffusion in '
                "diffusers' layout, with the folders " + ", ".join(BASE_PARTS) + "."
            )
    found = read_setting(folder / "text_encoder", "hidden_size")
    if found is None:
        raise XPSRError(f'The "text_encoder" in {folder} has no readable config.json.')
    if found != text_width:
        raise XPSRError(
            f"The checkpoint was built on {base_of(text_width)}, and {folder} is "
            f"{base_of(found)}: name another base."
        )
    kind = read_setting(folder / "scheduler", "prediction_type") or "epsilon"
    # An XPSR of one's own may have been trained on such a base.
    if family is SEESR and kind != "epsilon":
        raise XPSRError(
            f"{folder} is a base of another kind ({kind}), as Stable Diffusion 2 for 768 pixels "
            'is. SeeSR was built on one that predicts noise, as Stable Diffusion 2 "base" does: '
            "name another base."
        )


def read_setting(part: Path, name: str) -> Any:
    """What the configuration in the folder of a part says; None where it says nothing or cannot be
    read."""
    file = "scheduler_config.json" if part.name == "scheduler" else "config.json"
    try:
        config = json.loads((part / file).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return config.get(name) if isinstance(config, dict) else None
