"""The embedded model: small enough, listening to its texts, and better than bicubic."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter
from skimage import data

import xpsr
from train.pairing import PrepareConfig, make_pair
from train.scores import high_frequency
from xpsr.image import pixel_sha256, resize
from xpsr.metrics import score
from xpsr.prompts.measured import MeasuredDescriber
from xpsr.sampling import TileDone
from xpsr.shared import Shared

MINI = Path(xpsr.__file__).parent / "mini"


@pytest.fixture(scope="module")
def pipe():
    return xpsr.load("mini")


@pytest.fixture(scope="module")
def restore(pipe):
    """`restore(picture, content text, quality text)`: the same once for all tests."""
    made = {}

    def result(low: Image.Image, high_text: str, low_text: str) -> Image.Image:
        key = (low.tobytes(), high_text, low_text)
        if key not in made:
            made[key] = pipe(low, prompt=high_text, lowlevel_prompt=low_text).images[0]
        return made[key]

    return result


@pytest.fixture(scope="module")
def pairs():
    """Crops of photos of scikit-image, none of them trained on, degraded as in training."""
    config = PrepareConfig(size=256, recipe="paper")
    photos = [getattr(data, name)() for name in ("astronaut", "chelsea", "coffee", "rocket")]
    return [
        make_pair(Image.fromarray(photo).convert("RGB"), config, seed)[:2]
        for photo in photos
        for seed in (1, 2)
    ]


def test_the_weights_fit_the_budget():
    size = sum(path.stat().st_size for path in MINI.rglob("*.safetensors"))
    assert 1e6 < size <= 40e6
    assert not list(MINI.rglob("*.bin"))


def test_the_card_names_data_figures_and_commands():
    card = (MINI / "README.md").read_text(encoding="utf-8")
    for needed in ("CC BY-SA", "python -m train.validate", "PSNR", "bicubic", "Apache-2.0"):
        assert needed in card


def test_the_default_preset_beats_bicubic(restore, pairs):
    describer = MeasuredDescriber()
    gains = []
    for clean, low in pairs:
        text = describer.describe(low)
        restored = restore(low, text.high, text.low)
        assert restored.size == clean.size
        after, before = (
            score(image, reference=clean, metrics=["psnr"])["psnr"].value
            for image in (restored, resize(low, clean.size))
        )
        gains.append(after - before)
    assert np.mean(gains) > 0, gains


@pytest.mark.parametrize("period", [2, 3, 4, 6, 8])
@pytest.mark.parametrize("color", [(1, 1, 1), (0, 1, 0)], ids=["grey", "green"])
def test_no_striped_cloth_ends_in_a_burst_of_colours(pipe, period, color):
    """What is rare in photos must not set itself up from layer to layer."""
    y, x = np.mgrid[0:64, 0:64] * (2 * np.pi / period)
    for wave in (np.sin(x), np.sign(np.sin(y + 0.1)), np.sin((x + y) / 2**0.5)):
        cloth = (wave[..., None] * color + 1) / 2
        low = Image.fromarray((255 * cloth).round().astype("uint8"))
        restored = pipe(low, preset="faithful", prompt="", lowlevel_prompt="").images[0]
        change = np.asarray(restored, float) - np.asarray(resize(low, restored.size), float)
        blocks = np.abs(change).mean(-1).reshape(16, 16, 16, 16).mean((1, 3))
        assert blocks.max() < 255 / 3, blocks.max()


def test_both_texts_change_the_result(restore, pairs):
    _, low = pairs[0]
    text = MeasuredDescriber().describe(low)
    described = np.asarray(restore(low, text.high, text.low), float)
    for changed in (("", text.low), (text.high, "The image is clean and sharp.")):
        assert np.abs(np.asarray(restore(low, *changed), float) - described).max() >= 1, changed


def test_a_picture_called_flawless_is_left_closer_to_what_it_is(restore, pairs):
    """The low-level text steers how much is done, in the direction that the words say."""
    nearer = []
    for _, low in pairs[:4]:
        text = MeasuredDescriber().describe(low)
        done, trusted = (
            score(restore(low, text.high, words), input=low)
            for words in (text.low, "The image is clean and sharp.")
        )
        nearer.append(trusted["backprojection"].value - done["backprojection"].value)
    assert np.mean(nearer) > 0, nearer


def test_between_tiles_is_told_how_many_are_done(pipe, picture):
    """Also while the first guess is made, of which a stream that is closed there keeps no half."""
    image, shared = picture(60, 32), Shared()
    tiled = {"tile_size": 64, "tile_overlap": 8, "upscale": 2, "process_size": 0}
    prompts, settings = pipe.defaults()
    settings = settings.changed(**tiled)
    begun = pipe.stream(image, prompts, settings, shared)
    assert isinstance(next(begun), TileDone)
    begun.close()
    *items, last = pipe.stream(image, prompts, settings, shared)
    places = [(one.index, one.tile) if isinstance(one, TileDone) else one.index for one in items]
    assert places == [(-1, 1), (0, 1), 0, (1, 1), 1]
    assert [one.done for one in items] == [0, 0.5, 1, 1.5, 2]
    assert items[0].seconds_left is None and items[-1].seconds_left == 0
    first, then = items[:2]
    assert first.seconds_to_first_step > 0 and then.seconds_to_first_step is None
    assert last.image == pipe(image, **tiled).images[0]


@pytest.fixture(scope="module")
def noisy():
    """Small photos with noise that the describer sees, and what it says of them."""
    random, describer = np.random.default_rng(0), MeasuredDescriber()
    found = []
    for name in ("astronaut", "chelsea", "coffee", "rocket"):
        photo = Image.fromarray(getattr(data, name)()).convert("RGB").resize((96, 64))
        low = np.asarray(photo, float) + random.normal(0, 12, (64, 96, 3))
        low = Image.fromarray(low.clip(0, 255).round().astype("uint8"))
        found.append((low, describer.describe(low)))
    assert all("There is visible noise." in text.low for _, text in found)
    return found


def roughness(picture: Image.Image) -> float:
    """Grey levels of what is finer than a few pixels, where the picture is plainest."""
    luma = np.asarray(picture.convert("L"), float)
    blocks = (luma - gaussian_filter(luma, 3)).reshape(picture.height // 16, 16, -1, 16)
    return float(np.quantile(blocks.std(axis=(1, 3)), 0.2))


def restored(restore, found, old: str, *words: str) -> np.ndarray:
    """`roughness` with each of `words` in the place of `old`, the mean over the pictures."""
    return np.mean(
        [
            [
                roughness(restore(low, text.high, said))
                for said in (text.low.replace(old, word) for word in words)
            ]
            for low, text in found
        ],
        axis=0,
    )


def test_the_less_noise_is_claimed_the_more_of_it_stays(restore, noisy):
    words = ("There is no noise.", "There is slight noise.", "There is visible noise.")
    none, slight, visible, strong = restored(
        restore, noisy, words[-1], *words, "There is very strong noise."
    )
    assert none > slight > visible > strong and none > 1.15 * strong, (
        none,
        slight,
        visible,
        strong,
    )


@pytest.mark.parametrize("praise", ["The image is crisp and clear.", "The photo looks flawless."])
def test_praise_in_any_words_keeps_the_damage(restore, noisy, praise):
    low, text = noisy[0]
    said, praised = restored(restore, [(low, text)], text.low, text.low, praise)
    assert praised > 1.1 * said, (said, praised)


def test_words_that_say_the_same_or_nothing_of_quality_hardly_change_it(restore, noisy):
    low, text = noisy[1]
    first = np.asarray(restore(low, text.high, text.low), float)
    for other in ("", "A cat.", text.low.split(" It is ")[0]):
        again = np.asarray(restore(low, text.high, other), float)
        assert np.abs(again - first).mean() < 1.5, other


def test_the_same_recipe_gives_the_same_pixels_whatever_ran_before(pipe, pairs):
    _, low = pairs[0]
    first = pixel_sha256(pipe(low, seed=3).images[0])
    pipe(low, seed=4, num_inference_steps=2)
    assert pixel_sha256(pipe(low, seed=3).images[0]) == first


def test_128_pixels_become_512(pipe):
    picture = Image.fromarray(data.chelsea()).resize((128, 128))
    out = pipe(picture, prompt="A cat.", lowlevel_prompt="The image is blurry.")
    assert out.images[0].size == (512, 512)
    assert out.recipe.model == "mini"


def test_the_content_text_tells_how_much_detail_is_asked_for(restore, pairs):
    """A text that calls the picture smooth leaves less of it than one that calls it detailed."""
    shares = []
    for _, low in pairs:
        text = MeasuredDescriber().describe(low)
        smooth, detailed = (
            high_frequency(restore(low, words, text.low))
            for words in (
                re.sub(r"It is [a-z ]*detailed", "It is smooth", text.high),
                re.sub(r"It is smooth", "It is detailed", text.high),
            )
        )
        shares.append(smooth / detailed)
    assert np.mean(shares) < 0.99, shares
