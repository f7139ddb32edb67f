"""From the many ways to store a pixel to one: upright 8-bit sRGB."""

import io
from functools import lru_cache

import numpy as np
from PIL import ExifTags, Image, ImageCms, ImageOps

from xpsr.errors import XPSRError

WHITE = (255, 255, 255)


def upright(image: Image.Image, notes: list[str]) -> Image.Image:
    """Turn a decoded picture the way the camera was held."""
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # damaged metadata raises nearly everything; the pixels are fine
        notes.append("The camera's note on how it was held is unreadable; turn it if needed.")
        return image


def upright_size(image: Image.Image) -> tuple[int, int]:
    """The size that `upright` will give, told by what the header holds; nothing is decoded."""
    note = Image.Exif()
    try:
        note.load(image.info.get("exif", b""))
        turned = note.get(ExifTags.Base.Orientation) in (5, 6, 7, 8)
    except Exception:  # damaged metadata, as above
        turned = False
    width, height = image.size
    return (height, width) if turned else (width, height)


def to_srgb(image: Image.Image, notes: list[str]) -> Image.Image:
    """Any mode of Pillow → RGB in sRGB on white.

    Args:
        image: decoded; its `info` may hold an ICC profile.
        notes: gets one sentence for every decision that changes the look.
    """
    profile = image.info.get("icc_profile")
    if image.mode == "LAB":
        return _lab(image)
    if image.mode.startswith("I") or image.mode == "F":
        image = _to_eight_bits(image, notes)
    elif image.has_transparency_data:
        image = _on_white(image, notes)
    elif image.mode not in ("RGB", "L", "CMYK"):
        # Only these three can be handed to the colour management.
        image = image.convert("L" if image.mode == "1" else "RGB")
    if profile:
        image = _apply_profile(image, profile, notes)
    return image.convert("RGB")


def _to_eight_bits(image: Image.Image, notes: list[str]) -> Image.Image:
    """16-bit, 32-bit and float greys → L, scaled instead of clipped."""
    values = np.asarray(image).astype(np.float64)
    if not np.isfinite(values).any():
        raise XPSRError(
            "The picture holds no brightness at all, only values that are no numbers: save it "
            "anew from the program that made it."
        )
    values = np.nan_to_num(values, posinf=0.0, neginf=0.0)
    low, high = float(values.min()), float(values.max())
    if image.mode == "I" and low >= 0 and 0 < high <= 255.0:
        notes.append("The brightness values were taken for 0 to 255: none is higher.")
        white = 255.0
    elif image.mode.startswith("I;16") or (image.mode == "I" and low >= 0 and high <= 65535):
        white = 4095.0 if _is_twelve_bit(image) else 65535.0
    elif image.mode == "F" and low >= 0 and high <= 1.0:
        white = 1.0
    elif image.mode == "F" and low >= 0 and high <= 255.0:
        white = 255.0
    else:
        notes.append("The brightness values have no fixed range; they were stretched to fit.")
        values, white = values - low, max(high - low, 1e-12)
    return Image.fromarray((values * (255.0 / white)).round().clip(0, 255).astype(np.uint8))


def _is_twelve_bit(image: Image.Image) -> bool:
    return getattr(image, "tag_v2", {}).get(258) in (12, (12,))  # BitsPerSample of a TIFF


def _on_white(image: Image.Image, notes: list[str]) -> Image.Image:
    layered = image.convert("RGBA")
    opaque = layered.convert("RGB")
    if layered.getchannel("A").getextrema()[0] == 255:
        return opaque
    notes.append("The see-through parts were put on white.")
    paper = Image.new("RGBA", layered.size, (*WHITE, 255))
    return Image.alpha_composite(paper, layered).convert("RGB")


def _apply_profile(image: Image.Image, profile: bytes, notes: list[str]) -> Image.Image:
    """Convert by an embedded ICC profile; a picture that is sRGB already keeps its very pixels."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        name = (ImageCms.getProfileDescription(source) or "").strip()
        if "srgb" in name.lower() and image.mode == "RGB":
            return image
        changed = ImageCms.profileToProfile(
            image,
            source,
            _srgb(),
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            outputMode="RGB",
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        notes.append("The colour profile is unreadable; the colours may look different.")
        return image
    if image.mode != "L":
        notes.append(f"The colours were converted from {_plain(name)} to sRGB.")
    return changed or image


def _plain(name: str) -> str:
    """A profile's own name comes from the file: keep it short and printable."""
    kept = "".join(letter for letter in name if letter.isprintable())[:40].strip()
    return kept or "the embedded profile"


def _lab(image: Image.Image) -> Image.Image:
    profile = ImageCms.createProfile("LAB")
    return ImageCms.profileToProfile(image, profile, _srgb(), outputMode="RGB") or image


@lru_cache(maxsize=1)
def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
