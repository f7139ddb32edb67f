"""The judge of a small model's pictures: what it learns, what it teaches, and whom."""

from __future__ import annotations

import pytest
import torch
from accelerate.state import AcceleratorState
from torch.nn import functional as F
from training_help import CONFIGS, make_photos, weights

from train.__main__ import run
from train.config import DataConfig, read_config
from train.data import Pairs
from train.describe import describe
from train.discriminator import Discriminator, adversarial_errors, moved
from train.networks import clip_tokenizer, make_networks
from train.pairing import PrepareConfig
from train.photos import training_data
from train.prepare import prepare
from train.step import TrainingStep
from xpsr.errors import XPSRError


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    out = tmp_path_factory.mktemp("pairs")
    list(prepare(make_photos(tmp_path_factory.mktemp("photos")), out, PrepareConfig(size=128)))
    list(describe(out, "measured"))
    return out


def pictures(count=4, side=32):
    """Fine-grained pictures and the same without their grain, both in [-1, 1]."""
    sharp = torch.rand(count, 3, side, side) * 2 - 1
    return sharp, F.avg_pool2d(F.pad(sharp, (2, 2, 2, 2), mode="reflect"), 5, 1)


ALL = torch.ones(4, dtype=torch.bool)


def test_there_is_a_verdict_for_every_eight_pixels():
    judge = Discriminator((4, 6, 8))
    sharp, blurred = pictures(side=40)
    assert judge(sharp, blurred / 2 + 0.5).shape == (4, 1, 5, 5)
    torch.manual_seed(99)
    same, other = Discriminator((4, 6, 8)), Discriminator((4, 6, 8), seed=1)
    first = next(judge.parameters())
    assert torch.equal(next(same.parameters()), first)
    assert not torch.equal(next(other.parameters()), first)


def test_judge_and_judged_learn_apart():
    judge = Discriminator((4, 6, 8))
    sharp, blurred = pictures()
    decoded = blurred.clone().requires_grad_()
    fooled, caught = adversarial_errors(judge, decoded, sharp, blurred / 2 + 0.5, ALL)
    caught.backward(retain_graph=True)
    assert decoded.grad is None and all(p.grad is not None for p in judge.parameters())
    judge.zero_grad()
    fooled.backward()
    assert decoded.grad is not None and all(p.grad is None for p in judge.parameters())


def test_the_judge_learns_and_what_follows_it_gets_its_grain_back():
    torch.manual_seed(0)
    judge = Discriminator((8, 12, 16))
    optimizer = torch.optim.AdamW(judge.parameters(), 3e-3)
    first = last = None
    for _ in range(150):
        sharp, blurred = pictures()
        fooled, caught = adversarial_errors(judge, blurred, sharp, blurred / 2 + 0.5, ALL)
        optimizer.zero_grad()
        caught.backward()
        optimizer.step()
        first, last = first or (fooled.item(), caught.item()), (fooled.item(), caught.item())
    assert first[0] < 0.1  # a judge that knows nothing yet has nothing to say
    assert last[1] < 0.3 * first[1]
    sharp, blurred = pictures()
    decoded = blurred.clone().requires_grad_()
    adversarial_errors(judge, decoded, sharp, blurred / 2 + 0.5, ALL)[0].backward()
    # Downhill leads away from the blur: along the grain that was taken away, or at least its kind.
    followed = blurred - 0.3 * decoded.grad / decoded.grad.abs().max()
    verdicts = [judge(picture, blurred / 2 + 0.5).mean() for picture in (followed, blurred)]
    assert verdicts[0] > verdicts[1]
    assert followed.diff(dim=-1).square().mean() > blurred.diff(dim=-1).square().mean()


def test_pictures_that_are_not_asked_do_not_count():
    judge = Discriminator((4, 6, 8)).eval()
    sharp, blurred = pictures()
    low = blurred / 2 + 0.5
    some = torch.tensor([True, False, True, False])
    decoded = blurred.clone().requires_grad_()
    found = adversarial_errors(judge, decoded, sharp, low, some)
    wanted = adversarial_errors(judge, blurred[::2], sharp[::2], low[::2], ALL[::2])
    assert torch.allclose(torch.stack(found), torch.stack(wanted), atol=1e-6)
    found[0].backward()
    assert decoded.grad[1::2].abs().max() == 0
    assert adversarial_errors(judge, decoded, sharp, low, ~ALL) == (0, 0)


def test_the_judge_is_not_in_step_with_the_decoder():
    """What it asks for is spread over all places of a patch, wherever it looks the hardest."""
    judge = Discriminator((4, 6, 8))
    sharp, blurred = pictures(2, side=64)
    windows = set()
    strengths = []
    for seed in range(60):
        decoded = blurred.clone().requires_grad_()
        draw = torch.Generator().manual_seed(seed)
        seen = moved([decoded, sharp, blurred / 2 + 0.5], draw)
        assert all(picture.shape[2:] == (56, 56) for picture in seen)
        assert torch.equal(seen[2], seen[0] / 2 + 0.5)
        judge(seen[0], seen[2]).sum().backward()
        windows.add(decoded.grad.nonzero()[:, 2:].amin(dim=0).numpy().tobytes())
        strengths.append(
            F.pixel_unshuffle(decoded.grad[..., 16:48, 16:48].abs(), 8).mean((0, 2, 3))
        )
    assert len(windows) > 30
    once, often = strengths[0], torch.stack(strengths).mean(dim=0)
    assert often.std() / often.mean() < 0.5 * once.std() / once.mean()


def test_the_judge_sees_pictures_from_every_side():
    """And all three from the same: which corner is the brightest, and which the next, in turn."""
    ramp = torch.arange(24.0)[:, None] + 0.3 * torch.arange(24.0)
    pictures = [ramp.expand(1, 3, 24, 24) * scale for scale in (1, 2, 3)]
    sides = set()
    for seed in range(60):
        seen = moved(pictures, torch.Generator().manual_seed(seed))
        assert torch.equal(seen[1], 2 * seen[0]) and torch.equal(seen[2], 3 * seen[0])
        corners = seen[0][0, 0, :: seen[0].shape[2] - 1, :: seen[0].shape[3] - 1]
        sides.add(tuple(corners.flatten().argsort().tolist()))
    assert len(sides) == 8


def test_what_is_not_to_look_like_a_photo_is_not_judged(pairs):
    tokenizer = clip_tokenizer()

    def vivid(**options):
        return Pairs(pairs, tokenizer, DataConfig(**options)).batch(range(4)).vivid

    assert all(vivid()) and not any(vivid(bare_ratio=1)) and not any(vivid(trust_ratio=1))
    assert all(vivid(caption_dropout=1)) and not any(vivid(caption_dropout=1, detail_ratio=1))
    samples = Pairs(pairs, tokenizer, DataConfig(detail_ratio=1))
    plain = Pairs(pairs, tokenizer, DataConfig())
    found = [(samples[n], plain[n]) for n in range(40)]
    energies = [[s.clean.astype(float).std() for s in both] for both in found]
    softer = [a < b for a, b in energies]
    assert 0 < sum(softer) < 40 and softer == [not sample.vivid for sample, _ in found]


def trained(pairs, out, *overrides):
    always = ["batch_size=2", "trackers=[]"]
    options = [f"data={pairs}", f"out={out}", "model.train_decoder=true", *always, *overrides]
    AcceleratorState._reset_state(reset_partial_state=True)
    run(read_config(CONFIGS / "smoke.yaml", options))
    return weights(out)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_run_with_a_judge_goes_on_where_it_was(optimizer, pairs, tmp_path, capfd):
    by, judged = f"optimizer={optimizer}", "loss.adversarial_weight=0.5"
    plain = trained(pairs, tmp_path / "plain", "steps=3", by, "loss.decoded_weight=1e-9")
    assert "  judge " not in capfd.readouterr().err
    whole = trained(pairs, tmp_path / "whole", "steps=3", by, judged)
    assert "  judge 0." in capfd.readouterr().err
    trained(pairs, tmp_path / "parts", "steps=1", by, judged)
    parts = trained(pairs, tmp_path / "parts", "steps=3", by, judged)
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    assert any(not torch.equal(whole[name], plain[name]) for name in whole)
    assert set(whole) == set(plain)  # the judge stays behind


def test_a_model_that_predicts_noise_has_no_picture_to_judge(pairs, tmp_path):
    options = [f"data={pairs}", f"out={tmp_path}", "loss.adversarial_weight=1"]
    config = read_config(
        CONFIGS / "smoke.yaml", [*options, "model.scheduler.prediction_type=epsilon"]
    )
    networks = make_networks(config.model, lambda t: training_data(config, t), config.seed)
    with pytest.raises(XPSRError, match="adversarial_weight"):
        TrainingStep(networks, config)
