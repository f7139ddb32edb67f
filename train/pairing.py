"""One photo → one pair: a crop, and what is left of it after a degradation, both from one seed."""

import hashlib
from typing import Annotated, Literal

import numpy as np
import torch
from PIL import Image
from pydantic import Field, field_validator, model_validator

from train.degrade import RECIPES, degrade, sharpen
from train.options import Strict
from xpsr.image import resize
from xpsr.prompts.estimator import MIN_SIDE

RecipeName = Literal["paper", "mild", "heavy"]


class PairConfig(Strict):
    """What is made of a crop.

    Attributes:
        size: side of the high-resolution crop in pixels.
        upscale: how much smaller the low-resolution side is.
        recipe: ranges of the degradation: paper, mild or heavy; or the share of each in the pairs.
        scales: the photo is made smaller by one of these factors first, as for Real-ESRGAN: a
            smaller photo shows more of the scene in a crop, and shows it sharper. Those that would
            leave a side shorter than `size` are not drawn.
        sharpen: unsharp masking of the clean side before all else, as the authors'.
        device: where blur, resize and noise are computed. JPEG and every random draw stay on the
            CPU, so a pair is the same on any device up to float rounding.
    """

    size: int = Field(512, ge=64)
    upscale: int = Field(4, ge=1)
    recipe: RecipeName | dict[RecipeName, float] = "paper"
    scales: tuple[Annotated[float, Field(gt=0, le=1)], ...] = Field((1.0,), min_length=1)
    sharpen: bool = False
    device: str = "cpu"

    @field_validator("recipe")
    @classmethod
    def _some_share(cls, recipe: str | dict[str, float]) -> str | dict[str, float]:
        if isinstance(recipe, dict) and not (
            all(share >= 0 for share in recipe.values()) and sum(recipe.values()) > 0
        ):
            raise ValueError("give each recipe a share of 0 or more, and one of them more than 0")
        return recipe

    @model_validator(mode="after")
    def _whole_pixels(self) -> "PairConfig":
        if self.size % self.upscale:
            raise ValueError(f"size {self.size} is no multiple of upscale {self.upscale}")
        if (low := self.size // self.upscale) < MIN_SIDE:
            raise ValueError(
                f"size {self.size} and upscale {self.upscale} make low-resolution sides of {low}"
                f" pixels, and texts need {MIN_SIDE}"
            )
        return self

    def possible_scales(self, photo: Image.Image) -> list[float]:
        """Those of `scales` that leave room for a crop; none = the photo is too small."""
        return [scale for scale in self.scales if min(_scaled(photo.size, scale)) >= self.size]

    def draw_scale(self, photo: Image.Image, random: np.random.Generator) -> float:
        """The scale of one pair; a single one costs no draw."""
        possible = self.possible_scales(photo)
        return possible[0] if len(possible) == 1 else float(random.choice(possible))

    def draw_recipe(self, random: np.random.Generator) -> str:
        """The recipe of one pair; a single recipe costs no draw."""
        if isinstance(self.recipe, str):
            return self.recipe
        shares = np.array(list(self.recipe.values()))
        return str(random.choice(list(self.recipe), p=shares / shares.sum()))


class PrepareConfig(PairConfig):
    """What is made of each photo.

    Attributes:
        size: of whole patches, as every network sees pictures.
        variants: pairs a photo.
        seed: with the photo's name and the variant, the seed of a pair.
        decisions_per_batch: draw the kinds of resize and noise and the order at the end once for so
            many pairs, as the authors do for 10; 1 = for each pair.
    """

    size: int = Field(512, ge=64, multiple_of=8)
    variants: int = Field(1, ge=1)
    seed: int = 0
    decisions_per_batch: int = Field(1, ge=1)


def make_pair(
    photo: Image.Image, config: PairConfig, seed: int, batch_seed: int | None = None
) -> tuple[Image.Image, Image.Image, dict]:
    """One crop and its degraded side: (HR picture, LR picture, every parameter drawn).

    Args:
        photo: RGB, with `config.possible_scales`.
        seed: every decision is drawn from it,
        batch_seed: but the kinds of resize and noise and the order from this one, if given. The
            authors draw those once for ten pictures.
    """
    random = np.random.default_rng(seed)
    shared = None if batch_seed is None else np.random.default_rng(batch_seed)
    size = config.size
    scale = config.draw_scale(photo, random)
    if scale < 1:
        photo = resize(photo, _scaled(photo.size, scale))
    left = int(random.integers(0, photo.width - size + 1))
    top = int(random.integers(0, photo.height - size + 1))
    hr = photo.crop((left, top, left + size, top + size))
    pixels = torch.from_numpy(np.array(hr)).permute(2, 0, 1).float() / 255
    if config.sharpen:
        pixels = sharpen(pixels)
        hr = _picture(pixels)
    recipe = config.draw_recipe(random)
    pixels = pixels.to(config.device)
    lr, drawn = degrade(pixels, RECIPES[recipe], random, config.upscale, shared)
    where = {"scale": scale, "left": left, "top": top}
    return hr, _picture(lr), {"recipe": recipe, **where, **drawn}


def _scaled(size: tuple[int, int], scale: float) -> tuple[int, int]:
    return round(size[0] * scale), round(size[1] * scale)


def _picture(pixels: torch.Tensor) -> Image.Image:
    return Image.fromarray((pixels * 255).round().byte().permute(1, 2, 0).cpu().numpy())


def pair_seed(name: str, variant: int, seed: int) -> int:
    """A seed that depends on nothing but the pair: not on order, not on other photos."""
    text = f"{seed}/{name}/{variant}".encode("utf-8", "surrogateescape")
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "big")
