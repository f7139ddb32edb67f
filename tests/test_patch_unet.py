"""The small U-Net over pictures, and the decoder's finish that is made of it."""

import pytest
import torch

from xpsr.models import PatchAutoencoder
from xpsr.models.bands import in_bands
from xpsr.models.patch_unet import PatchUNet


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.mark.parametrize(("widths", "patch", "blocks"), [((8, 12), 2, 2), ((6, 8, 10), 4, 1)])
@torch.no_grad()
def test_bands_are_as_the_whole(widths, patch, blocks):
    """As far as a pixel is heard, and not much further, each band sees beyond itself."""
    net = PatchUNet(widths, patch, blocks)
    net.conv_out.weight.mul_(10)
    picture = torch.rand(2, 3, 603, 37)
    whole = net(picture)
    assert (whole - picture).abs().max() > 0.5
    banded = in_bands(net, picture, 37 * 100, net.multiple, net.reach)
    assert torch.allclose(banded, whole, atol=1e-5)
    changed = picture.clone()
    changed[..., 300, :] += 1
    heard = (net(changed) - whole).abs().amax((0, 1, 3)).nonzero()
    furthest = max(300 - heard.min().item(), heard.max().item() - 300)
    assert net.reach / 2 < furthest <= net.reach


@pytest.mark.parametrize("finish", [(), (4, 6)])
@torch.no_grad()
def test_large_pictures_are_decoded_in_bands_as_small_ones_at_once(finish, monkeypatch):
    vae = PatchAutoencoder(8, decoder_width=8, finish_channels=finish, chroma_sigma=1.5)
    if finish:
        torch.nn.init.normal_(vae.finish.conv_out.weight, std=0.1)
    latent = torch.randn(2, 8, 40, 5)
    whole = vae.decode(latent).sample
    monkeypatch.setattr("xpsr.models.patch_autoencoder.AT_ONCE", 40 * 70)
    assert torch.allclose(vae.decode(latent).sample, whole, atol=1e-5)


@torch.no_grad()
def test_a_fresh_finish_leaves_what_the_decoder_draws():
    plain = PatchAutoencoder(8, decoder_width=8)
    finished = PatchAutoencoder(8, decoder_width=8, finish_channels=(4, 6))
    missing, unexpected = finished.load_state_dict(plain.state_dict(), strict=False)
    assert not unexpected and all(name.startswith("finish.") for name in missing)
    latent = torch.randn(1, 8, 5, 7)
    drawn = plain.decode(latent).sample
    assert torch.equal(finished.decode(latent).sample, drawn)
    torch.nn.init.normal_(finished.finish.conv_out.weight, std=0.1)
    assert not torch.allclose(finished.decode(latent).sample, drawn, atol=0.01)
