"""What a restored picture becomes when a text says something else about it."""

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms.functional import gaussian_blur

WIDTHS = (0.0, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0, 5.6, 8.0)  # of blurs that are tried, in pixels
MARGIN = 16  # pixels around a picture that its far side must not blur into
FINE = 1.5  # pixels; what is finer counts as detail


def as_told(picture: Tensor, shown: Tensor, noise: Tensor, blur: Tensor, detail: Tensor) -> Tensor:
    """The picture with as much noise, blur and detail as the texts say.

    shown = blurred(picture) + noise, by the Gaussian blur that fits best. So a share of either can
    be left in. Both wholly left in is what was shown.

    Args:
        picture, shown: (B, 3, H, W) in [-1, 1]: restored, and the enlarged low-resolution one.
        noise, blur: (B,) as in `Claim`.
        detail: (B,) strength of an unsharp mask; below 0 it softens, -1 at most.
    """
    blurred = _blurred_like(picture, shown)
    noise, blur, detail = (x.to(picture)[:, None, None, None] for x in (noise, blur, detail))
    fine = picture - gaussian_blur(picture, [9, 9], [FINE, FINE])
    sharper = (blur.clamp(min=0) + detail).clamp(-1, 3) * fine
    told = picture + (-blur).clamp(min=0) * (blurred - picture) + sharper
    told = told + noise.clamp(min=0) * (_smoothed(picture) - picture)
    return told + (-noise).clamp(min=0) * (shown - blurred)


def _blurred_like(picture: Tensor, shown: Tensor) -> Tensor:
    """(B, 3, H, W): each picture under the blur that brings it nearest to what is shown."""
    spectrum, wanted = _spectrum(picture), _spectrum(shown)
    height, width = (side + 2 * MARGIN for side in picture.shape[-2:])
    down = torch.fft.fftfreq(height, device=picture.device)[:, None]
    across = torch.fft.rfftfreq(width, device=picture.device)
    slow = down.square() + across.square()
    gains = torch.stack([(-2 * (torch.pi * w) ** 2 * slow).exp() for w in WIDTHS])
    errors = [(gain * spectrum - wanted).abs().square().sum((1, 2, 3)) for gain in gains]
    best = gains[torch.stack(errors).argmin(0)][:, None]
    blurred = torch.fft.irfft2(best * spectrum, s=(height, width))
    return blurred[..., MARGIN:-MARGIN, MARGIN:-MARGIN]


def _spectrum(picture: Tensor) -> Tensor:
    return torch.fft.rfft2(F.pad(picture, [MARGIN] * 4, mode="reflect"))


def _smoothed(picture: Tensor, radius: int = 4, contrast: float = 0.15) -> Tensor:
    """A guided filter (He et al. 2010): what is weaker than `contrast` goes, strong edges stay."""

    def mean(x: Tensor) -> Tensor:
        return F.avg_pool2d(F.pad(x, [radius] * 4, mode="reflect"), 2 * radius + 1, 1)

    average = mean(picture)
    variance = mean(picture.square()) - average.square()
    share = variance / (variance + contrast**2)
    return mean(share) * picture + mean((1 - share) * average)
