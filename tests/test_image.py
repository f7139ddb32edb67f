"""Opening what people bring; tensors, sizes, padding, hashes."""

from __future__ import annotations

import hashlib
import io
import os
import struct
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from bad_files import EXPECTED, SIZES, make_bad_files, photo
from icc import cmyk_blue_ink, display_p3
from PIL import Image, ImageFile

import xpsr.image
from xpsr.errors import XPSRError
from xpsr.image import (
    MAX_PIXELS,
    MIN_SIDE,
    crop_to,
    open_image,
    pad_to,
    pixel_sha256,
    read_size,
    resize,
    to_image,
    to_tensor,
)
from xpsr.settings import MAX_OUTPUT_PIXELS


@pytest.fixture(scope="module")
def bad_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return make_bad_files(tmp_path_factory.mktemp("bad"))


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def pixels(source: xpsr.image.Source) -> np.ndarray:
    return np.asarray(open_image(source).image)


def refusal(source: object) -> str:
    with pytest.raises(XPSRError) as caught:
        open_image(source)  # type: ignore[arg-type]
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert sentence.endswith(".")
    assert "Error" not in sentence
    return sentence


@pytest.mark.parametrize("key", [key for key, what in EXPECTED.items() if what == "handled"])
def test_usual_oddities_open(bad_files: dict[str, Path], key: str) -> None:
    opened = open_image(bad_files[key])
    assert opened.image.mode == "RGB"
    assert opened.image.size == SIZES[key]
    assert not opened.image.info
    assert np.asarray(opened.image).std() > 20  # a picture, not a blank sheet


@pytest.mark.parametrize(
    ("key", "word"),
    [
        ("text", "not a picture"),
        ("truncated", "incomplete"),
        ("empty", "empty"),
        ("bomb", "64 million"),
        ("one_pixel", "16 on each side"),
        ("broken_heic", "incomplete"),
    ],
)
def test_refusals_say_why(bad_files: dict[str, Path], key: str, word: str) -> None:
    assert EXPECTED[key] == "refused"
    sentence = refusal(bad_files[key])
    assert word in sentence
    assert bad_files[key].name in sentence
    assert str(bad_files[key].parent) not in sentence  # the server's folders are nobody's business
    assert word in refusal(bad_files[key].read_bytes())


def test_every_bad_file_is_covered(bad_files: dict[str, Path]) -> None:
    for key, path in bad_files.items():
        if EXPECTED[key] == "refused":
            refusal(path)
        else:
            assert key in SIZES


@pytest.mark.parametrize(
    ("source", "word"),
    [
        ("no such file.png", "no file"),
        (".", "is a folder"),
        (os.devnull, "a pipe or a device"),
        ("https://example.org/a.jpg", "download"),
        ("a\0b.png", "cannot be opened"),
        ("holiday.NEF", "camera raw"),
        (b"", "empty"),
        (17, "a file, its path"),
    ],
)
def test_refuses_what_is_no_file(source: object, word: str) -> None:
    assert word in refusal(source)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "GIF", "TIFF", "BMP", "PNG"])
@pytest.mark.parametrize("share", [0.1, 0.6])
def test_half_files_are_refused(kind: str, share: float) -> None:
    whole = encoded(photo(300, 200), kind)
    refusal(whole[: int(share * len(whole))])


def test_half_files_are_refused_though_another_library_is_lenient() -> None:
    whole = encoded(photo(300, 200), "PNG")
    before, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, True
    try:
        refusal(whole[: len(whole) // 2])
        assert ImageFile.LOAD_TRUNCATED_IMAGES is True
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before


def test_damaged_bytes_never_leak_another_error() -> None:
    rng = np.random.default_rng(3)
    for kind in ("PNG", "JPEG", "GIF", "TIFF", "WEBP", "AVIF"):
        whole = np.frombuffer(encoded(photo(64, 48), kind), np.uint8)
        for _ in range(12):
            damaged = whole.copy()
            damaged[rng.integers(0, len(whole), 8)] = rng.integers(0, 256, 8)
            try:
                opened = open_image(damaged.tobytes())
            except XPSRError:
                continue
            assert opened.image.mode == "RGB"


def test_size_is_checked_before_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    side = int(MAX_PIXELS**0.5) + 1  # above our limit, below that of Pillow
    header = b"BM" + bytes(8) + struct.pack("<I", 54)
    header += struct.pack("<IiiHHI", 40, side, side, 1, 24, 0) + bytes(20)
    decoded = []
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda image: decoded.append(image))
    assert f"{side:,} x {side:,}" in refusal(header)
    assert not decoded


def test_the_largest_results_can_be_opened_again() -> None:
    """Such as 4 times 2048 x 1536, the size of many a camera: going on and scoring open them."""
    assert read_size(encoded(Image.new("1", (8192, 6144)), "PNG")) == (8192, 6144)
    assert MAX_PIXELS >= MAX_OUTPUT_PIXELS


def test_smallest_and_long_pictures() -> None:
    assert open_image(Image.new("RGB", (MIN_SIDE, MIN_SIDE))).image.size == (MIN_SIDE, MIN_SIDE)
    assert open_image(encoded(Image.new("RGB", (16, 9000)), "PNG")).image.size == (16, 9000)
    refusal(Image.new("RGB", (MIN_SIDE - 1, 500)))


def test_all_kinds_of_source_agree(tmp_path: Path) -> None:
    data = encoded(photo(), "PNG")
    path = tmp_path / "photo.png"
    path.write_bytes(data)
    written = io.BytesIO()
    photo().save(written, "PNG")  # which leaves it at its end
    for source in (path, str(path), data, written, written, photo()):
        assert np.array_equal(pixels(source), np.asarray(photo()))
    end, start = os.pipe()  # which cannot be wound back
    with os.fdopen(start, "wb") as file:
        file.write(data)
    with os.fdopen(end, "rb") as file:
        assert np.array_equal(pixels(file), np.asarray(photo()))


@pytest.mark.parametrize(
    ("kind", "note"),
    [
        ("GIF", "The animation has 3 frames; the first one is used."),
        ("PNG", "The animation has 3 frames; the first one is used."),
        ("WEBP", "The animation has 3 frames; the first one is used."),
        ("TIFF", "The file has 3 pages; the first one is used."),
    ],
)
def test_first_frame_with_a_note(kind: str, note: str) -> None:
    frames = [Image.new("RGB", (32, 24), color) for color in ("red", "lime", "blue")]
    options = {"lossless": True} if kind == "WEBP" else {}
    opened = open_image(
        encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    )
    assert opened.notes == (note,)
    assert opened.image.getpixel((5, 5)) == (255, 0, 0)


def test_one_frame_has_no_note() -> None:
    assert open_image(encoded(photo(), "GIF")).notes == ()


def test_held_upright(bad_files: dict[str, Path]) -> None:
    # Orientation 6: the stored top row is the viewer's right column.
    stored = Image.open(bad_files["rotated"])
    expected = np.asarray(stored.convert("RGB").transpose(Image.Transpose.ROTATE_270))
    assert np.array_equal(pixels(bad_files["rotated"]), expected)
    assert read_size(bad_files["rotated"]) == stored.size[::-1]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_the_size_is_known_upright_before_anything_is_decoded(kind: str) -> None:
    for orientation in (1, 3, 6):
        note = Image.Exif()
        note[0x0112] = orientation
        data = io.BytesIO()
        Image.new("RGB", (40, 30)).save(data, kind, exif=note)
        file = data.getvalue()
        assert read_size(file) == open_image(file).image.size


def test_sixteen_bit_grey_is_scaled_and_not_clipped(bad_files: dict[str, Path]) -> None:
    row = pixels(bad_files["grey16"])[0, :, 0].astype(int)
    ramp = np.linspace(0, 65535, len(row), dtype=np.uint16)
    assert np.abs(row - ramp / 257).max() <= 0.51
    assert row[0] == 0
    assert row[-1] == 255


@pytest.mark.parametrize(
    ("values", "stretched"),
    [
        (np.linspace(0, 1, 32), False),
        (np.linspace(0, 255, 32), False),
        (np.linspace(-40, 900, 32), True),
    ],
)
def test_float_greys(values: np.ndarray, stretched: bool) -> None:
    plane = np.repeat(values[None].astype(np.float32), 24, axis=0)
    opened = open_image(encoded(Image.fromarray(plane), "TIFF"))
    assert np.abs(np.asarray(opened.image)[0, :, 1] - np.linspace(0, 255, 32)).max() < 1
    assert bool(opened.notes) == stretched


def test_float_greys_that_are_no_numbers() -> None:
    plane = np.full((24, 32), 0.5, np.float32)
    plane[3, 4] = np.nan
    found = pixels(encoded(Image.fromarray(plane), "TIFF"))
    assert found[0, 0, 0] in (127, 128)
    assert found[3, 4, 0] == 0
    with pytest.raises(XPSRError, match="no numbers"):
        open_image(encoded(Image.fromarray(np.full_like(plane, np.nan)), "TIFF"))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16", "I", "F"])
def test_modes_keep_their_greys(mode: str) -> None:
    """A grey step wedge must come back as itself from every way to store it."""
    steps = np.repeat(np.array([0, 64, 128, 255], np.uint8), 8)
    plane = np.repeat(steps[None], 20, axis=0)
    if mode == "1":
        plane = np.where(plane > 127, 255, 0).astype(np.uint8)
    if mode in ("I;16", "I"):
        wide = np.uint16 if mode == "I;16" else np.int32
        image = Image.fromarray((plane.astype(np.int32) * 257).astype(wide))
    elif mode == "F":
        image = Image.fromarray(plane.astype(np.float32))
    else:
        image = Image.fromarray(plane).convert(mode)
    assert image.mode == mode
    found = pixels(encoded(image, "TIFF") if mode not in ("P", "LA") else encoded(image, "PNG"))
    assert np.abs(found.astype(int) - plane[..., None]).max() <= 1


def test_whole_numbers_up_to_255_are_no_black_picture() -> None:
    plane = np.tile(np.arange(0, 256, 8, dtype=np.int32), (20, 1))
    opened = open_image(encoded(Image.fromarray(plane), "TIFF"))
    assert np.array_equal(np.asarray(opened.image)[..., 0], plane)
    assert opened.notes == ("The brightness values were taken for 0 to 255: none is higher.",)


def test_see_through_parts_become_white_with_a_note(bad_files: dict[str, Path]) -> None:
    red = Image.new("RGBA", (40, 30), (255, 0, 0, 255))
    red.paste((0, 0, 255, 0), (0, 0, 20, 30))
    red.paste((0, 0, 0, 128), (20, 0, 30, 30))
    opened = open_image(encoded(red, "PNG"))
    assert opened.notes == ("The see-through parts were put on white.",)
    found = [opened.image.getpixel((x, 5)) for x in (5, 25, 35)]
    assert found == [(255, 255, 255), (127, 127, 127), (255, 0, 0)]
    assert open_image(bad_files["palette_alpha"]).notes == opened.notes
    assert open_image(encoded(photo().convert("RGBA"), "PNG")).notes == ()


def test_display_p3_becomes_srgb() -> None:
    muted = Image.new("RGB", (32, 24), (200, 120, 100))
    opened = open_image(encoded(muted, "PNG", icc_profile=display_p3()))
    assert opened.notes == ("The colours were converted from Display P3 to sRGB.",)
    red, green, blue = opened.image.getpixel((3, 3))
    # The wider red of P3 needs more red and less green and blue in sRGB (published matrices).
    assert (red, green, blue) == pytest.approx((211, 117, 95), abs=4)
    grey = Image.new("RGB", (32, 24), (128, 128, 128))
    found = open_image(encoded(grey, "PNG", icc_profile=display_p3())).image.getpixel((3, 3))
    assert max(found) - min(found) <= 2


def test_srgb_profile_changes_nothing() -> None:
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    opened = open_image(encoded(photo(), "PNG", icc_profile=profile))
    assert opened.notes == ()
    assert np.array_equal(np.asarray(opened.image), np.asarray(photo()))


def test_cmyk_goes_by_its_profile() -> None:
    half_magenta = Image.new("CMYK", (32, 24), (0, 255, 0, 0))
    plain = open_image(encoded(half_magenta, "TIFF")).image.getpixel((3, 3))
    assert plain[0] > 200
    assert plain[1] < 60
    managed = open_image(encoded(half_magenta, "TIFF", icc_profile=cmyk_blue_ink()))
    red, _, blue = managed.image.getpixel((3, 3))
    assert blue > 150
    assert blue > red + 60
    assert managed.notes == ("The colours were converted from Blue press to sRGB.",)


def test_broken_profile_is_noted() -> None:
    opened = open_image(encoded(photo(), "PNG", icc_profile=b"nonsense" * 30))
    assert opened.notes == ("The colour profile is unreadable; the colours may look different.",)
    assert np.array_equal(np.asarray(opened.image), np.asarray(photo()))


def test_heic_without_its_decoder(
    bad_files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(xpsr.image, "find_spec", lambda name: None)
    assert "pip install pillow-heif" in refusal(bad_files["heic"])


def test_threads_do_not_disturb_each_other(bad_files: dict[str, Path]) -> None:
    results: list[str] = []

    def work() -> None:
        for key in ("bomb", "animated", "truncated", "cmyk"):
            try:
                open_image(bad_files[key])
                results.append("handled")
            except XPSRError:
                results.append("refused")

    before = list(warnings.filters)
    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == ["handled"] * 12 + ["refused"] * 12
    assert list(warnings.filters) == before


def test_the_caller_keeps_his_picture() -> None:
    mine = photo().convert("RGBA")
    before = mine.tobytes()
    open_image(mine).image.paste("red", (0, 0, 10, 10))
    assert mine.tobytes() == before


def test_tensor_and_back() -> None:
    tensor = to_tensor(photo())
    assert tensor.shape == (1, 3, 36, 48)
    assert tensor.dtype == torch.float32
    assert float(tensor.max()) <= 1.0
    assert np.array_equal(np.asarray(to_image(tensor)), np.asarray(photo()))
    # Rounded, not cut off; out of range is clamped.
    odd = torch.tensor([100.4, 100.6, -9.0]).reshape(1, 3, 1, 1) / 255
    assert to_image(odd).getpixel((0, 0)) == (100, 101, 0)


@pytest.mark.parametrize("size", [(96, 72), (100, 31), (24, 18), (48, 36)])
def test_tensor_resize_agrees_with_pil(size: tuple[int, int]) -> None:
    by_pil = np.asarray(resize(photo(), size), dtype=float)
    by_torch = np.asarray(to_image(resize(to_tensor(photo()), size)), dtype=float)
    assert by_pil.shape == (size[1], size[0], 3)
    assert np.abs(by_pil - by_torch).max() <= 2  # PIL rounds between its two passes


@pytest.mark.parametrize(("height", "width", "multiple"), [(36, 48, 8), (5, 3, 64), (1, 16, 7)])
def test_padding_reflects_and_crops_back(height: int, width: int, multiple: int) -> None:
    image = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0))
    padded = pad_to(image, multiple)
    assert padded.shape[2] == -(-height // multiple) * multiple
    assert padded.shape[3] == -(-width // multiple) * multiple
    expected = np.pad(
        image.numpy(),
        ((0, 0), (0, 0), (0, padded.shape[2] - height), (0, padded.shape[3] - width)),
        mode="reflect",
    )
    assert np.array_equal(padded.numpy(), expected)
    assert torch.equal(crop_to(padded, height, width), image)


def test_hash_of_the_pixels() -> None:
    same = pixel_sha256(photo())
    assert len(same) == 64
    assert pixel_sha256(open_image(encoded(photo(), "PNG", compress_level=1)).image) == same
    changed = photo()
    changed.putpixel((0, 0), (1, 2, 3))
    assert pixel_sha256(changed) != same
    # Anybody can compute it: the bytes of the pixels and nothing else.
    assert same == hashlib.sha256(np.asarray(photo().convert("RGB")).tobytes()).hexdigest()
    assert pixel_sha256(photo().convert("RGBA")) == same
