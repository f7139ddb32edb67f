"""Options that do not go together, or would be passed over: said before anything is built."""

from operator import attrgetter
from pathlib import Path

from train import checkpoints
from train.config import OF_PICTURES, TrainConfig
from train.manifest import has_pairs
from xpsr.errors import XPSRError

DEFAULTS = TrainConfig(data="", out="-")
# What a run that trains only a part does not look at, or cannot learn by.
OF_DIFFUSION = ("loss.pixel_weight", "loss.latent_weight", "loss.log_floor")
OF_DECODED = (*(f"loss.{name}" for name in OF_PICTURES), "loss.adversarial_weight")
UNREAD = {
    "degradation_free": (
        *("prompts", "bare_ratio", "trust_ratio", "detail_ratio", "timestep_power"),
        *("model.train_text_encoder", "model.train_decoder", *OF_DIFFUSION, *OF_DECODED),
    ),
    "texts": (
        *("trust_ratio", "model.train_decoder", "loss.decoded_log_floor"),
        *(*OF_DIFFUSION, *OF_DECODED),
    ),
    "decoder": (
        *("timestep_power", "cache_latents", "model.train_text_encoder", "model.train_decoder"),
        *OF_DIFFUSION,
    ),
    "tagger": (
        *("prompts", "caption_source", "caption_dropout", "bare_ratio", "trust_ratio"),
        *("detail_ratio", "timestep_power", "cache_latents", "validate_every"),
        *("gradient_checkpointing", "model.train_text_encoder", "model.train_decoder"),
        *OF_DIFFUSION,
        *OF_DECODED,
    ),
}
# SeeSR has no heads that a clean picture could be asked of, and one text.
UNREAD_BY_SEESR = (
    *("loss.pixel_weight", "loss.latent_weight", "trust_ratio"),
    *("model.residual_latents", "export"),
)
# What shows a clean picture in more than one way.
VARIED = ("crop", "flips", "turns", "trust_ratio", "sharpen_targets", "detail_ratio")
OF_VALIDATION = ("validate_data", "validate_pictures", "validate_setting")


def check_options(config: TrainConfig, device: str, sharded: bool) -> None:
    """Refuse what the networks need not be known for.

    Args:
        device: kind of the device that is trained on: "cpu", "cuda", …
        sharded: whether weights are cut up, by FSDP or DeepSpeed.

    Raises:
        XPSRError: says what does not go together, and what to do.
    """
    every = _parts(config) + _needs(config, device)
    if config.cache_latents:
        every += _cached(config)
    if sharded:
        every += _sharded(config)
    for wrong, said in every:
        if wrong:
            raise XPSRError(said)


def check_seesr(config: TrainConfig) -> None:
    """Refuse what the training of a SeeSR does not look at.

    Raises:
        XPSRError: says what that is.
    """
    if passed_over := [name for name in UNREAD_BY_SEESR if _given(config, name)]:
        raise XPSRError(f"A SeeSR is trained without {', '.join(passed_over)}: leave that out.")
    reads = config.prompts in ("both", "high") and config.model.only is None
    photos = Path(config.data).is_dir() and not has_pairs(Path(config.data))
    if reads and photos:
        raise XPSRError(
            "A SeeSR learns from tags, and photos degraded as they are drawn get sentences."
            " Make pairs of them with train.prepare --describer tags:FOLDER, or give prompts=none."
        )


Rules = list[tuple[bool, str]]


def _parts(config: TrainConfig) -> Rules:
    """Of runs that train a part of the model."""
    model = config.model
    rules = [
        (
            model.only in ("texts", "decoder", "tagger") and model.start is None,
            f"model.only={model.only} needs networks that have learnt the rest: give model.start.",
        ),
        (
            config.claim_ratio > 0 and model.only != "texts",
            "claim_ratio is for model.only=texts, which teaches what texts claim.",
        ),
        (
            model.tagger is not None and model.start is None,
            "model.tagger makes a SeeSR of a Stable Diffusion: name that as model.start.",
        ),
    ]
    passed_over = [name for name in UNREAD.get(model.only or "", ()) if _given(config, name)]
    said = f"model.only={model.only} has no use for {', '.join(passed_over)}: leave that out."
    return [*rules, (bool(passed_over), said)]


def _needs(config: TrainConfig, device: str) -> Rules:
    """Of options that need others."""
    model = config.model
    unlooked = [
        name for name in OF_VALIDATION if _given(config, name) and not config.validate_every
    ]
    folders = (config.data, config.validate_data or config.data)
    knows_no_words = "train_text_encoder" in model.model_fields_set and not model.train_text_encoder
    return [
        (
            (model.train_decoder or model.only == "decoder") and not config.loss.looks_at_pictures,
            "A decoder needs an error of the decoded picture to learn by: give one of"
            f" {', '.join(OF_DECODED)}.",
        ),
        (
            knows_no_words and model.start is None,
            "model.train_text_encoder=false needs a start: a new one knows no words.",
        ),
        (
            config.mixed_precision == "fp16" and device == "cpu",
            "mixed_precision=fp16 is for GPUs; on this processor give no or bf16.",
        ),
        (
            checkpoints.newest_step(Path(config.out)) < config.steps <= config.lr_warmup_steps,
            f"lr_warmup_steps={config.lr_warmup_steps} is no less than steps={config.steps}: the"
            " learning rate would never be reached.",
        ),
        (
            bool(unlooked),
            f"Without validate_every nothing is validated: give it, or leave out"
            f" {', '.join(unlooked)}.",
        ),
        (
            _given(config, "degradation") and all(has_pairs(Path(folder)) for folder in folders),
            "degradation is for photos that are degraded as they are drawn, and the pairs of data"
            " are made already: leave it out, or give the photos themselves as data.",
        ),
    ]


def _cached(config: TrainConfig) -> Rules:
    return [
        (
            not has_pairs(Path(config.data)),
            "cache_latents needs ready pairs: make them with train.prepare.",
        ),
        *(
            (
                _given(config, name),
                f"cache_latents keeps whole pictures as they are; leave out {name}.",
            )
            for name in VARIED
        ),
    ]


def _sharded(config: TrainConfig) -> Rules:
    """What needs whole weights on one process."""
    small = {
        "loss.adversarial_weight": config.loss.adversarial_weight > 0,
        "model.only": config.model.only is not None,
    }
    return [
        (
            config.validate_every > 0,
            "validate_every needs the whole weights on one process; with FSDP or DeepSpeed set it"
            " to 0 and use python -m train.validate on the export.",
        ),
        *(
            (
                given,
                f"{name} is for small models, which fit on one device: train without FSDP and"
                " DeepSpeed.",
            )
            for name, given in small.items()
        ),
        (
            config.optimizer == "muon",
            "optimizer=muon looks at whole matrices, which FSDP and DeepSpeed cut up.",
        ),
        (
            config.ema_decay > 0,
            "ema_decay averages whole weights, which FSDP and DeepSpeed cut up: give ema_decay=0.",
        ),
    ]


def _given(config: TrainConfig, name: str) -> bool:
    """Whether an option is another than without being given."""
    value = attrgetter(name)
    return value(config) != value(DEFAULTS)
