"""From a name to a ready pipeline: the embedded model, folders, hub ids, official checkpoints."""

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
from diffusers import UNet2DConditionModel
from huggingface_hub import constants, snapshot_download
from safetensors import SafetensorError

from xpsr import models
from xpsr.errors import (
    DiskFullError,
    NotEnoughMemoryError,
    XPSRError,
    is_disk_full,
    is_out_of_memory,
)
from xpsr.models import XPSRControlNetModel, XPSRUNet2DConditionModel
from xpsr.models.checkpoint import base_of, locate
from xpsr.models.own_layers import FILE as OWN_LAYERS
from xpsr.models.own_layers import has_own_layers, load_own_layers
from xpsr.models.weights_file import align, read_shapes
from xpsr.names import expanded
from xpsr.pipeline import XPSRPipeline
from xpsr.placement import choose_device, choose_dtype, telling_of_memory
from xpsr.revision import ModelSource, revision_of

MINI = Path(__file__).parent / "mini"
INDEX = "model_index.json"
BASE_PARTS = {
    "vae": "AutoencoderKL",
    "text_encoder": "CLIPTextModel",
    "tokenizer": "CLIPTokenizer",
    "scheduler": "DDPMScheduler",
}
COMPONENTS = {
    **BASE_PARTS,
    "unet": "XPSRUNet2DConditionModel",
    "controlnet": "XPSRControlNetModel",
}
# Not what a hub folder also holds: half-precision copies, safety checker, single-file checkpoints.
_WEIGHTS = ("diffusion_pytorch_model", "model")
_WANTED = (
    "*.json",
    "*.txt",
    OWN_LAYERS,
    *(f"{name}{shard}.safetensors" for name in _WEIGHTS for shard in ("", "-?????-of-?????")),
)
_NAMED = re.compile(
    r"(?:diffusion_pytorch_model|model|pytorch_model)(?:\.(\w+))?(?:-\d{5}-of-\d{5})?"
    r"\.(?:safetensors|bin)"
)
_PICKLED = ("diffusion_pytorch_model.bin", "pytorch_model.bin")
_NO_ROOM = (
    "There is not enough memory to load this model: close other programs, or choose the number "
    "format float16 or another device."
)


@telling_of_memory(_NO_ROOM)
def load(
    name_or_folder: str | Path = "mini",
    *,
    base: str | Path | None = None,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
) -> XPSRPipeline:
    """Load a model, ready to restore pictures.

    Args:
        name_or_folder: "mini" (embedded, needs no network), a folder or hub id in diffusers'
            layout (model_index.json), or an official checkpoint (folders unet and controlnet).
        base: for official checkpoints: folder or hub id of the Stable Diffusion 1.5 they build on.
        device: "cuda", "mps", "cpu"; default: the best there is.
        dtype: "float32", "float16", "bfloat16"; default: float16, on the CPU float32.

    Raises:
        XPSRError: nothing of that name, a folder of another kind, parts that do not fit together,
            a device that is not there, or (`NotEnoughMemoryError`) too little memory.
    """
    place = choose_device(device)
    number_format = choose_dtype(place, dtype)
    name = str(name_or_folder)
    if isinstance(name_or_folder, Path) and name_or_folder.is_dir():
        name_or_folder = name_or_folder.absolute()  # Path("./mini") is a folder, "mini" is not
    folder = find_model(str(name_or_folder), tuple(COMPONENTS))
    if (folder / INDEX).is_file():
        refuse_base(name, base)
        parts = read_parts(folder, tuple(COMPONENTS), number_format)
        options = read_index(folder)
        pipe = XPSRPipeline(
            **parts,
            residual_latents=options.get("residual_latents", False),
            default_preset=options.get("default_preset", "official"),
        )
        pipe.source = ModelSource(revision_of(folder))
    else:
        pipe = _official(locate(folder), base, number_format)
    _check_fit(pipe)
    pipe.model_name = name
    pipe.to(place, silence_dtype_warnings=True)
    for part in pipe.components.values():
        if isinstance(part, torch.nn.Module):
            align(part)
    return pipe


def _official(folder: Path, base: str | Path | None, dtype: torch.dtype) -> XPSRPipeline:
    base_folder = find_model(named_base(folder.name, base), tuple(BASE_PARTS))
    if has_own_layers(folder / "unet"):  # trained here and exported without the base's layers
        whole = find_model(str(base), ("unet",)) / "unet"
        unet = load_own_layers(folder / "unet", read_part(whole, UNet2DConditionModel, dtype))
        controlnet = read_part(folder / "controlnet", XPSRControlNetModel, dtype)
    else:
        unet = XPSRUNet2DConditionModel.from_official(folder / "unet", dtype)
        controlnet = XPSRControlNetModel.from_official(folder / "controlnet", dtype)
    pipe = XPSRPipeline(
        **read_parts(base_folder, tuple(BASE_PARTS), dtype), unet=unet, controlnet=controlnet
    )
    pipe.source = ModelSource(revision_of(folder), str(base), revision_of(base_folder))
    return pipe


def refuse_base(name: str, base: str | Path | None) -> None:
    """A complete model needs no base; XPSRError if there is one."""
    if base:
        raise XPSRError(f"{name} is a complete model; leave base out.")


def named_base(name: str, base: str | Path | None) -> str:
    """The base of an official checkpoint; XPSRError if there is none."""
    if base:
        return str(base)
    raise XPSRError(
        f"{name} is an official checkpoint, which holds only a part of the model; name a folder or "
        "hub id of Stable Diffusion 1.5 as base."
    )


def find_model(name: str, parts: tuple[str, ...]) -> Path:
    """The local folder of a model; a hub id is fetched (only `parts` of it) or taken from cache."""
    if folder := local_folder(name):
        return folder
    try:
        found = Path(snapshot_download(name, allow_patterns=wanted_files(parts)))
        # Only where there is nothing safer: pickled weights, read later without running their code.
        if bare := [part for part in parts if _lacks_weights(found / part)]:
            patterns = [file for part in bare for file in pickled_files(part)]
            found = Path(snapshot_download(name, allow_patterns=patterns))
        return found
    except Exception as error:  # of the hub, of the network, of a proxy, of the disk
        raise cannot_fetch(name, error) from error


def local_folder(name: str) -> Path | None:
    """The folder of a model on this machine; None: the name is one of the hub.

    Raises:
        XPSRError: it is neither.
    """
    if name == "mini":
        if not (MINI / INDEX).is_file():
            raise XPSRError(
                "The embedded model is missing; install XPSR Studio again or name another model."
            )
        return MINI
    place = expanded(name)
    if name and place.is_dir():
        return place
    if place.is_file():
        raise XPSRError(
            f"{name} is a file, and here a model is a folder with one for each of its parts. From "
            "a Stable Diffusion in a single file diffusers makes one: "
            "StableDiffusionPipeline.from_single_file(FILE).save_pretrained(FOLDER)."
        )
    if is_hub_id(name):
        return None
    raise XPSRError(
        f'There is no model "{name}": give "mini", a folder that exists, or a hub id such as '
        "owner/name."
    )


def is_hub_id(name: str) -> bool:
    """Whether a name can be one of the Hugging Face hub: owner/name."""
    return re.fullmatch(r"[\w][\w.-]*/[\w][\w.-]*", name) is not None


def wanted_files(parts: tuple[str, ...]) -> list[str]:
    """Patterns for what is fetched of a model on the hub."""
    return [INDEX, *(f"{part}/{file}" for part in parts for file in _WANTED)]


def pickled_files(part: str) -> list[str]:
    """What is fetched of a part whose weights are nowhere in a safer format."""
    return [f"{part}/{file}" for file in _PICKLED]


def cannot_fetch(name: str, error: Exception) -> XPSRError:
    """What to say where a hub id cannot be fetched."""
    if is_disk_full(error):
        return DiskFullError(
            f'"{name}" cannot be fetched: the disk is full. What has come is kept; make room for '
            f"{constants.HF_HUB_CACHE} and try again."
        )
    return XPSRError(
        f'"{name}" is no folder here and cannot be fetched from the Hugging Face hub; check '
        "the name and the network."
    )


def _lacks_weights(part: Path) -> bool:
    """Whether a fetched part is a network (the tokenizer and scheduler are not) without weights."""
    return (part / "config.json").is_file() and not any(part.glob("*.safetensors"))


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


def read_parts(folder: Path, names: tuple[str, ...], dtype: torch.dtype) -> dict[str, Any]:
    """{name: component} of a model folder in diffusers' layout; see `read_part`."""
    index = read_index(folder)
    return {name: read_part(folder / name, class_of(name, index), dtype) for name in names}


def class_of(part: str, index: dict[str, Any]) -> Any:
    """The class of a component, by its bare name and only from the libraries we know.

    A model_index.json may name any module: looking ours up by name lets them move, and a strange
    folder cannot make us import what it likes.
    """
    entry = index.get(part)
    name = entry[1] if isinstance(entry, list) and len(entry) == 2 else COMPONENTS[part]
    kind = {"text_encoder": "CLIPTextModel", "tokenizer": "CLIPTokenizer"}.get(part, "")
    if kind and str(name).startswith(kind):
        return getattr(transformers, str(name), None) or getattr(transformers, kind)
    if name in models.__all__:
        return getattr(models, name)
    if re.fullmatch(r"Autoencoder(KL|Tiny)" if part == "vae" else r"\w+Scheduler", str(name)):
        found = getattr(diffusers, str(name), None)
        if found is not None and part in ("vae", "scheduler"):
            return found
    raise XPSRError(f'This is not an XPSR model: its {part} is of the kind "{str(name)[:60]}".')


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
            raise NotEnoughMemoryError(_NO_ROOM) from error
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


def check_base(folder: Path, text_width: int) -> None:
    """Refuse a base of another family by its configurations, before its weights are read.

    Raises:
        XPSRError: says what is missing or does not fit.
    """
    for part in BASE_PARTS:
        if not (folder / part).is_dir():
            raise XPSRError(
                f'{folder} is no base: it has no folder "{part}". A base is a Stable Diffusion in '
                "diffusers' layout, with the folders " + ", ".join(BASE_PARTS) + "."
            )
    try:
        config = json.loads((folder / "text_encoder" / "config.json").read_text(encoding="utf-8"))
        found = config["hidden_size"]
    except (OSError, ValueError, KeyError, TypeError):
        raise XPSRError(f'The "text_encoder" in {folder} has no readable config.json.') from None
    if found != text_width:
        raise XPSRError(
            f"The checkpoint was built on {base_of(text_width)}, and {folder} is "
            f"{base_of(found)}: name another base."
        )


def _check_fit(pipe: XPSRPipeline) -> None:
    """Refuse parts that come from different families before they crash in the middle of a run."""
    for name in ("unet", "controlnet"):
        network = getattr(pipe, name)
        pairs = (
            (
                "text_encoder",
                network.config.cross_attention_dim,
                pipe.text_encoder.config.hidden_size,
            ),
            ("vae", network.config.in_channels, pipe.vae.config.latent_channels),
        )
        for part, wanted, found in pairs:
            if wanted != found:
                raise XPSRError(
                    f"The {name} and the {part} do not belong together ({wanted} channels against "
                    f"{found}); Stable Diffusion 1.5 is the base of the official checkpoints."
                )
