"""Colour correction, against numbers of the authors' code."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from scipy.ndimage import gaussian_filter
from torch import Tensor

from xpsr import color
from xpsr.color import adain, large_scale, match, wavelet
from xpsr.models.chroma import LUMA, smooth_chroma


@pytest.fixture(scope="module")
def numbers(golden: Path) -> dict[str, Tensor]:
    return load_file(golden / "colorfix_72x104.safetensors")


def floats(picture: Tensor) -> Tensor:
    return picture.permute(2, 0, 1)[None].float() / 255


@pytest.mark.parametrize("kind", ["adain", "wavelet"])
def test_golden(numbers: dict[str, Tensor], kind: str) -> None:
    target, reference = floats(numbers["in.target_u8"]), floats(numbers["in.reference_u8"])
    result = match(target, reference, kind)  # type: ignore[arg-type]
    assert (result - numbers[f"{kind}.float"]).abs().max() < 1e-5
    # Theirs cuts off the decimals.
    whole = (result.clamp(0, 1) * 255).to(torch.uint8)[0].permute(1, 2, 0)
    assert (whole.int() - numbers[f"{kind}.u8"].int()).abs().max() <= 1


def test_golden_split(numbers: dict[str, Tensor]) -> None:
    target = floats(numbers["in.target_u8"])
    low = large_scale(target)
    assert (target - low - numbers["wavelet.target_high"]).abs().max() < 1e-5
    assert (low - numbers["wavelet.target_low"]).abs().max() < 1e-5


def test_adain_takes_mean_and_spread_per_channel() -> None:
    generator = torch.Generator().manual_seed(0)
    target = torch.rand(2, 3, 40, 30, generator=generator)
    reference = (
        torch.rand(2, 3, 17, 23, generator=generator)
        * torch.tensor([0.2, 0.5, 0.9])[None, :, None, None]
    )
    result = adain(target, reference)
    assert torch.allclose(result.mean((2, 3)), reference.mean((2, 3)), atol=1e-5)
    assert torch.allclose(result.std((2, 3)), reference.std((2, 3)), rtol=1e-2)


def test_flat_pictures_stay_finite() -> None:
    flat = torch.full((1, 3, 20, 20), 0.4)
    assert torch.allclose(adain(flat, flat + 0.2), flat + 0.2, atol=1e-5)
    assert torch.allclose(wavelet(flat, flat + 0.2), flat + 0.2, atol=1e-5)


def test_wavelet_keeps_detail_and_takes_the_tint() -> None:
    rows = torch.arange(64).float()
    stripes = (0.5 + 0.2 * (rows % 2 * 2 - 1)).reshape(1, 1, 64, 1).expand(1, 3, 64, 64)
    tint = torch.tensor([0.7, 0.5, 0.3]).reshape(1, 3, 1, 1).expand(1, 3, 64, 64)
    result = wavelet(stripes, tint)
    assert torch.allclose(result.mean((2, 3)), tint.mean((2, 3)), atol=0.02)
    inner = result[:, :, 8:-8]
    assert torch.allclose(inner.diff(dim=2).abs(), torch.full((), 0.4), atol=0.01)


def test_wavelet_in_strips_is_wavelet_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    target, reference = torch.rand(2, 1, 3, 150, 70, generator=generator)
    at_once = target + large_scale(reference - target)
    for pixels in (1, 70 * 16, 70 * 40, 70 * 149, 2**20):
        monkeypatch.setattr(color, "_STRIP_PIXELS", pixels)
        assert torch.equal(wavelet(target, reference), at_once)


def test_none_and_bad_arguments() -> None:
    picture = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    assert match(picture, torch.zeros(1, 3, 4, 4), "none") is picture
    with pytest.raises(ValueError, match="adain"):
        match(picture, picture, "sepia")
    with pytest.raises(ValueError, match="sizes differ"):
        wavelet(picture, picture[..., :4])


@pytest.mark.parametrize("sigma", [0.4, 1.5])
def test_colours_are_smoothed_and_the_luma_stays(sigma: float) -> None:
    picture = torch.rand(2, 3, 24, 40, generator=torch.Generator().manual_seed(0))

    def luma(image: Tensor) -> Tensor:
        return torch.einsum("bchw,c->bhw", image, torch.tensor(LUMA))

    smooth = smooth_chroma(picture, sigma)
    assert torch.allclose(luma(smooth), luma(picture), atol=1e-6)
    before, after = (image - luma(image)[:, None] for image in (picture, smooth))
    wide = {"sigma": sigma, "mode": "nearest", "radius": math.ceil(3 * sigma)}
    for given, found in zip(before.flatten(0, 1), after.flatten(0, 1), strict=True):
        assert np.abs(gaussian_filter(given.numpy(), **wide) - found.numpy()).max() < 1e-5
