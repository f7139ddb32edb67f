"""Options that would be passed over are refused in a sentence; the shipped ones fit together."""

import pytest
from training_help import CONFIGS

from train.compatibility import check_options
from train.config import read_config
from train.series import read_series
from xpsr.errors import XPSRError

DECODER = "model.only=decoder"


@pytest.mark.parametrize(
    ("name", "overrides", "says"),
    [
        ("smoke", ["mixed_precision=fp16"], "mixed_precision=fp16 is for GPUs"),
        ("smoke", ["model.train_decoder=true"], "needs an error of the decoded picture"),
        ("mini_clean", ["bare_ratio=0.1", "prompts=low"], "no use for prompts, bare_ratio"),
        ("mini_clean", ["timestep_power=2"], "no use for timestep_power"),
        ("mini_clean", ["loss.pixel_weight=0"], "no use for loss.pixel_weight"),
        ("mini_clean", ["loss.decoded_weight=1"], "no use for loss.decoded_weight"),
        ("mini_words", ["loss.latent_weight=0"], "no use for loss.latent_weight"),
        ("mini_words", ["loss.gradient_weight=1"], "no use for loss.gradient_weight"),
        ("mini_words", ["model.start=null"], "give model.start"),
        ("smoke", [DECODER], "give model.start"),
        (
            "smoke",
            [DECODER, "model.start=x", "timestep_power=1"],
            "needs an error of the decoded picture",
        ),
        ("mini_finish", ["model.train_decoder=true"], "no use for model.train_decoder"),
        ("mini_finish", ["loss.pixel_weight=0"], "no use for loss.pixel_weight"),
        ("mini_rest", ["claim_ratio=0.1"], "claim_ratio is for"),
        ("smoke", ["model.train_text_encoder=false"], "needs a start"),
        ("smoke", ["cache_latents=true"], "needs ready pairs"),
        (
            "smoke",
            ["validate_data=x", "validate_pictures=9"],
            "leave out validate_data, validate_p",
        ),
    ],
)
def test_what_would_be_passed_over_is_refused(name, overrides, says, tmp_path):
    options = [f"data={tmp_path}", "out=out"]
    with pytest.raises(XPSRError, match=says):
        check_options(read_config(CONFIGS / f"{name}.yaml", [*options, *overrides]), "cpu", False)


def test_pairs_that_are_ready_are_not_degraded(tmp_path):
    pairs, photos = (tmp_path / name for name in ("pairs", "photos"))
    pairs.mkdir()
    (pairs / "manifest.jsonl").touch()
    options = ["out=out", "degradation.recipe=heavy"]

    def check(*more: str) -> None:
        check_options(read_config(CONFIGS / "smoke.yaml", [*options, *more]), "cpu", False)

    check(f"data={photos}")
    check(f"data={pairs}", "validate_every=1", f"validate_data={photos}")
    with pytest.raises(XPSRError, match="the pairs of data are made already"):
        check(f"data={pairs}")


def test_what_is_given_as_it_is_by_default_asks_for_nothing(tmp_path):
    plain = ["data=data", "out=out", "prompts=both", "timestep_power=1", "loss.pixel_weight=0.05"]
    check_options(read_config(CONFIGS / "mini_clean.yaml", plain), "cpu", False)


def test_every_shipped_config_goes_together():
    names = [p for p in CONFIGS.glob("*.yaml") if not p.stem.startswith(("pairs", "accelerate"))]
    assert len(names) == 10
    for path in names:
        for config in read_series(path, ["data=x", "out=y"]):
            check_options(config, "cuda", False)
