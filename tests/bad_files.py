"""Picture files that people really bring, and that break careless programs.

`make_bad_files(folder)` writes one of each and returns {key: path}. `EXPECTED` says what a correct
program does with each: "handled" gives a result, "refused" gives one sentence and no result.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 48, 36  # not square, so that a forgotten rotation or a swapped axis shows
BOMB_SIDE = 13_000


def photo(width: int = WIDTH, height: int = HEIGHT) -> Image.Image:
    """A small colourful picture (RGB) with smooth areas, an edge and texture; always the same."""
    y, x = np.mgrid[0:height, 0:width]
    red = 255 * x / max(width - 1, 1)
    green = 255 * y / max(height - 1, 1)
    blue = np.where((x // 4 + y // 4) % 2, 200, 60)
    grain = np.random.default_rng(0).normal(0, 6, (height, width, 3))
    pixels = np.stack([red, green, blue], axis=-1) + grain
    return Image.fromarray(pixels.clip(0, 255).round().astype(np.uint8), "RGB")


def text_named_jpg(folder: Path) -> Path:
    path = folder / "text.jpg"
    path.write_text("This is a shopping list, not a photograph.\nBread\nMilk\n", encoding="utf-8")
    return path


def truncated_png(folder: Path) -> Path:
    path = folder / "truncated.png"
    buffer = io.BytesIO()
    photo(96, 72).save(buffer, "PNG")
    path.write_bytes(buffer.getvalue()[: len(buffer.getvalue()) // 2])
    return path


def zero_bytes(folder: Path) -> Path:
    path = folder / "empty.png"
    path.write_bytes(b"")
    return path


def _chunk(kind: bytes, data: bytes) -> bytes:
    checksum = zlib.crc32(kind + data) & 0xFFFFFFFF
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)


def bomb_png(folder: Path) -> Path:
    """13000 x 13000 px (507 MB once decoded as RGB) in a file of about 20 kB, complete and valid.

    One bit a pixel, written row by row: the test never holds the picture that it warns about.
    """
    path = folder / "bomb.png"
    header = struct.pack(">IIBBBBB", BOMB_SIDE, BOMB_SIDE, 1, 0, 0, 0, 0)
    row = b"\x00" + bytes((BOMB_SIDE + 7) // 8)
    packer = zlib.compressobj(9)
    data = b"".join(packer.compress(row) for _ in range(BOMB_SIDE)) + packer.flush()
    parts = (_chunk(b"IHDR", header), _chunk(b"IDAT", data), _chunk(b"IEND", b""))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    return path


def animated_gif(folder: Path) -> Path:
    path = folder / "animated.gif"
    frames = [photo().rotate(90 * i, expand=False) for i in range(3)]
    frames[0].save(path, "GIF", save_all=True, append_images=frames[1:], duration=80, loop=0)
    return path


def cmyk_jpeg(folder: Path) -> Path:
    path = folder / "cmyk.jpg"
    photo().convert("CMYK").save(path, "JPEG", quality=92)
    return path


def grey16_png(folder: Path) -> Path:
    """16 bits a pixel, values over the whole 0..65535: a careless cast clips it to white."""
    path = folder / "grey16.png"
    ramp = np.linspace(0, 65535, WIDTH, dtype=np.uint16)
    Image.fromarray(np.repeat(ramp[None], HEIGHT, axis=0)).save(path, "PNG")
    return path


def palette_alpha_png(folder: Path) -> Path:
    """A palette picture whose first palette entry is see-through."""
    path = folder / "palette_alpha.png"
    photo().quantize(32).save(path, "PNG", transparency=0)
    return path


def rotated_jpeg(folder: Path) -> Path:
    """A camera held upright: stored 48 x 36, EXIF orientation 6, so it is 36 x 48 to a viewer."""
    path = folder / "rotated.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    photo().save(path, "JPEG", quality=95, exif=exif)
    return path


def one_pixel(folder: Path) -> Path:
    path = folder / "one_pixel.png"
    Image.new("RGB", (1, 1), (200, 100, 50)).save(path, "PNG")
    return path


def heic(folder: Path) -> Path:
    """What an iPhone writes. Encoded with pillow-heif, whose wheels bring the encoder along."""
    import pillow_heif

    path = folder / "phone.heic"
    pillow_heif.from_pillow(photo(64, 48)).save(path, quality=80)
    return path


def broken_heic(folder: Path) -> Path:
    """Only the header of a HEIC file, as a broken transfer from a phone leaves it."""
    path = folder / "broken.heic"
    path.write_bytes(struct.pack(">I4s4sI4s4s", 24, b"ftyp", b"heic", 0, b"mif1", b"heic"))
    return path


MAKERS: dict[str, Callable[[Path], Path]] = {
    "text": text_named_jpg,
    "truncated": truncated_png,
    "empty": zero_bytes,
    "bomb": bomb_png,
    "animated": animated_gif,
    "cmyk": cmyk_jpeg,
    "grey16": grey16_png,
    "palette_alpha": palette_alpha_png,
    "rotated": rotated_jpeg,
    "one_pixel": one_pixel,
    "heic": heic,
    "broken_heic": broken_heic,
}

EXPECTED: dict[str, str] = {
    "text": "refused",
    "truncated": "refused",
    "empty": "refused",
    "bomb": "refused",
    "animated": "handled",
    "cmyk": "handled",
    "grey16": "handled",
    "palette_alpha": "handled",
    "rotated": "handled",
    "one_pixel": "refused",
    "heic": "handled",
    "broken_heic": "refused",
}

# Width and height as a viewer shows the "handled" ones.
SIZES: dict[str, tuple[int, int]] = {
    "animated": (WIDTH, HEIGHT),
    "cmyk": (WIDTH, HEIGHT),
    "grey16": (WIDTH, HEIGHT),
    "palette_alpha": (WIDTH, HEIGHT),
    "rotated": (HEIGHT, WIDTH),
    "heic": (64, 48),
}


def make_bad_files(folder: str | Path) -> dict[str, Path]:
    """Write every file into `folder` (made if missing) and return {key: path}."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    return {key: maker(folder) for key, maker in MAKERS.items()}
