"""The ControlNet's own prediction of the clean picture: alone, in the pipeline, in training."""

from __future__ import annotations

from dataclasses import asdict, replace

import pytest
import torch
from accelerate.state import AcceleratorState
from training_help import CONFIGS, make_photos, weights

import xpsr
from train.__main__ import run
from train.config import read_config
from train.describe import describe
from train.pairing import PrepareConfig
from train.prepare import prepare
from xpsr.autoencoder import encode
from xpsr.errors import XPSRError
from xpsr.models import XPSRControlNetModel
from xpsr.models.degradation_free import DegradationFreePredictor
from xpsr.models.residual_block import ResidualBlock
from xpsr.pipeline import XPSRPipeline
from xpsr.sampling import Step
from xpsr.settings import Settings

PREDICTOR = "controlnet.degradation_free_predictor."


@pytest.fixture
def predictor() -> DegradationFreePredictor:
    torch.manual_seed(0)
    return DegradationFreePredictor((8, 12, 16), blocks=1).eval()


@pytest.mark.parametrize("size", [(16, 16), (32, 48), (8, 24), (17, 33), (1, 5)])
def test_every_size_comes_back_as_it_was(predictor, size):
    picture = torch.rand(2, 3, *size)
    with torch.no_grad():
        found = predictor(picture)
    assert found.shape == picture.shape
    assert 0 < (found - picture).abs().mean() < 0.1  # it starts near the picture itself


def test_padding_leaves_the_rest_of_the_picture_alone(predictor):
    picture = torch.rand(1, 3, 256, 64)
    with torch.no_grad():
        whole, part = predictor(picture), predictor(picture[..., :248, :])
    assert torch.allclose(whole[..., :64, :], part[..., :64, :], atol=1e-6)


def test_a_block_passes_on_nothing_beyond_its_limit():
    """What answers a rare pattern with a stronger one would end in a burst of colours."""
    torch.manual_seed(0)
    free, limited = ResidualBlock(16), ResidualBlock(16, limit=3.0)
    limited.load_state_dict(free.state_dict())
    x = torch.randn(1, 16, 12, 12)
    with torch.no_grad():
        assert torch.equal(limited(x), free(x))  # what is usual passes as it is
        long, short = free(100 * x), limited(100 * x)
    # The residual is as large as it was, and the block adds no more for it.
    assert torch.allclose(long - 100 * x, free(x).detach() - x, atol=1e-3)
    assert torch.allclose(short.square().mean(1).sqrt(), torch.tensor(3.0), atol=1e-3)
    assert torch.nn.functional.cosine_similarity(long, short).min() > 0.9999


def test_it_learns_to_undo_damage(predictor):
    torch.manual_seed(0)
    optimizer = torch.optim.AdamW(predictor.parameters(), 3e-3)
    errors = []
    for _ in range(100):
        clean = torch.rand(4, 3, 2, 2).repeat_interleave(16, 2).repeat_interleave(16, 3)
        damaged = 0.6 * clean + 0.1  # grey and dull
        optimizer.zero_grad()
        error = (predictor(damaged) - clean).square().mean()
        error.backward()
        optimizer.step()
        errors.append(error.item() / (damaged - clean).square().mean().item())
    assert sum(errors[-10:]) < 0.5 * sum(errors[:10])


def test_without_one_the_picture_stands_for_itself(tiny_pipeline):
    picture = torch.rand(1, 3, 16, 16)
    assert tiny_pipeline.controlnet.degradation_free(picture) is picture
    assert not any("degradation_free" in name for name in tiny_pipeline.controlnet.state_dict())


@pytest.fixture
def pipeline(tiny_pipeline) -> XPSRPipeline:
    """The tiny networks with a predictor, diffusing what it leaves out."""
    torch.manual_seed(0)
    old = tiny_pipeline.controlnet
    config = {k: v for k, v in old.config.items() if not k.startswith("_")}
    controlnet = XPSRControlNetModel(**{**config, "degradation_free_channels": [8, 16]})
    controlnet.load_state_dict(old.state_dict(), strict=False)
    parts = {**tiny_pipeline.components, "controlnet": controlnet.eval()}
    return XPSRPipeline(**parts, residual_latents=True)


QUICK = Settings(num_inference_steps=1, upscale=2, process_size=0, color_fix="none")


def test_the_pipeline_adds_to_its_prediction(pipeline, picture):
    preview = next(pipeline.stream(picture(24, 20), settings=QUICK)).preview
    with torch.no_grad():
        guess = pipeline.controlnet.degradation_free(preview.image)
        assert torch.equal(preview.base, encode(pipeline.vae, guess))
        assert not torch.allclose(preview.base, encode(pipeline.vae, preview.image), atol=1e-3)


def test_another_pipeline_of_its_parts(pipeline, picture, caplog):
    again = XPSRPipeline.from_pipe(pipeline)
    assert again.config.residual_latents is True
    before, after = (one(picture(16, 16), **asdict(QUICK)).recipe for one in (pipeline, again))
    assert before.output_sha256 == after.output_sha256
    assert "residual_latents" not in caplog.text
    XPSRPipeline(**pipeline.components)
    assert "XPSRPipeline.from_pipe keeps it" in caplog.text


def test_tiles_see_their_own_part(pipeline, picture):
    shown: list[tuple[int, ...]] = []
    module = pipeline.controlnet.degradation_free_predictor
    handle = module.register_forward_pre_hook(lambda _, args: shown.append(tuple(args[0].shape)))
    try:
        settings = replace(QUICK, tile_size=64, tile_overlap=16)
        items = pipeline.stream(picture(64, 40), settings=settings)
        first = next(one for one in items if isinstance(one, Step))
    finally:
        handle.remove()
    assert first.preview is not None and first.preview.base is not None
    assert len(shown) > 1 and all(max(shape[2:]) <= 64 + 16 for shape in shown)
    assert first.preview.base.shape == first.latents.shape


def test_a_saved_model_keeps_it(pipeline, tmp_path, picture):
    pipeline.save_pretrained(tmp_path)
    again = xpsr.load(tmp_path, device="cpu")
    image = torch.rand(1, 3, 24, 16)
    with torch.no_grad():
        assert torch.equal(
            again.controlnet.degradation_free(image), pipeline.controlnet.degradation_free(image)
        )


def test_it_learns_alone_and_then_stands_still(tmp_path):
    photos, pairs = make_photos(tmp_path / "photos"), tmp_path / "pairs"
    list(prepare(photos, pairs, PrepareConfig(size=128)))
    list(describe(pairs, "measured"))

    def trained(name, *overrides):
        always = ["steps=2", "batch_size=1", "trackers=[]"]
        always += ["timestep_power=1"]  # the predictor alone has no use for one
        options = [f"data={pairs}", f"out={tmp_path / name}", *always, *overrides]
        AcceleratorState._reset_state(reset_partial_state=True)
        run(read_config(CONFIGS / "smoke.yaml", options))
        return weights(tmp_path / name)

    own = ("model.controlnet.degradation_free_channels=[8, 8]", "steps=1")
    start = f"model.start={tmp_path / 'both'}"
    before = trained("both", *own)
    alone = trained("alone", start, "model.only=degradation_free", "loss.decoded_log_floor=1e-3")
    moved = {name for name in before if not torch.equal(before[name], alone[name])}
    assert moved and all(name.startswith(PREDICTOR) for name in moved)

    rest = trained("rest", start)
    moved = {name for name in before if not torch.equal(before[name], rest[name])}
    assert moved and not any(name.startswith(PREDICTOR) for name in moved)

    with pytest.raises(XPSRError, match="degradation_free_channels"):
        trained("none", "model.only=degradation_free")
    for other in ("trust_ratio", "loss.adversarial_weight"):
        with pytest.raises(XPSRError, match=other):
            trained("told", start, "model.only=degradation_free", f"{other}=0.1")
