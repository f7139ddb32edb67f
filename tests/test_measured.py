"""The measured describer: what was done to a picture more must never read as less."""

from __future__ import annotations

import io
import itertools
import time
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import pytest
import skimage.data
from PIL import Image
from scipy import ndimage, stats

from train.estimator.second_order import make_second_order
from train.pairing import PairConfig, make_pair
from xpsr.errors import XPSRError
from xpsr.prompts import measured, scene
from xpsr.prompts.describer import Description, make_describer
from xpsr.prompts.measured import (
    Damage,
    MeasuredDescriber,
    Measurements,
    damage,
    measure,
    rank,
    sentences,
)

PHOTOS = ("astronaut", "chelsea", "coffee", "rocket", "camera")
CASES = (*((name, 128) for name in PHOTOS), ("astronaut", 256), ("coffee", 256))
BLURS = (0.0, 0.6, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
NOISES = (0.0, 2.0, 5.0, 10.0, 15.0, 25.0, 35.0, 50.0)
QUALITIES = (100, 95, 90, 80, 70, 50, 40, 30, 20, 10, 5)


def load(name: str, side: int) -> Image.Image:
    photo = Image.fromarray(getattr(skimage.data, name)()).convert("RGB")
    factor = side / min(photo.size)
    size = (round(photo.width * factor), round(photo.height * factor))
    return photo.resize(size, Image.Resampling.BICUBIC)


@pytest.fixture(scope="module", params=CASES)
def photo(request: pytest.FixtureRequest) -> Image.Image:
    return load(*request.param)


def blurred(image: Image.Image, sigma: float) -> Image.Image:
    pixels = np.asarray(image, dtype=float)
    return picture(ndimage.gaussian_filter(pixels, (sigma, sigma, 0)))


def noisy(image: Image.Image, sigma: float) -> Image.Image:
    pixels = np.asarray(image, dtype=float)
    return picture(pixels + np.random.default_rng(0).normal(0, 1, pixels.shape) * sigma)


def compressed(image: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")


def picture(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(pixels.round().clip(0, 255).astype(np.uint8))


def assert_rises(
    pictures: Sequence[Image.Image], field: str, words: Sequence[tuple[float, str]], slack: float
) -> list[float]:
    """Figures rise (within `slack`), words never fall, and the end reads clearly as more."""
    figures = [getattr(measure(one), field) for one in pictures]
    assert all(b >= a - slack for a, b in itertools.pairwise(figures)), figures
    ranks = [rank(figure, words) for figure in figures]
    assert ranks == sorted(ranks), figures
    assert ranks[-1] >= ranks[0] + 2, figures
    return figures


def test_more_blur_never_reads_as_less(photo: Image.Image) -> None:
    series = [blurred(photo, sigma) for sigma in BLURS]
    figures = assert_rises(series, "blur", measured.BLUR_WORDS, 0.0)
    # And the figure means something: the sigma that was used, roughly.
    assert figures[BLURS.index(3.0)] == pytest.approx(3.0, rel=0.45)


def test_more_noise_never_reads_as_less(photo: Image.Image) -> None:
    series = [noisy(photo, sigma) for sigma in NOISES]
    figures = assert_rises(series, "noise", measured.NOISE_WORDS, 0.0)
    assert figures[NOISES.index(15.0)] == pytest.approx(15.0, rel=0.2)


def test_more_compression_never_reads_as_less(photo: Image.Image) -> None:
    series = [compressed(photo, quality) for quality in QUALITIES]
    assert_rises(series, "jpeg", measured.JPEG_WORDS, 0.0)


@pytest.mark.parametrize(
    "damaged", [lambda p: noisy(p, 10), lambda p: compressed(p, 40)], ids=["noise", "jpeg"]
)
def test_blur_is_seen_below_other_damage(
    photo: Image.Image, damaged: Callable[[Image.Image], Image.Image]
) -> None:
    series = [damaged(blurred(photo, sigma)) for sigma in (0.0, 1.0, 2.0, 4.0)]
    assert_rises(series, "blur", measured.BLUR_WORDS, 0.0)


@pytest.mark.parametrize(
    ("kind", "series"),
    [
        ("blur", [partial(blurred, sigma=sigma) for sigma in BLURS[::2]]),
        ("noise", [partial(noisy, sigma=sigma) for sigma in NOISES[::2]]),
        ("jpeg", [partial(compressed, quality=q) for q in QUALITIES[::2]]),
    ],
)
def test_the_words_rise_with_the_damage(
    photo: Image.Image, kind: str, series: Sequence[Callable[[Image.Image], Image.Image]]
) -> None:
    said = [damage(one, measure(one)) for one in (damaged(photo) for damaged in series)]
    ranks = [getattr(one, kind) for one in said]
    assert ranks == sorted(ranks)
    assert ranks[0] <= 1 and ranks[-1] >= 3


def test_noise_is_named_that_was_resized_and_compressed_since() -> None:
    """On training pairs of photos that nothing was trained on; their own figures see no noise."""
    pairs = [make_second_order(load("astronaut", 512), seed, side=96) for seed in range(60)]
    truths = [one.truth["noise"] for one in pairs]
    found = [measure(one.image) for one in pairs]
    said = [damage(one.image, own) for one, own in zip(pairs, found, strict=True)]
    named = stats.spearmanr(truths, [one.noise for one in said]).statistic
    own = stats.spearmanr(truths, [one.noise for one in found]).statistic
    assert named > max(own, 0.7)
    seen = [one.noise > 0 for one, truth in zip(said, truths, strict=True) if truth > 8]
    assert len(seen) >= 10 and np.mean(seen) > 0.9


def test_noise_does_not_read_as_sharp_nor_as_blocks(photo: Image.Image) -> None:
    soft = blurred(photo, 2.5)
    before = measure(soft)
    for sigma in (5.0, 15.0, 30.0):
        after = measure(noisy(soft, sigma))
        assert after.blur > 0.75 * before.blur
        assert rank(after.blur, measured.BLUR_WORDS) >= 2
        assert after.jpeg < 0.02


def test_blur_and_jpeg_do_not_read_as_noise(photo: Image.Image) -> None:
    at_first = measure(photo).noise
    assert all(measure(blurred(photo, sigma)).noise <= at_first for sigma in (1.0, 3.0))
    assert all(measure(compressed(photo, q)).noise < at_first + 2.5 for q in (80, 40, 10))


@pytest.mark.parametrize("factor", [1.5, 2, 4])
def test_enlarging_does_not_read_as_blocks(photo: Image.Image, factor: float) -> None:
    size = (round(photo.width * factor), round(photo.height * factor))
    assert measure(photo.resize(size, Image.Resampling.BICUBIC)).jpeg < 0.02


def test_blocks_are_found_after_enlarging_and_cropping(photo: Image.Image) -> None:
    blocky = compressed(photo, 10)
    enlarged = blocky.resize((photo.width * 4, photo.height * 4), Image.Resampling.BICUBIC)
    for seen in (enlarged, blocky.crop((3, 5, photo.width, photo.height))):
        assert rank(measure(seen).jpeg, measured.JPEG_WORDS) >= 2


def test_grey_noise_reads_like_coloured_noise() -> None:
    base = load("astronaut", 128)
    pixels = np.asarray(base, dtype=float)
    grain = np.random.default_rng(1).normal(0, 20, pixels.shape[:2])[..., None]
    assert measure(picture(pixels + grain)).noise == pytest.approx(
        measure(noisy(base, 20)).noise, rel=0.12
    )


def test_light_and_colour_follow_the_picture() -> None:
    base = load("astronaut", 128)
    pixels = np.asarray(base, dtype=float)
    grey = pixels.mean(axis=2, keepdims=True)
    plain = measure(base)
    assert measure(picture(pixels * 0.4)).brightness < 0.45 * plain.brightness
    assert measure(picture(128 + (pixels - 128) * 0.3)).contrast < 0.4 * plain.contrast
    assert measure(picture(grey + (pixels - grey) * 0.3)).saturation < 0.4 * plain.saturation
    noise = measure(noisy(base, 25))
    assert noise.contrast == pytest.approx(plain.contrast, abs=0.08)
    assert noise.saturation == pytest.approx(plain.saturation, abs=0.08)


@pytest.mark.parametrize(
    ("gains", "name"),
    [((1.3, 1.0, 0.7), "orange"), ((0.7, 0.9, 1.3), "blue"), ((0.8, 1.2, 0.8), "green")],
)
def test_colour_cast_is_named(gains: tuple[float, float, float], name: str) -> None:
    pixels = np.asarray(load("camera", 128), dtype=float) * gains
    assert f"{name} cast" in MeasuredDescriber().describe(picture(pixels)).low


def test_the_worst_picture_in_words() -> None:
    found = Measurements(3.0, 20.0, 0.2, 0.3, 0.3, 0.1, 0.2, 60.0)
    assert sentences(found, Damage(3, 3, 3)) == (
        "The image is very blurry. There is strong noise. JPEG blocks are clearly visible. "
        "It is slightly dark with low contrast. The colours are muted with a slight yellow cast."
    )


def test_a_picture_of_many_colours_is_called_so() -> None:
    """No one of them covers enough of it to be named: a colour chart, a stained-glass window."""
    steps = range(0, 256, 51)
    colours = itertools.product(steps, steps, steps)
    named = {scene.colour_name(np.array(rgb) / 255): rgb for rgb in colours}
    cells = list(itertools.islice(itertools.cycle(named.values()), scene.CELLS**2))
    pixels = np.array(cells, np.uint8).reshape(scene.CELLS, scene.CELLS, 3)
    image = Image.fromarray(pixels.repeat(20, axis=0).repeat(20, axis=1))
    text = MeasuredDescriber().describe(image).high
    assert text.startswith("A square picture in many colours.")


def test_content_names_colours_and_places() -> None:
    pixels = np.zeros((120, 180, 3))
    pixels[:40] = (60, 120, 230)
    pixels[40:] = (30, 110, 40)
    pixels[80:, 60:120] = np.random.default_rng(0).integers(0, 2, (40, 60, 1)) * 160 + (40, 40, 30)
    text = scene.sentences(picture(pixels))
    assert text.startswith("A wide picture in green, blue")
    assert "The top is blue, the middle green, the bottom green." in text
    assert "brightest at the bottom" in text
    assert "busiest at the bottom" in text


@pytest.mark.parametrize(
    ("rgb", "name"),
    [
        ((0, 0, 0), "black"),
        ((1, 1, 1), "white"),
        ((0.5, 0.5, 0.5), "grey"),
        ((0.9, 0.1, 0.1), "red"),
        ((0.95, 0.6, 0.1), "orange"),
        ((0.95, 0.9, 0.2), "yellow"),
        ((0.45, 0.3, 0.15), "brown"),
        ((0.1, 0.2, 0.05), "dark green"),
        ((0.1, 0.6, 0.2), "green"),
        ((0.15, 0.3, 0.85), "blue"),
        ((0.6, 0.8, 0.98), "light blue"),
        ((0.55, 0.2, 0.8), "purple"),
        ((0.95, 0.4, 0.7), "pink"),
    ],
)
def test_colour_names(rgb: tuple[float, float, float], name: str) -> None:
    assert scene.colour_name(np.array(rgb)) == name


def test_both_texts_fit_the_encoder(photo: Image.Image, tokenizer) -> None:
    describer = MeasuredDescriber()
    for one in (photo, noisy(blurred(photo, 3), 30), compressed(photo, 10)):
        said = describer.describe(one)
        for text in (said.high, said.low):
            assert text.endswith(".")
            assert len(tokenizer(text).input_ids) - 2 < 70


def test_longest_possible_text_fits(tokenizer) -> None:
    longest = Measurements(9.0, 90.0, 0.2, 0.3, 0.1, 0.1, 0.9, 300.0)
    assert len(tokenizer(sentences(longest, Damage(4, 4, 3))).input_ids) - 2 < 70
    content = (
        "A square picture in light turquoise, light purple and dark turquoise. "
        "The top is light turquoise, the middle dark turquoise, the bottom light purple. "
        "It is brightest at the bottom right and darkest at the bottom left. "
        "It is moderately detailed, busiest at the bottom right and plain at the bottom left."
    )
    assert len(tokenizer(content).input_ids) - 2 < 75


def test_same_picture_same_words_and_source() -> None:
    base = load("coffee", 128)
    first, second = (make_describer("measured").describe(base) for _ in range(2))
    assert first == second
    assert isinstance(first, Description)
    assert first.source == "measured"


@pytest.mark.parametrize("size", [(16, 16), (17, 400), (64, 64), (2000, 40), (1500, 1300)])
@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA"])
def test_any_size_and_mode(size: tuple[int, int], mode: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    said = MeasuredDescriber().describe(Image.fromarray(pixels).convert(mode))
    assert "very strong noise" in said.low


@pytest.mark.parametrize("value", [0, 128, 255])
def test_empty_pictures(value: int) -> None:
    found = measure(Image.new("RGB", (64, 48), (value,) * 3))
    assert (found.blur, found.noise, found.jpeg) == (0, 0, 0)
    assert np.isfinite([getattr(found, name) for name in Measurements.__dataclass_fields__]).all()
    said = MeasuredDescriber().describe(Image.new("RGB", (64, 48), (value,) * 3)).low
    assert said.startswith("The image is sharp. There is no noise. There are no JPEG blocks.")
    assert "It is black and white." in said


def test_too_small() -> None:
    with pytest.raises(XPSRError, match="16 on each side"):
        measure(Image.new("RGB", (15, 300)))


def test_fast_enough_for_training_crops() -> None:
    """Degraded and described as they are drawn, crops take longer for the former."""
    base, large, describer = load("chelsea", 128), load("astronaut", 512), MeasuredDescriber()
    crop = base.crop((0, 0, 128, 128))
    config = PairConfig(size=512)

    def seconds(work: Callable[[], object]) -> float:
        start = time.process_time()
        work()
        return time.process_time() - start

    describer.describe(crop)
    describing = [seconds(lambda: describer.describe(crop)) for _ in range(12)]
    degrading = [seconds(partial(make_pair, large, config, seed)) for seed in range(12)]
    assert np.median(describing) < np.mean(degrading)


@pytest.mark.parametrize("spec", ["x", "", "LLAVA 2", "ftp://example.org"])
def test_unknown_describers_are_not_pretended(spec: str) -> None:
    with pytest.raises(XPSRError, match="measured"):
        make_describer(spec)
