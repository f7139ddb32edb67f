"""Pictures in and out: opening whatever people bring, tensors, padding, the hash of the pixels."""

import hashlib
import io
import struct
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import BinaryIO, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageFile, features
from torch import Tensor

from xpsr import pixels
from xpsr.errors import XPSRError

MIN_SIDE = 16
# As many as the largest result has, which must be opened again; 192 MB once decoded.
MAX_PIXELS = 64_000_000
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "JPEG2000", "AVIF", "PPM")
BEGINNINGS = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"RIFF", b"II*\0", b"MM\0*", b"BM")
RAW_SUFFIXES = ".3fr .arw .cr2 .cr3 .crw .dng .iiq .nef .nrw .orf .pef .raf .rw2 .sr2 .srf .srw"
HEIF_BRANDS = frozenset((b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1", b"heif"))
AVIF_BRANDS = frozenset((b"avif", b"avis"))

Source = str | Path | bytes | BinaryIO | Image.Image
AnyImage = TypeVar("AnyImage", Image.Image, Tensor)

# Warning filters and Pillow's switch for broken files belong to the whole process: one at a time.
_PILLOW = threading.Lock()


@dataclass(frozen=True)
class Photo:
    """An opened picture.

    Args:
        image: RGB, 8 bits a channel, sRGB, upright; carries no metadata.
        notes: what had to be decided to get there, one plain sentence each.
    """

    image: Image.Image
    notes: tuple[str, ...] = ()


def open_image(source: Source) -> Photo:
    """Open a picture of any common kind as upright 8-bit sRGB.

    Sizes are checked before anything is decoded: 16 pixels on each side at least, 64 million in
    all at most.

    Args:
        source: a path, the bytes of a file, an open binary file, or a PIL picture.

    Raises:
        XPSRError: there is no picture, or none that can be used; the sentence says what to do.
    """
    name, file = _locate(source)
    with _in_sentences(name), _careful_pillow():
        if isinstance(file, Image.Image):
            _check(file, name)
            return _finish(file, [])
        with file, _identify(file, name) as image:
            _check(image, name)
            return _finish(image, list(_frames(image)))


def read_size(source: str | Path | bytes | BinaryIO) -> tuple[int, int]:
    """(width, height) of a picture, upright, as its file's header tells; nothing is decoded.

    Raises:
        XPSRError: as with `open_image`, as far as the header shows it.
    """
    name, file = _locate(source)
    assert not isinstance(file, Image.Image)
    with _in_sentences(name), _careful_pillow(), file, _identify(file, name) as image:
        _check(image, name)
        return pixels.upright_size(image)


def to_tensor(image: Image.Image) -> Tensor:
    """PIL picture → (1, 3, H, W) float32 in [0, 1]."""
    array = np.array(image.convert("RGB"), dtype=np.float32) / 255.0
    return torch.from_numpy(array).permute(2, 0, 1)[None].contiguous()


def to_image(tensor: Tensor) -> Image.Image:
    """(1, 3, H, W) or (3, H, W) in [0, 1] → PIL RGB; clamped and rounded."""
    plane = tensor.detach().reshape(3, *tensor.shape[-2:]).float().cpu()
    array = (plane.clamp(0, 1) * 255.0).round().to(torch.uint8).permute(1, 2, 0).numpy()
    return Image.fromarray(array)


def resize(image: AnyImage, size: tuple[int, int]) -> AnyImage:
    """Bicubic, as PIL does it: smoothed when it gets smaller.

    Args:
        image: a PIL picture, or a tensor (B, C, H, W), which stays unrounded and unclamped.
        size: (width, height) in pixels.
    """
    if isinstance(image, Image.Image):
        return image.resize(size, Image.Resampling.BICUBIC)
    return F.interpolate(
        image, (size[1], size[0]), mode="bicubic", align_corners=False, antialias=True
    )


def pad_to(image: Tensor, multiple: int) -> Tensor:
    """Continue (B, C, H, W) by reflection at the right and the bottom, up to a multiple."""
    for axis in (2, 3):
        length = image.shape[axis]
        wanted = -(-length // multiple) * multiple
        if wanted == length:
            continue
        # Back and forth as often as needed: the border may be wider than the picture.
        period = max(2 * (length - 1), 1)
        index = torch.arange(wanted, device=image.device) % period
        image = image.index_select(axis, torch.minimum(index, period - index).clamp(max=length - 1))
    return image


def crop_to(image: Tensor, height: int, width: int) -> Tensor:
    """Undo `pad_to`: the top left `height` x `width` of (B, C, H, W)."""
    return image[..., :height, :width]


def pixel_sha256(image: Image.Image) -> str:
    """SHA-256 of the bare RGB pixels, row by row: equal for equal pictures, whatever their file.

    The one meaning of "sha256" here: in recipes, in the JSON lines, in the answers of the page.
    With numpy it is `hashlib.sha256(np.asarray(image.convert("RGB")).tobytes()).hexdigest()`.
    """
    return hashlib.sha256(image.convert("RGB").tobytes()).hexdigest()


@contextmanager
def _in_sentences(name: str) -> Iterator[None]:
    """Whatever a decoder raises becomes a sentence about the picture `name`."""
    try:
        yield
    except XPSRError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large(name) from error
    except MemoryError as error:
        raise XPSRError(f"{name} needs more memory than is free: bring a smaller one.") from error
    except Exception as error:  # decoders raise nearly everything on damaged data
        raise XPSRError(
            f"{name} is damaged or incomplete: copy or download it again, "
            "or save it anew in a picture editor."
        ) from error


@contextmanager
def _careful_pillow() -> Iterator[None]:
    """Inside, Pillow raises for enormous pictures and for half files, and warns of nothing."""
    with _PILLOW, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        # Other libraries switch this on, and Pillow then passes off half a picture as a whole one.
        lenient, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, False
        try:
            yield
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES = lenient


def _locate(source: Source) -> tuple[str, BinaryIO | Image.Image]:
    """What to call the picture in a sentence, and where its bytes are."""
    if isinstance(source, Image.Image):
        return "The picture", source
    if isinstance(source, (bytes, bytearray, memoryview)):
        return "The file", io.BytesIO(source)
    if isinstance(source, (str, Path)):
        return f'"{Path(source).name}"', _open_path(source)
    return "The file", io.BytesIO(file_bytes(source))


def file_bytes(file: BinaryIO) -> bytes:
    """What an open file holds, from its beginning if it can be wound back.

    Raises:
        XPSRError: it cannot be read, or is no file.
    """
    if not hasattr(file, "read"):
        raise XPSRError("A picture is given as a file, its path, its bytes or a PIL picture.")
    try:
        with suppress(OSError, AttributeError):  # of what is just written, the end is up
            file.seek(0)
        return bytes(file.read())
    except Exception as error:
        raise XPSRError("The file could not be read: open it again.") from error


def _open_path(source: str | Path) -> BinaryIO:
    if str(source).startswith(("http://", "https://")):
        raise XPSRError("A web address cannot be opened: download the picture and give its file.")
    path = Path(source)
    name = f'"{path.name}"'
    try:
        if path.is_dir():
            raise XPSRError(f"{name} is a folder: choose a picture in it.")
        if path.exists() and not path.is_file():  # it could be read only once, and never backwards
            raise XPSRError(f"{name} is a pipe or a device: save the picture as a file first.")
        if path.suffix.lower() in RAW_SUFFIXES.split():
            raise _camera_raw(name)
        return path.open("rb")
    except FileNotFoundError as error:
        raise XPSRError(f"There is no file {name}: check the name and the folder.") from error
    except PermissionError as error:
        raise XPSRError(f"{name} may not be read: change its permissions.") from error
    except (OSError, ValueError) as error:
        raise XPSRError(f"{name} cannot be opened: check the name and the disk.") from error


def _identify(file: BinaryIO, name: str) -> Image.Image:
    """Read the header only."""
    head = file.read(32)
    file.seek(0)
    if not head:
        raise XPSRError(f"{name} is empty (0 bytes): copy or download it again.")
    try:
        return Image.open(file, formats=_formats(head, name))
    except Image.UnidentifiedImageError as error:
        if head[4:8] == b"ftyp" or head.startswith(BEGINNINGS):
            raise  # the beginning of a picture, without the rest
        raise XPSRError(
            f"{name} is not a picture of a kind that can be opened: "
            "save it as PNG, JPEG, WebP or TIFF."
        ) from error


def _formats(head: bytes, name: str) -> tuple[str, ...]:
    """What the file may be; phone formats need decoders that not every machine has."""
    brand = head[8:12] if head[4:8] == b"ftyp" else b""
    if brand in HEIF_BRANDS:
        if find_spec("pillow_heif") is None:
            raise XPSRError(
                f"{name} is a HEIC picture, as phones take them; to open it, install pillow-heif "
                "(pip install pillow-heif) or save it as JPEG."
            )
        import pillow_heif

        pillow_heif.register_heif_opener()
        return ("HEIF",)
    if brand in AVIF_BRANDS and not features.check("avif"):
        raise XPSRError(
            f"{name} is an AVIF picture; to open it, update Pillow (pip install -U pillow) "
            "or save it as JPEG."
        )
    Image.init()
    return tuple(kind for kind in FORMATS if kind in Image.OPEN)


def _check(image: Image.Image, name: str) -> None:
    """Refuse by the header, before anything is decoded."""
    if image.width * image.height > MAX_PIXELS:
        raise _too_large(name, image.size)
    if min(image.size) < MIN_SIDE:
        raise XPSRError(
            f"{name} has {image.width} x {image.height} pixels: "
            f"a picture needs at least {MIN_SIDE} on each side."
        )
    if image.format == "TIFF" and 50706 in getattr(image, "tag_v2", {}):  # DNGVersion
        raise _camera_raw(name)


def _finish(image: Image.Image, notes: list[str]) -> Photo:
    """Decode and bring to upright 8-bit sRGB, without any metadata."""
    image.load()
    upright = pixels.upright(image, notes)
    rgb = pixels.to_srgb(upright, notes)
    return Photo(Image.frombytes("RGB", rgb.size, rgb.tobytes()), tuple(notes))


def _frames(image: Image.Image) -> Iterator[str]:
    """Note what is left out of a file that holds more than one picture."""
    if image.format == "MPO":
        return  # a camera's own small previews
    try:
        count = int(getattr(image, "n_frames", 1))
    except (OSError, EOFError, SyntaxError, ValueError, struct.error):
        count = 1  # broken behind the first frame, which is all that is wanted
        image.seek(0)
    if count < 2:
        return
    if image.format == "HEIF":
        yield f"The file holds {count} pictures; the main one is used."
        return
    image.seek(0)
    if image.format == "TIFF":
        yield f"The file has {count} pages; the first one is used."
    else:
        yield f"The animation has {count} frames; the first one is used."


def _too_large(name: str, size: tuple[int, int] | None = None) -> XPSRError:
    extent = f"has {size[0]:,} x {size[1]:,} pixels" if size else "is far too large"
    return XPSRError(
        f"{name} {extent}: at most {MAX_PIXELS // 10**6} million pixels can be opened, "
        "so make it smaller or cut out a part."
    )


def _camera_raw(name: str) -> XPSRError:
    return XPSRError(f"{name} is a camera raw file: export it as TIFF or JPEG first.")
