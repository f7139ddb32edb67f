"""Degradations: drawn from seeds, in their order of strength, and the sharpening before them."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from train.degrade import PAPER, RECIPES, _noise, degrade, sharpen
from train.pairing import pair_seed


def test_seeds_depend_on_the_pair_alone():
    assert pair_seed("a.png", 0, 0) == pair_seed("a.png", 0, 0)
    seeds = {pair_seed(n, v, s) for n in ("a.png", "b.png") for v in (0, 1) for s in (0, 1)}
    assert len(seeds) == 8


@pytest.mark.parametrize("name", RECIPES)
def test_degradations_stay_pictures_and_can_be_repeated(name):
    photo = torch.rand(3, 96, 128, generator=torch.Generator().manual_seed(0)) * 0.2 + 0.4
    for seed in range(12):
        low, drawn = degrade(photo, RECIPES[name], np.random.default_rng(seed))
        assert low.shape == (3, 24, 32) and low.min() >= 0 and low.max() <= 1
        assert {"resize1", "noise1", "jpeg1", "resize2", "noise2", "jpeg2"} <= drawn.keys()
        again, _ = degrade(photo, RECIPES[name], np.random.default_rng(seed))
        assert torch.equal(low, again)


def test_mild_paper_and_heavy_are_in_that_order():
    y, x = torch.meshgrid(torch.arange(128) / 9, torch.arange(128) / 7, indexing="ij")
    photo = torch.stack([torch.sin(x), torch.cos(y), torch.sin(x + y)]) * 0.4 + 0.5
    small = torch.nn.functional.interpolate(photo[None], scale_factor=0.25, mode="area")[0]
    errors = {
        name: np.mean(
            [
                (degrade(photo, recipe, np.random.default_rng(s))[0] - small).square().mean()
                for s in range(30)
            ]
        )
        for name, recipe in RECIPES.items()
    }
    assert errors["mild"] < errors["paper"] < errors["heavy"]


def test_pairs_of_a_batch_can_share_the_authors_decisions():
    photo = torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(0))
    drawn = [
        degrade(photo, PAPER, np.random.default_rng(seed), 4, np.random.default_rng(9))[1]
        for seed in range(6)
    ]
    for key in ("resize1", "resize2", "jpeg_last", "final_resize"):
        assert all(one[key] == drawn[0][key] for one in drawn)
    assert len({one["noise1"]["kind"] for one in drawn}) == 1
    assert len({one["jpeg1"] for one in drawn}) > 1


def test_draws_are_those_of_real_esrgan():
    photo = torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(0))
    drawn = [degrade(photo, PAPER, np.random.default_rng(seed))[1] for seed in range(400)]
    blurs = [one[name] for one in drawn for name in ("blur1", "blur2") if name in one]
    beta = {
        kind: np.array([blur["beta"] for blur in blurs if blur["kind"].startswith(kind)])
        for kind in ("generalized", "plateau")
    }
    assert abs(np.mean(beta["generalized"] < 1) - 0.5) < 0.15
    assert beta["generalized"].min() >= 0.5 and 3 < beta["generalized"].max() <= 4
    assert abs(np.mean(beta["plateau"] == 1) - 0.5) < 0.15 and 1.5 < beta["plateau"].max() <= 2
    last = [one["final_sinc"] for one in drawn if "final_sinc" in one]
    assert abs(len(last) / len(drawn) - 0.8) < 0.1
    assert {one["size"] for one in last} == {*range(7, 22, 2)}


def test_grey_poisson_noise_goes_by_the_luma():
    stage = replace(PAPER.first, gaussian_probability=0, gray_probability=1, poisson=(0.1, 0.1))
    variances = []
    for channel in range(3):
        photo = torch.zeros(1, 3, 64, 64)
        photo[:, channel] = 0.5
        random = np.random.default_rng(0)
        noisy = _noise(photo, stage, random, random, {}, "noise")
        variances.append(float((noisy - photo)[:, channel].var()))
    weights = np.array([0.299, 0.587, 0.114])
    assert np.allclose(variances / np.sum(variances), weights, atol=0.02)


def test_sharpening_steepens_edges_and_leaves_faint_texture_alone():
    edge = torch.full((3, 64, 64), 0.3)
    edge[:, :, 32:] = 0.7
    sharp = sharpen(edge)
    assert sharp[0, 32, 32] > 0.75 and sharp[0, 32, 31] < 0.25
    faint = 0.5 + 0.01 * torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(sharpen(faint), faint, atol=1e-6)
