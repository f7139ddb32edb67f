"""What a restored picture becomes when a text says something else about it."""

from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms.functional import gaussian_blur

from train.blurring import blurred_like

WIDTHS = (0.0, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0, 5.6, 8.0)  # of blurs that are tried, in pixels
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
    blurred = blurred_like(picture, shown, WIDTHS)[0]
    noise, blur, detail = (x.to(picture)[:, None, None, None] for x in (noise, blur, detail))
    fine = picture - gaussian_blur(picture, [9, 9], [FINE, FINE])
    sharper = (blur.clamp(min=0) + detail).clamp(-1, 3) * fine
    told = picture + (-blur).clamp(min=0) * (blurred - picture) + sharper
    told = told + noise.clamp(min=0) * (_smoothed(picture) - picture)
    return told + (-noise).clamp(min=0) * (shown - blurred)


def _smoothed(picture: Tensor, radius: int = 4, contrast: float = 0.15) -> Tensor:
    """A guided filter (He et al. 2010): what is weaker than `contrast` goes, strong edges stay."""

    def mean(x: Tensor) -> Tensor:
        return F.avg_pool2d(F.pad(x, [radius] * 4, mode="reflect"), 2 * radius + 1, 1)

    average = mean(picture)
    variance = mean(picture.square()) - average.square()
    share = variance / (variance + contrast**2)
    return mean(share) * picture + mean((1 - share) * average)
