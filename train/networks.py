"""What a run trains and what it holds still: loaded, from Stable Diffusion, or built small."""

import gzip
import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

import xpsr
from train.autoencoder import set_scaling, start_from_components
from train.config import ModelConfig
from train.data import Samples
from train.loss import PREDICTION_TYPES
from train.tagging import add_lora, read_tagger
from xpsr.errors import XPSRError
from xpsr.finding import find_model
from xpsr.models import (
    DAPEModel,
    PatchAutoencoder,
    SeeSRControlNetModel,
    SeeSRUNet2DConditionModel,
    XPSRControlNetModel,
    XPSRUNet2DConditionModel,
)
from xpsr.models.attention import fusion_units
from xpsr.models.family import SEESR, XPSR, Family, family_of
from xpsr.models.official import read_config
from xpsr.models.own_layers import has_own_layers
from xpsr.parts import COMPONENTS, parts_of, read_index, read_part

# The parts of a Stable Diffusion that are read, whatever else it names in their place.
STABLE_DIFFUSION = {
    "unet": UNet2DConditionModel,
    "vae": AutoencoderKL,
    "text_encoder": CLIPTextModel,
    "tokenizer": CLIPTokenizer,
    "scheduler": DDPMScheduler,
}
# What is said where a part that is to learn is not there.
ABSENT = {
    "degradation_free": "model.only=degradation_free trains a predictor that this ControlNet does"
    " not have; give model.controlnet.degradation_free_channels.",
    "texts": "model.only=texts trains a reader that this ControlNet does not have; give"
    " model.controlnet.degradation_free_reads_texts=true.",
    "decoder": "model.train_decoder and model.only=decoder are for small models, whose decoder is"
    " our own.",
    "tagger": "model.only=tagger trains the tagger of a SeeSR, which this model does not have; give"
    " model.tagger.",
}
# The tables of `model` that build nothing where a start is given.
FIXED_BY_START = ("text_encoder", "autoencoder", "scheduler")


@dataclass
class Networks:
    """The parts of a pipeline; `whole_unet`: a small model's, all of which learns; `tagger`: a
    SeeSR's."""

    vae: nn.Module
    text_encoder: nn.Module
    tokenizer: Any
    unet: XPSRUNet2DConditionModel | SeeSRUNet2DConditionModel
    controlnet: XPSRControlNetModel | SeeSRControlNetModel
    scheduler: DDPMScheduler
    residual_latents: bool = False
    whole_unet: bool = False
    tagger: DAPEModel | None = None

    @property
    def family(self) -> Family:
        """Of what kind the model is."""
        return XPSR if self.tagger is None else SEESR

    def choose_trained(self, config: ModelConfig) -> None:
        """Freeze everything but what its authors train: the ControlNet and the UNet's own layers;
        or but the part that is to learn alone. The ControlNet's predictor of the clean picture
        learns alone or not at all."""
        if self.tagger is not None:
            self.tagger.requires_grad_(False)
        if config.only is not None:
            for network in (self.vae, self.text_encoder, self.unet, self.controlnet):
                network.requires_grad_(False)
            for module in self._part(config.only):
                module.requires_grad_(True)
            return
        self.vae.requires_grad_(False)
        if config.train_decoder:
            for module in self._part("decoder"):
                module.requires_grad_(True)
        # A new one knows no words yet.
        self.text_encoder.requires_grad_(config.train_text_encoder or config.start is None)
        self.controlnet.requires_grad_(True)
        own_layers = self.family.networks["unet"].mark
        for name, parameter in self.unet.named_parameters():
            parameter.requires_grad_(self.whole_unet or own_layers in name)
        if (predictor := self._predictor) is not None:
            predictor.requires_grad_(False)

    @property
    def _predictor(self) -> nn.Module | None:
        return getattr(self.controlnet, "degradation_free_predictor", None)

    def _part(self, name: str) -> list[nn.Module]:
        """What learns alone by this name; XPSRError where these networks do not have it."""
        predictor, reader = self._predictor, getattr(self.controlnet, "reader", None)
        if name == "tagger" and self.tagger is not None:
            return add_lora(self.tagger)
        if name == "decoder" and isinstance(self.vae, PatchAutoencoder):
            return [part for part in (self.vae.correction, self.vae.finish) if part is not None]
        if name == "texts" and reader is not None:
            return [self.text_encoder, reader, *fusion_units(self.controlnet)]
        if name == "degradation_free" and predictor is not None:
            return [part for part in predictor.children() if part is not reader]
        raise XPSRError(ABSENT[name])


def make_networks(
    config: ModelConfig, samples: Callable[[CLIPTokenizer], Samples], seed: int
) -> Networks:
    """By the configuration: an XPSR pipeline to go on with, an SD folder, or a small model.

    Args:
        samples: gives the training data; only a small model looks at it, to fit its autoencoder.
        seed: of every weight that starts at random.

    Raises:
        XPSRError: `start` is nothing that can be loaded, or a table holds what no network knows.
    """
    torch.manual_seed(seed)
    if config.start is None:
        networks = build_small(config, samples, seed)
    else:
        folder = find_model(config.start, parts_of({}))
        whole = read_index(folder).get("_class_name") in COMPONENTS
        from_folder = _from_pipeline if whole else _from_stable_diffusion
        networks = from_folder(config, folder)
    if networks.scheduler.config.prediction_type not in PREDICTION_TYPES:
        raise XPSRError(
            f"model.scheduler.prediction_type cannot be"
            f" {networks.scheduler.config.prediction_type!r}: {', '.join(PREDICTION_TYPES)}."
        )
    networks.choose_trained(config)
    return networks


def weights_hash(weights: Iterable[Tensor]) -> str:
    """What tells weights from others; a gigabyte takes about a second."""
    found = hashlib.sha256()
    for weight in weights:
        found.update(weight.detach().cpu().contiguous().view(torch.uint8).numpy())
    return found.hexdigest()


@contextmanager
def _by_tables() -> Iterator[None]:
    """Around what is built by the tables of `model`, and nothing else."""
    try:
        yield
    except Exception as error:  # each library has kinds of its own for what does not fit
        reason = " ".join(str(error).split())[:300]
        raise XPSRError(f"No network can be built from the tables of model: {reason}") from error


def _from_pipeline(config: ModelConfig, folder: Path) -> Networks:
    pipe = xpsr.load(folder, device="cpu", dtype=torch.float32)
    tagger = pipe.components.get("tagger")
    if config.tagger is not None:
        if tagger is None:
            raise XPSRError(
                f"model.start={config.start} is an XPSR, which has no use for model.tagger: name a"
                " Stable Diffusion or a SeeSR."
            )
        tagger = read_tagger(config)
    if config.controlnet.get("degradation_free_reads_texts") and tagger is None:
        pipe.controlnet.learn_to_read()
    networks = Networks(
        pipe.vae,
        pipe.text_encoder,
        pipe.tokenizer,
        pipe.unet,
        pipe.controlnet,
        DDPMScheduler.from_config(pipe.scheduler.config),
        residual_latents=pipe.config.residual_latents,
        # A small model was trained whole and goes on so.
        whole_unet=isinstance(pipe.vae, PatchAutoencoder),
        tagger=tagger,
    )
    _refuse_changes(config, networks, ("unet", "controlnet", *FIXED_BY_START))
    return networks


def _from_stable_diffusion(config: ModelConfig, folder: Path) -> Networks:
    index = read_index(folder)
    official = (folder / "controlnet").is_dir() and not index
    if official and family_of(read_config(folder / "unet")) is SEESR:
        raise XPSRError(
            f"model.start={config.start} holds the networks of a SeeSR alone: python -m xpsr"
            " convert makes a whole one of them."
        )
    if official or has_own_layers(folder / "unet"):
        raise XPSRError(
            f"model.start={config.start} holds only a part of a model, as a run with export=own or"
            " an official checkpoint does: give a whole one (export=full; python -m xpsr convert),"
            " or a Stable Diffusion."
        )
    if config.train_text_encoder:
        raise XPSRError(
            "model.train_text_encoder is for small models: on Stable Diffusion only XPSR's own"
            " layers learn."
        )
    plain, vae, text_encoder, tokenizer, scheduler = (
        read_part(folder / name, kind, torch.float32) for name, kind in STABLE_DIFFUSION.items()
    )
    _refuse_base(config, plain, vae, text_encoder)
    tagger = None if config.tagger is None else read_tagger(config)
    with _by_tables():
        if tagger is None:
            unet = XPSRUNet2DConditionModel.from_unet(plain, **config.unet)
            controlnet = XPSRControlNetModel.from_unet(unet, **config.controlnet)
        else:
            width = tagger.config.token_width
            unet = SeeSRUNet2DConditionModel.from_unet(
                plain, image_attention_dim=width, **config.unet
            )
            controlnet = SeeSRControlNetModel.from_unet(unet, **config.controlnet)
    networks = Networks(vae, text_encoder, tokenizer, unet, controlnet, scheduler, tagger=tagger)
    _refuse_changes(config, networks, FIXED_BY_START)
    return networks


def _refuse_base(config: ModelConfig, unet: Any, vae: Any, text_encoder: Any) -> None:
    """Kin of Stable Diffusion that lie in folders like its own, and ask for more than it."""
    needed = {
        "in_channels": vae.config.latent_channels,  # more of them: for inpainting, for upscaling
        "cross_attention_dim": text_encoder.config.hidden_size,  # another one: XL
        "addition_embed_type": None,
        "class_embed_type": None,
    }
    for name, value in needed.items():
        if (found := unet.config.get(name)) != value:
            raise XPSRError(
                f"model.start={config.start} is no base for XPSR: its unet has {name} {found!r}"
                f" where a Stable Diffusion 1 or 2 has {value!r}."
            )


def _refuse_changes(config: ModelConfig, networks: Networks, parts: tuple[str, ...]) -> None:
    """What is loaded is what it is: an option that says otherwise must not pass for done."""
    wanted = {f"{part}.{key}": value for part in parts for key, value in _table(config, part)}
    there = {
        f"{part}.{key}": value
        for part, network in (*vars(networks).items(), ("autoencoder", networks.vae))
        if part in parts
        for key, value in _plain(network.config).items()
    }
    if config.residual_latents:
        wanted["residual_latents"], there["residual_latents"] = True, networks.residual_latents
    for name, value in wanted.items():
        found = there.get(name)
        if (list(found) if isinstance(found, tuple) else found) != value:
            raise XPSRError(
                f"model.{name} cannot be {value!r} with model.start={config.start}: what is loaded"
                f" from there has {found!r}. Leave the option out, or build new networks without"
                " model.start."
            )


def _table(config: ModelConfig, part: str) -> list[tuple[str, Any]]:
    """What the configuration asks of a part, by the names in the part's own configuration."""
    table = dict(getattr(config, part))
    if part == "scheduler" and config.alpha_bar_range is not None:
        table["trained_betas"] = small_scheduler(config).config["trained_betas"]
    return [*table.items()]


def _plain(config: Any) -> dict[str, Any]:
    """diffusers keeps a dictionary, transformers an object."""
    return config.to_dict() if hasattr(config, "to_dict") else dict(config)


def build_small(
    config: ModelConfig, samples: Callable[[CLIPTokenizer], Samples], seed: int
) -> Networks:
    """A whole small XPSR, trained from nothing: own autoencoder, own text encoder, CLIP's words."""
    for name in ("unet", "autoencoder", "text_encoder"):
        if not getattr(config, name):
            raise XPSRError(
                f"Without model.start the networks are built by the tables of model, and"
                f" model.{name} is missing: train/configs/smoke.yaml is an example."
            )
    if unknown := sorted(config.text_encoder.keys() - CLIPTextConfig().to_dict().keys()):
        raise XPSRError(f"model.text_encoder has no option {unknown[0]!r}.")
    tokenizer = clip_tokenizer()
    pairs = samples(tokenizer)
    with _by_tables():
        vae = PatchAutoencoder(**config.autoencoder)
    start_from_components(vae, pairs, seed)
    set_scaling(vae, pairs, config.residual_latents, seed)
    with _by_tables():
        text_config = CLIPTextConfig(vocab_size=len(tokenizer), **config.text_encoder)
        text_config.bos_token_id, text_config.eos_token_id = (
            tokenizer.bos_token_id,
            tokenizer.eos_token_id,
        )
        width, channels = text_config.hidden_size, vae.config.latent_channels
        shared = {"cross_attention_dim": width, "in_channels": channels}
        unet = XPSRUNet2DConditionModel(**shared, out_channels=channels, **config.unet)
        controlnet = XPSRControlNetModel.from_unet(unet, **config.controlnet)
        start_awake(controlnet)
        start_quiet(unet, controlnet)
        text_encoder = CLIPTextModel(text_config)
    return Networks(
        vae,
        text_encoder,
        tokenizer,
        unet,
        controlnet,
        small_scheduler(config),
        residual_latents=config.residual_latents,
        whole_unet=True,
    )


def small_scheduler(config: ModelConfig) -> DDPMScheduler:
    """The noise schedule of a small model, cut short by `alpha_bar_range` if that is given."""
    with _by_tables():
        if config.alpha_bar_range is None:
            scheduler = DDPMScheduler(**config.scheduler)
            share = scheduler.alphas_cumprod
            if not len(share) or share.min() < 0 or share.max() > 1:
                raise ValueError("scheduler needs a timestep and betas between 0 and 1")
            return scheduler
        count = config.scheduler.get("num_train_timesteps", 1000)
        first, last = config.alpha_bar_range
        betas = [1 - first] + [1 - (last / first) ** (1 / (count - 1))] * (count - 1)
        return DDPMScheduler(trained_betas=betas, **config.scheduler)


def start_awake(controlnet: XPSRControlNetModel) -> None:
    """Give the zero layers ordinary starting weights.

    Zeros protect a pretrained UNet from a fresh ControlNet. Where both are fresh there is nothing
    to protect, and the picture would be invisible to the UNet until the zeros have grown.
    """
    zero = (*controlnet.controlnet_down_blocks, controlnet.controlnet_mid_block)
    for layer in (*zero, controlnet.controlnet_cond_embedding.conv_out):
        layer.reset_parameters()


@torch.no_grad()
def start_quiet(*networks: nn.Module) -> None:
    """Turn the noisy latent's entry down.

    Where nearly all of a latent is noise, a fresh network first has to learn not to listen to it:
    measured at 2,250 steps of mini, 0.15 times the usual weights gained 0.2 dB at once.
    """
    for network in networks:
        network.conv_in.weight.mul_(0.15)


@cache
def clip_tokenizer() -> CLIPTokenizer:
    """CLIP's own byte-pair vocabulary (MIT), from the openai-clip package that pyiqa brings.

    The same object for all who ask, for it takes a while to make.
    """
    package = find_spec("clip")
    if package is None or package.origin is None:
        raise XPSRError("CLIP's vocabulary is missing: pip install openai-clip.")
    path = Path(package.origin).parent / "bpe_simple_vocab_16e6.txt.gz"
    with gzip.open(path, "rt", encoding="utf-8") as file:
        lines = file.read().split("\n")
    merges = [tuple(line.split()) for line in lines[1 : 49152 - 256 - 2 + 1]]
    letters = _byte_letters()
    words = [*letters, *(letter + "</w>" for letter in letters), *("".join(m) for m in merges)]
    words += ["<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(
        vocab={word: i for i, word in enumerate(words)}, merges=merges, model_max_length=77
    )


def _byte_letters() -> list[str]:
    """One printable letter for each byte, in CLIP's order: printable bytes first, then the rest."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = [byte for byte in range(256) if byte not in printable]
    return [chr(b) for b in printable] + [chr(256 + i) for i in range(len(rest))]
