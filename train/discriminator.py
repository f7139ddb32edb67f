"""Restored or a photograph? A small judge that learns along, so that results look like photos."""

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm


class Discriminator(nn.Module):
    """One verdict for every 8 × 8 pixels, above 0 for "a photograph".

    It sees the enlarged low-resolution picture beside the one it judges: a result has to look like
    a photo of that picture, and not of any (as in pix2pix, Isola et al. 2017). Spectral
    normalisation (Miyato et al. 2018) keeps it from being too sure too soon.

    Args:
        widths: channels at 1/2, 1/4 and 1/8 of the picture's side.
        seed: of its weights, whatever was drawn before.
    """

    def __init__(self, widths: tuple[int, int, int] = (32, 64, 96), seed: int = 0):
        super().__init__()
        first, second, third = widths

        def layer(before: int, after: int, stride: int = 1) -> nn.Module:
            size = 3 if stride == 1 else 4  # a multiple of the stride: all pixels count alike
            return spectral_norm(nn.Conv2d(before, after, size, stride, padding=1))

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.layers = nn.ModuleList(
                [
                    layer(2 * 3 * 4, first),
                    layer(first, second, stride=2),
                    layer(second, second),
                    layer(second, third, stride=2),
                    layer(third, third),
                ]
            )
            self.verdict = layer(third, 1)

    def forward(self, picture: Tensor, conditioning: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1] and the enlarged input in [0, 1] → (B, 1, H/8, W/8)."""
        x = F.pixel_unshuffle(torch.cat([picture, conditioning * 2 - 1], dim=1), 2)
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.2)
        return self.verdict(x)


def moved(pictures: list[Tensor], draw: torch.Generator) -> list[Tensor]:
    """The same window of all, 8 pixels less each way, at a place that is drawn, and turned.

    The judge looks in strides of the 8 pixels that the decoder draws at once. Were both always in
    step, what it asks of one pixel of a patch it would ask of that pixel of all: a weave. And were
    the pictures always upright, it could come to like strokes of one direction.

    Args:
        pictures: (B, C, H, W) each, sides longer than 8.
        draw: on the CPU.
    """
    top, left = torch.randint(0, 8, (2,), generator=draw).tolist()
    height, width = (side - 8 for side in pictures[0].shape[2:])
    turns, mirrored = divmod(int(torch.randint(0, 8, (), generator=draw)), 2)

    def look(picture: Tensor) -> Tensor:
        window = picture[..., top : top + height, left : left + width]
        return torch.rot90(window.flip(3) if mirrored else window, turns, (2, 3))

    return [look(picture) for picture in pictures]


def adversarial_errors(
    judge: Discriminator, decoded: Tensor, clean: Tensor, conditioning: Tensor, asked: Tensor
) -> tuple[Tensor, Tensor]:
    """What the networks and what the judge have to learn from the same pictures, both scalars.

    The usual non-saturating pair (Goodfellow et al. 2014), each without a gradient for the other,
    so that both can be learned in one step. The first counts as little as the judge can tell the
    two apart as yet: a judge that knows nothing would only add noise.

    Args:
        decoded, clean: (B, 3, H, W) in [-1, 1].
        conditioning: the enlarged low-resolution pictures in [0, 1].
        asked: (B,) bool, which pictures are to look like photos; the others do not count.
    """
    share = asked.float() / asked.sum().clamp(min=1)

    def mean(verdicts: Tensor) -> Tensor:
        return (verdicts.float().mean((1, 2, 3)) * share).sum()

    photo = judge(clean, conditioning)
    restored = judge(decoded.detach(), conditioning)
    held = {name: weight.detach() for name, weight in judge.named_parameters()}
    seen = functional_call(judge, held, (decoded, conditioning))
    able = (mean(photo) - mean(restored)).detach().clamp(0, 1)
    caught = (mean(F.softplus(restored)) + mean(F.softplus(-photo))) / 2
    return able * mean(F.softplus(-seen)), caught
