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
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from safetensors import SafetensorError

from xpsr import models
from xpsr.errors import XPSRError
from xpsr.models import XPSRControlNetModel, XPSRUNet2DConditionModel
from xpsr.models.own_layers import FILE as OWN_LAYERS
from xpsr.models.own_layers import has_own_layers, load_own_layers
from xpsr.pipeline import XPSRPipeline
from xpsr.placement import choose_device, choose_dtype

MINI = Path(__file__).parent / "mini"
_BASE = {
    "vae": "AutoencoderKL",
    "text_encoder": "CLIPTextModel",
    "tokenizer": "CLIPTokenizer",
    "scheduler": "DDPMScheduler",
}
_COMPONENTS = {
    **_BASE,
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
_PICKLED = ("diffusion_pytorch_model.bin", "pytorch_model.bin")


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
            or a device that is not there.
    """
    place = choose_device(device)
    number_format = choose_dtype(place, dtype)
    name = str(name_or_folder)
    folder = _find(name, tuple(_COMPONENTS))
    if (folder / "model_index.json").is_file():
        if base is not None:
            raise XPSRError(f"{name} is a complete model; leave base out.")
        parts = _read_parts(folder, tuple(_COMPONENTS), number_format)
        options = _read_index(folder)
        pipe = XPSRPipeline(
            **parts,
            residual_latents=options.get("residual_latents", False),
            default_preset=options.get("default_preset", "official"),
        )
    elif (folder / "unet").is_dir() and (folder / "controlnet").is_dir():
        pipe = _official(folder, base, number_format)
    else:
        raise XPSRError(
            f"{name} holds no model: there is neither a model_index.json nor an official "
            'checkpoint\'s folders "unet" and "controlnet".'
        )
    _check_fit(pipe)
    pipe.model_name = name
    return pipe.to(place, silence_dtype_warnings=True)


def _official(folder: Path, base: str | Path | None, dtype: torch.dtype) -> XPSRPipeline:
    if base is None:
        raise XPSRError(
            f"{folder.name} is an official checkpoint, which holds only a part of the model; "
            "name a folder or hub id of Stable Diffusion 1.5 as base."
        )
    base_folder = _find(str(base), tuple(_BASE))
    if has_own_layers(folder / "unet"):  # trained here and exported without the base's layers
        whole = _find(str(base), ("unet",)) / "unet"
        unet = load_own_layers(folder / "unet", _read_part(whole, UNet2DConditionModel, dtype))
        controlnet = _read_part(folder / "controlnet", XPSRControlNetModel, dtype)
    else:
        unet = XPSRUNet2DConditionModel.from_official(folder / "unet")
        controlnet = XPSRControlNetModel.from_official(folder / "controlnet")
    pipe = XPSRPipeline(
        **_read_parts(base_folder, tuple(_BASE), dtype), unet=unet, controlnet=controlnet
    )
    return pipe.to(dtype, silence_dtype_warnings=True)


def _find(name: str, parts: tuple[str, ...]) -> Path:
    """The local folder of a model; a hub id is fetched (only `parts` of it) or taken from cache."""
    if name == "mini":
        if not (MINI / "model_index.json").is_file():
            raise XPSRError(
                "The embedded model is missing; install XPSR Studio again or name another model."
            )
        return MINI
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    if not re.fullmatch(r"[\w][\w.-]*/[\w][\w.-]*", name):
        raise XPSRError(
            f'There is no model "{name}": give "mini", a folder that exists, or a hub id such as '
            "owner/name."
        )
    patterns = ["model_index.json", *(f"{part}/{file}" for part in parts for file in _WANTED)]
    try:
        found = Path(snapshot_download(name, allow_patterns=patterns))
        # Only where there is nothing safer: pickled weights, read later without running their code.
        if bare := [part for part in parts if _lacks_weights(found / part)]:
            patterns = [f"{part}/{file}" for part in bare for file in _PICKLED]
            found = Path(snapshot_download(name, allow_patterns=patterns))
        return found
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        raise XPSRError(
            f'"{name}" is no folder here and cannot be fetched from the Hugging Face hub; check '
            "the name and the network."
        ) from error


def _lacks_weights(part: Path) -> bool:
    """Whether a fetched part is a network (the tokenizer and scheduler are not) without weights."""
    return (part / "config.json").is_file() and not any(part.glob("*.safetensors"))


def _read_index(folder: Path) -> dict[str, Any]:
    path = folder / "model_index.json"
    if not path.is_file():  # a base given as bare component folders
        return {}
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        index = None
    if not isinstance(index, dict):
        raise XPSRError(f"{path} cannot be read; fetch the model again.")
    return index


def _read_parts(folder: Path, names: tuple[str, ...], dtype: torch.dtype) -> dict[str, Any]:
    index = _read_index(folder)
    return {name: _read_part(folder / name, _class_of(name, index), dtype) for name in names}


def _class_of(part: str, index: dict[str, Any]) -> Any:
    """The class of a component, by its bare name and only from the libraries we know.

    A model_index.json may name any module: looking ours up by name lets them move, and a strange
    folder cannot make us import what it likes.
    """
    entry = index.get(part)
    name = entry[1] if isinstance(entry, list) and len(entry) == 2 else _COMPONENTS[part]
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


def _read_part(folder: Path, kind: Any, dtype: torch.dtype) -> Any:
    if not folder.is_dir():
        raise XPSRError(f'The model in {folder.parent} is incomplete: it has no "{folder.name}".')
    options: dict[str, Any] = {}
    is_network = issubclass(kind, torch.nn.Module)
    if is_network:
        options["dtype" if kind.__module__.startswith("transformers") else "torch_dtype"] = dtype
    try:
        # Already on this disk: without the flag a missing file would be looked for in the network.
        with _no_progress_bars():
            part = kind.from_pretrained(folder, local_files_only=True, **options)
    except (OSError, ValueError, RuntimeError, TypeError, SafetensorError) as error:
        reason = str(error).strip().split("\n")[0][:200]
        raise XPSRError(
            f'The "{folder.name}" in {folder.parent} cannot be loaded: {reason}'
        ) from error
    if hasattr(part, "register_to_config"):
        # diffusers notes the folder's path and writes it into every copy that is saved later.
        part.register_to_config(_name_or_path="")
    return part


@contextmanager
def _no_progress_bars() -> Iterator[None]:
    """transformers draws a bar on the terminal for each part it loads, however small."""
    shown = transformers.utils.logging.is_progress_bar_enabled()
    transformers.utils.logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            transformers.utils.logging.enable_progress_bar()


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
