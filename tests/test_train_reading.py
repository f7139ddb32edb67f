"""Learning to read: texts that claim something else, what they ask for, and what stays the same."""

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from PIL import Image
from torchvision.transforms.functional import gaussian_blur
from training_help import CONFIGS, make_photos, weights

import xpsr
from train.__main__ import run
from train.claims import FLAWLESS, PRAISED, SENTENCES, UNSAID, Claim, claim
from train.config import DataConfig, read_config
from train.data import NO_DETAIL, Pairs
from train.describe import describe
from train.networks import clip_tokenizer
from train.pairing import PrepareConfig
from train.prepare import prepare
from train.telling import as_told
from xpsr.errors import XPSRError
from xpsr.models.degradation_free import DegradationFreePredictor, TextReader
from xpsr.prompts import Prompts
from xpsr.sampling import Step
from xpsr.settings import Settings
from xpsr.shared import Shared

MEASURED = (
    "The image is blurry. There is visible noise. JPEG blocks are faint. It is normally bright"
    " with high contrast. The colours are muted."
)
CONTENT = "A square picture in beige and brown. It is smooth."
READER = "controlnet.degradation_free_predictor.reader."


def claims(false_ratio: float, text: str = MEASURED, count: int = 300) -> list[Claim]:
    random = np.random.default_rng(0)
    return [claim(text, CONTENT, random, false_ratio) for _ in range(count)]


def test_who_says_the_same_in_other_words_asks_for_nothing():
    found = claims(0)
    assert all((c.noise, c.blur) == (0, 0) and c.like == MEASURED for c in found)
    assert len({c.text for c in found}) > 100
    elsewhere = [c for c in found if c.text == CONTENT]
    assert 10 < len(elsewhere) < 60 and {c.said for c in elsewhere} == {(UNSAID,) * 3}
    for c in found:
        assert all(level in (known, UNSAID) for level, known in zip(c.said, (2, 2, 1), strict=True))


def test_who_claims_less_leaves_it_in_and_who_claims_more_takes_more_away():
    found = [c for c in claims(1) if c.text != CONTENT]
    praise = [c for c in found if c.said[0] == PRAISED]
    assert 30 < len(praise) < 120
    assert all(c.like in FLAWLESS and (c.noise, c.blur) == (0, 0) for c in praise)
    for c in found:
        blur, noise, jpeg = c.said
        if blur < 5:
            assert np.sign(c.blur) == np.sign(blur - 2)
        if blur == UNSAID:
            assert c.blur == 0
        if noise == UNSAID and jpeg == UNSAID:
            assert c.noise == 0
        assert -1 <= c.noise <= 1 and -1 <= c.blur <= 2
    by_level = {c.said: c for c in claims(1, count=3000)}
    assert by_level[0, 0, 0].noise == by_level[0, 0, 0].blur == -1  # nothing is wrong: all stays
    half = [c.noise for c in found if c.said[1:] == (1, 1)]
    assert half and -1 < half[0] < 0


def test_the_levels_are_those_of_the_describers_own_sentences():
    own = [c for c in claims(1) if "There is" in c.text or "JPEG blocks" in c.text]
    assert len(own) > 50
    for c in own:
        for kind, level in zip(SENTENCES, c.said, strict=True):
            assert level == UNSAID or kind[level] in c.text


def test_a_text_of_another_describer_comes_back_as_it_is():
    said = "Shot on film, with some grain."
    assert {*claims(1, said)} == {Claim(said, said)}


def numbers(value: float, count: int = 1) -> torch.Tensor:
    return torch.full((count,), float(value))


@pytest.fixture
def restored() -> torch.Tensor:
    """A picture of bars, (1, 3, 64, 64) in [-1, 1]."""
    bars = (torch.arange(64) // 8 % 2 * 1.2 - 0.6).expand(1, 3, 64, 64)
    return bars.contiguous()


@pytest.fixture
def shown(restored) -> torch.Tensor:
    """The same with noise."""
    noise = torch.randn(restored.shape, generator=torch.Generator().manual_seed(0))
    return restored + 0.1 * noise


def told(restored, shown, noise=0.0, blur=0.0, detail=0.0):
    return as_told(restored, shown, numbers(noise), numbers(blur), numbers(detail))


def test_a_picture_told_nothing_new_stays_and_one_told_nothing_is_wrong_is_what_was_shown(
    restored, shown
):
    assert torch.equal(told(restored, shown), restored)
    assert torch.allclose(told(restored, shown, -1, -1), shown, atol=1e-5)


def test_noise_stays_by_its_share(restored, shown):
    noise = (shown - restored).std()
    for share in (0.25, 0.5, 1):
        left = (told(restored, shown, -share) - restored).std()
        assert left / noise == pytest.approx(share, abs=0.05)


def test_blur_stays_and_noise_goes_each_for_itself(restored, shown):
    def steepness(picture):
        return picture.diff(dim=-1).abs().amax().item()

    blurred = told(restored, restored, 0, 0)
    soft = gaussian_blur(restored, [13, 13], [2.0, 2.0])
    kept = told(restored, soft + (shown - restored), 0, -1)
    assert steepness(kept) < 0.6 * steepness(blurred)
    assert kept.var(dim=-2).mean() < 1e-4  # no noise came along
    assert steepness(told(restored, shown, 0, 1)) > steepness(restored)
    assert steepness(told(restored, shown, 0, 0, -0.7)) < steepness(restored)


def test_more_noise_than_there_is_smooths_what_is_faint_and_spares_the_edges():
    restored = (torch.arange(64) // 32 * 1.2 - 0.6).expand(1, 3, 64, 64)
    faint = restored + 0.05 * torch.randn(
        restored.shape, generator=torch.Generator().manual_seed(1)
    )
    smoother = told(faint, faint, 1)
    assert (smoother - restored).std() < 0.7 * (faint - restored).std()
    assert smoother.diff(dim=-1).abs().amax() > 0.8 * restored.diff(dim=-1).abs().amax()


def make_heard(reader: TextReader | None) -> None:
    """As if it had learned something."""
    assert reader is not None
    for name, weight in reader.tell.named_parameters():
        if name.endswith("weight"):
            weight.normal_(std=0.1)


def test_a_fresh_reader_changes_nothing_and_one_that_learned_hears_both_texts():
    torch.manual_seed(0)
    predictor = DegradationFreePredictor((8, 12), text_width=16, blocks=1).eval()
    picture, high, low = torch.rand(2, 3, 32, 32), torch.randn(2, 7, 16), torch.randn(2, 9, 16)
    with torch.no_grad():
        plain = predictor(picture)
        assert torch.equal(predictor(picture, high, low), plain)
        make_heard(predictor.reader)
        heard = predictor(picture, high, low)
        assert not torch.allclose(heard, plain, atol=1e-4)
        assert not torch.allclose(predictor(picture, high, high), heard, atol=1e-4)
        assert not torch.allclose(predictor(picture, low, low), heard, atol=1e-4)
        assert torch.equal(predictor(picture), plain)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reading")
    photos = make_photos(folder / "photos")
    list(prepare(photos, folder / "pairs", PrepareConfig(variants=2, size=64)))
    list(describe(folder / "pairs", "measured"))
    return folder / "pairs"


def test_samples_carry_what_their_texts_ask_for(pairs):
    tokenizer = clip_tokenizer()
    config = DataConfig(claim_ratio=0.7, detail_ratio=0.5)
    batch = Pairs(pairs, tokenizer, config).batch(range(60))
    assert batch.asked.shape == (60, 3) and batch.said.shape == (60, 4)
    assert all(batch.asked[:, k].unique().numel() > 2 for k in range(3))
    assert (batch.said[:, 3] < NO_DETAIL).all()
    plain = Pairs(pairs, tokenizer, DataConfig()).batch(range(60))
    assert not plain.asked.any() and torch.equal(plain.like_input_ids, plain.lowlevel_input_ids)
    # What the networks knew before is the text that the pair has, or praise.
    kept = (batch.like_input_ids == plain.lowlevel_input_ids).all(dim=1)
    assert 30 < kept.sum() < 60 and (batch.said[~kept, 0] == PRAISED).all()


def test_only_what_reads_learns_and_learns_to_read(pairs, tmp_path):
    def trained(name, *options):
        AcceleratorState._reset_state(reset_partial_state=True)
        out = f"out={tmp_path / name}"
        run(read_config(CONFIGS / "smoke.yaml", [f"data={pairs}", out, "crop=32", *options]))
        return weights(tmp_path / name)

    before = trained("whole", "model.controlnet.degradation_free_channels=[8, 8]", "steps=1")
    texts = (
        f"model.start={tmp_path / 'whole'}",
        "model.only=texts",
        "model.controlnet.degradation_free_reads_texts=true",
        "claim_ratio=0.7",
    )
    after = trained("words", *texts, "steps=3")
    fresh = after.keys() - before.keys()
    assert fresh and all(name.startswith(READER) for name in fresh)
    assert any(after[name].any() for name in fresh if ".tell." in name)
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert any(name.startswith("text_encoder.") for name in moved)
    still = {n for n in moved if ".attentions." not in n and not n.startswith("text_encoder.")}
    assert not still
    assert not any(name.startswith(("unet.", "vae.")) for name in moved)
    assert xpsr.load(tmp_path / "words").controlnet.reader is not None

    for wrong, said in (
        ((*texts[:2], texts[-1]), "degradation_free_reads_texts"),
        (texts[1:], "give model.start"),
        ((*texts, "trust_ratio=0.1"), "trust_ratio"),
        ((texts[0], "claim_ratio=0.1"), "only=texts"),
    ):
        with pytest.raises(XPSRError, match=said):
            trained("wrong", *wrong)


def test_the_first_guess_follows_the_texts_and_is_kept_for_runs_with_the_same(pairs, tmp_path):
    """In the pipeline: another quality text is another guess, at any guidance; tiles see it too."""
    AcceleratorState._reset_state(reset_partial_state=True)
    own = "model.controlnet={degradation_free_channels: [8, 8], degradation_free_reads_texts: true}"
    options = (f"data={pairs}", f"out={tmp_path / 'out'}", "crop=32", own, "steps=1")
    run(read_config(CONFIGS / "smoke.yaml", [*options, "model.residual_latents=true"]))
    pipe = xpsr.load(tmp_path / "out")
    low = Pairs(pairs, pipe.tokenizer, DataConfig()).pair(0, np.random.default_rng(0)).low
    with torch.no_grad():
        make_heard(pipe.controlnet.reader)
    image, settings = Image.fromarray(low), pipe.defaults()[1]

    def base(shared: Shared, settings: Settings = settings, **texts: str) -> torch.Tensor:
        items = pipe.stream(image, Prompts(**texts), settings, shared)
        step = next(one for one in items if isinstance(one, Step))
        assert step.preview is not None
        assert step.preview.base is not None
        return step.preview.base

    shared = Shared()
    first = base(shared, lowlevel_prompt="blurry")
    assert not torch.equal(base(shared, lowlevel_prompt="sharp"), first)
    assert base(shared, lowlevel_prompt="blurry") is first
    assert not torch.equal(base(shared, lowlevel_prompt="blurry", prompt="A cat."), first)
    guided = settings.changed(guidance_scale=3.0)
    again = base(Shared(), guided, lowlevel_prompt="blurry", lowlevel_negative_prompt="sharp")
    assert torch.equal(again, first)
    tiled = base(
        Shared(),
        settings.changed(tile_size=64, tile_overlap=16, upscale=8),
        lowlevel_prompt="blurry",
    )
    assert tiled.shape[-1] == 2 * first.shape[-1]
