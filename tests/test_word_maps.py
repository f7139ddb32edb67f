"""Word maps: they sum to one, lie where they should, and recording changes nothing."""

from __future__ import annotations

import json
import random
import warnings
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import Transformer2DModel
from PIL import Image

from xpsr.ablation.units import split
from xpsr.errors import XPSRError
from xpsr.image import pixel_sha256
from xpsr.models import XPSRControlNetModel
from xpsr.models.attention import fusion_units
from xpsr.pipeline import XPSRPipeline
from xpsr.prompts import Prompts
from xpsr.prompts.text import encode_texts
from xpsr.sampling import Step
from xpsr.settings import Settings
from xpsr.tiling import Tile, cover
from xpsr.wordmaps import WordMaps, WordRecorder, overlay, sheet
from xpsr.wordmaps.fonts import families_for
from xpsr.wordmaps.grid import MAX_CELLS, Grid, sample
from xpsr.wordmaps.pieces import pieces_of, row_groups
from xpsr.wordmaps.recorder import over_tokens

pytestmark = pytest.mark.usefixtures("one_thread")

PROMPTS = Prompts(prompt="A cat's superresolution.", lowlevel_prompt="Blurry, noisy.")
QUICK = Settings(num_inference_steps=2, upscale=2, process_size=0, seed=3)


def record(
    pipe: XPSRPipeline,
    image: Image.Image,
    prompts: Prompts = PROMPTS,
    steps: tuple[int, ...] | None = None,
    **changes,
) -> tuple[WordMaps, list]:
    recorder = WordRecorder(steps)
    items = list(pipe.stream(image, prompts, replace(QUICK, **changes), recorder=recorder))
    return recorder.maps, items


def sums(maps: WordMaps, branch: str) -> float:
    """How far the sum over all tokens is from one, at the worst pixel."""
    return float(np.abs(maps.tokens(branch).sum(0) - 1).max())


# Recording ---------------------------------------------------------------------------------------


def test_a_model_of_one_text_has_the_maps_of_that(tiny_seesr, picture):
    *_, plain = tiny_seesr.stream(picture(24, 20), PROMPTS, QUICK)
    maps, items = record(tiny_seesr, picture(24, 20))
    assert items[-1].recipe.output_sha256 == plain.recipe.output_sha256
    assert maps.texts.keys() == {"high"} and sums(maps, "high") < 1e-5
    assert [piece.text for piece in maps.pieces("high")][:2] == ["A", "cat's"]
    # Seven transformers, and seven more that read the picture and do not count.
    assert sum(layer.weight for layer in maps.texts["high"].layers) == 7 * 2


@pytest.mark.parametrize(
    ("size", "changes"),
    [
        ((24, 20), {}),
        ((17, 33), {"guidance_scale": 1.0}),  # padded to whole latent pixels
        ((48, 32), {"tile_size": 64, "tile_overlap": 16}),
        ((24, 20), {"long_prompts": "chunk", "scheduler": "dpm++"}),
        ((20, 17), {"process_size": 70, "lowlevel_route": "content"}),
    ],
)
def test_recording_changes_no_bit_and_every_map_sums_to_one(tiny_pipeline, picture, size, changes):
    long = replace(PROMPTS, prompt="a cat and a dog, " * 30)
    prompts = long if "long_prompts" in changes else PROMPTS
    plain = list(tiny_pipeline.stream(picture(*size), prompts, replace(QUICK, **changes)))
    maps, items = record(tiny_pipeline, picture(*size), prompts, **changes)
    latents = [[one.latents for one in x if isinstance(one, Step)] for x in (plain, items)]
    assert len(items) == len(plain) and len(latents[0]) == QUICK.num_inference_steps
    assert all(torch.equal(one, other) for one, other in zip(*latents, strict=True))
    assert items[-1].recipe == plain[-1].recipe
    assert pixel_sha256(items[-1].image) == plain[-1].recipe.output_sha256
    for branch in ("high", "low"):
        assert sums(maps, branch) < 1e-5
        words = maps.words(branch)
        assert words.dtype == np.float32 and (words >= 0).all()
        width, height = items[-1].image.size
        assert words.shape[1:] == (
            round(height * 128 / max(width, height)),
            round(width * 128 / max(width, height)),
        )
    hooks = [m for m in tiny_pipeline.controlnet.modules() if m._forward_pre_hooks]
    assert not hooks


def test_steps_that_are_asked_for(tiny_pipeline, picture):
    both, _ = record(tiny_pipeline, picture(24, 20))
    assert both.parts == ((0,), (1,))
    for number in (0, 1):
        one, _ = record(tiny_pipeline, picture(24, 20), steps=(number, 99))
        assert one.parts == ((number,),)
        expected = both.words("high", parts=[number])
        np.testing.assert_allclose(one.words("high"), expected, atol=1e-7)
    mean = (both.words("low", parts=[0]) + both.words("low", parts=[1])) / 2
    np.testing.assert_allclose(both.words("low"), mean, atol=1e-6)
    many, _ = record(tiny_pipeline, picture(16, 16), num_inference_steps=6)
    assert many.parts == ((0,), (1, 2), (3,), (4, 5))
    with pytest.raises(XPSRError, match="2 steps"):
        record(tiny_pipeline, picture(16, 16), steps=(2,))


def test_levels_are_those_of_the_network(tiny_pipeline, picture):
    maps, _ = record(tiny_pipeline, picture(24, 20))
    assert maps.levels == (8, 16, 32, 64)  # three levels with text, and the middle
    parts = [maps.words("high", levels=[level]) for level in maps.levels]
    layers = np.array([2, 2, 2, 1], dtype=np.float32)  # as many units on each
    mean = np.tensordot(layers / layers.sum(), np.stack(parts), 1)
    np.testing.assert_allclose(maps.words("high"), mean, atol=1e-6)
    with pytest.raises(XPSRError, match="8, 16, 32, 64"):
        maps.words("high", levels=[7])
    with pytest.raises(XPSRError, match='"middle"'):
        maps.words("middle")


def test_the_positive_half_is_recorded(tiny_pipeline, picture):
    """At the first step both runs see the same latent, so the positive texts get the same maps."""
    options = {"steps": (0,), "start": "noise"}
    guided, _ = record(tiny_pipeline, picture(24, 20), guidance_scale=5.0, **options)
    alone, _ = record(tiny_pipeline, picture(24, 20), guidance_scale=1.0, **options)
    swapped = replace(PROMPTS, prompt=PROMPTS.negative_prompt, negative_prompt=PROMPTS.prompt)
    other, _ = record(tiny_pipeline, picture(24, 20), swapped, guidance_scale=5.0, **options)
    for branch in ("high", "low"):
        np.testing.assert_allclose(guided.tokens(branch), alone.tokens(branch), atol=1e-6)
    assert guided.pieces("high") != other.pieces("high")


def test_a_recorder_forgets_the_run_before_and_shows_a_stopped_one(tiny_pipeline, picture):
    recorder = WordRecorder()
    with pytest.raises(XPSRError, match="Nothing has been recorded"):
        _ = recorder.maps
    list(tiny_pipeline.stream(picture(24, 20), PROMPTS, QUICK, recorder=recorder))
    run = tiny_pipeline.stream(
        picture(16, 24), replace(PROMPTS, prompt="Dogs"), QUICK, recorder=recorder
    )
    next(run)
    run.close()
    maps = recorder.maps
    assert maps.pieces("high")[0].text == "Dogs"
    assert maps.parts == ((0,),) and sums(maps, "high") < 1e-5


def test_other_kinds_of_fusion(tiny_pipeline, picture):
    def pipeline(**own) -> XPSRPipeline:
        parts = {k: v for k, v in tiny_pipeline.components.items() if k != "controlnet"}
        controlnet = XPSRControlNetModel.from_unet(
            parts["unet"], **{**_pyramid(tiny_pipeline), **own}
        )
        return XPSRPipeline(**parts, controlnet=controlnet.eval())

    for kind in ("serial", "low", "high"):
        maps, _ = record(pipeline(fusion=kind), picture(16, 16), num_inference_steps=1)
        assert set(maps.texts) == ({"high", "low"} if kind == "serial" else {kind})
        assert all(sums(maps, branch) < 1e-5 for branch in maps.texts)
    plain = pipeline(down_block_types=("DownBlock2D",) * 4, mid_block_type="UNetMidBlock2D")
    assert not fusion_units(plain.controlnet)
    with pytest.raises(XPSRError, match="no word maps"):
        record(plain, picture(16, 16), num_inference_steps=1)


def _pyramid(pipe: XPSRPipeline) -> dict:
    name = "conditioning_embedding_out_channels"
    return {name: pipe.controlnet.config[name]}


# The attention itself ----------------------------------------------------------------------------


@pytest.fixture
def reader() -> Transformer2DModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return Transformer2DModel(1, 8, 8, norm_num_groups=4, cross_attention_dim=6).eval()


@torch.no_grad()
def test_attention_is_the_one_the_network_uses(reader):
    """With a single head, its output is these weights times the values."""
    attention = reader.transformer_blocks[0].attn2
    places, text = torch.randn(1, 2500, 8), torch.randn(1, 77, 6) * 4
    weights = over_tokens(attention, places, text)
    assert weights.shape == (2500, 77)
    torch.testing.assert_close(weights.sum(1), torch.ones(2500))
    assert weights.max() > 0.1  # far from even, or this would say little
    expected = attention(places, encoder_hidden_states=text)[0]
    torch.testing.assert_close(attention.to_out[0](weights @ attention.to_v(text)[0]), expected)


# Words and tokens --------------------------------------------------------------------------------


def test_words_of_several_tokens_and_signs(tokenizer):
    sent = "A cat's superresolution,  high-resolution (8k)!"
    found = pieces_of(tokenizer, sent, 77)
    texts = [piece.text for piece in found]
    assert texts == ["A", "cat's", "superresolution", ",", "high-resolution", "(", "8k", ")!"]
    assert [len(piece.tokens) for piece in found] == [1, 2, 2, 1, 3, 1, 2, 1]
    words = [piece.text for piece in found if piece.text[0].isalnum()]
    assert words == [unit.text for unit in split(sent, "word")]  # those that can be dropped


@pytest.mark.parametrize("length", [77, 231])
def test_every_token_that_is_read_belongs_to_one_word(tokenizer, length):
    """Checked against what the encoder is really given."""
    kept: dict[str, torch.Tensor] = {}

    class Encoder:
        device = torch.device("cpu")

        def __call__(self, ids: torch.Tensor) -> SimpleNamespace:
            kept["ids"] = ids.flatten()
            return SimpleNamespace(last_hidden_state=torch.zeros(*ids.shape, 1))

    random.seed(0)
    parts = ["cat", "Super-Resolution", "café", "cafe\u0301s", "一只猫", "🏔️", "(x:1.2)", "don't"]
    parts += [", ", ".", "  ", " ", " ", "\n", "_", "foo_.", "…", "8k", "ﬁ", "e\u0301", "👩‍👩‍👧"]
    for _ in range(60):
        sent = "".join(random.choices(parts, k=40 if length == 77 else 75))
        states = encode_texts(tokenizer, Encoder(), [sent], chunk=length > 77)
        if states.shape[1] > length:
            continue
        found = pieces_of(tokenizer, sent, states.shape[1])
        groups = row_groups(found, tokenizer, states.shape[1])
        special = torch.isin(kept["ids"], torch.tensor([49406, 49407]))
        assert torch.equal(groups < len(found), ~special)
        assert torch.equal(groups == len(found), kept["ids"] == 49406)
        spans = [(piece.start, piece.end) for piece in found]
        assert all(piece.text == sent[piece.start : piece.end] for piece in found)
        assert all(a[1] <= b[0] for a, b in pairwise(spans))
        for piece in found:
            own = tokenizer.decode(kept["ids"][list(piece.tokens)]).replace(" ", "")
            plain = tokenizer.decode(tokenizer(piece.text)["input_ids"][1:-1]).replace(" ", "")
            assert own == plain or piece.tokens[-1] == 75  # cut in the middle of the word


def test_words_that_are_cut_have_no_map(tiny_pipeline, picture):
    long = replace(PROMPTS, prompt="one " * 74 + "two three", added_prompt="")
    maps, _ = record(tiny_pipeline, picture(16, 16), long, num_inference_steps=1)
    assert [piece.text for piece in maps.pieces("high")][-2:] == ["one", "two"]
    assert len(maps.words("high")) == 75 and len(maps.tokens("high")) == 77


# Where the maps lie ------------------------------------------------------------------------------


def ramp(tile: Tile, factor: int) -> torch.Tensor:
    """One map that says at each of its places where that is in the whole latent: 100 y + x."""
    height, width = -(-tile.height // factor), -(-tile.width // factor)
    rows = tile.top + (torch.arange(height) + 0.5) * factor
    columns = tile.left + (torch.arange(width) + 0.5) * factor
    return (100 * rows[:, None] + columns)[None]


@pytest.mark.parametrize("size", [0, 24])
@pytest.mark.parametrize("factor", [1, 2, 4])
def test_tiles_come_together_in_their_places(size, factor):
    height, width = 40, 64
    tiles = cover(height, width, size, 8)
    grid = Grid(1, height, width, factor)
    for tile in tiles:
        grid.add(ramp(tile, factor), tile, alone=len(tiles) == 1)
    whole = ramp(Tile(0, 0, height, width), factor)
    assert torch.allclose(torch.from_numpy(grid.mean()), whole, rtol=1e-4)


def test_large_latents_fit_into_a_small_grid():
    tile = Tile(0, 0, 300, 200)
    grid = Grid(1, 300, 200, 1)
    grid.add(ramp(tile, 1), tile, alone=True)
    assert grid.cell == 5 and grid.mean().shape == (1, 60, 40)
    assert max(grid.mean().shape) <= MAX_CELLS
    assert np.allclose(grid.mean(), ramp(tile, 5))


def test_padding_is_left_out():
    """Of a grid of 4 x 4 the picture takes up the upper left: 2.5 rows, 4 columns."""
    mean = np.zeros((2, 4, 4), np.float32)
    mean[0, :, 3], mean[1, 3] = 1, 1
    found = sample(mean, (2.5, 4.0), (16, 10))
    assert found.shape == (2, 10, 16)
    assert found[0, :, -1].min() == 1 and found[0, :, :10].max() == 0
    assert found[1].max() == 0  # the row that is all padding


def test_the_place_in_the_picture(tiny_pipeline, picture, monkeypatch):
    """A token that only one place of a tile attends to is seen there, in the upright picture."""

    def planted(attention, places, text, mask=None):
        found = torch.zeros(places.shape[1], text.shape[1])
        found[:, 0] = 1
        side = int(places.shape[1] ** 0.5)
        found[side - 1, 0], found[side - 1, 1] = 0, 1  # upper right, first word
        return found

    monkeypatch.setattr("xpsr.wordmaps.recorder.over_tokens", planted)
    image = picture(64, 32)  # 16 x 8 latent pixels, two tiles of 8 x 8 side by side
    maps, _ = record(tiny_pipeline, image, tile_size=64, tile_overlap=0)
    first = maps.words("high", levels=[8])[0]
    assert first.shape == (64, 128)
    rows, columns = np.nonzero(first > 0.9)
    assert rows.max() <= 8
    assert set(columns // 64) == {0, 1}  # once in each tile
    assert all(column % 64 > 50 for column in columns)


# Pictures ----------------------------------------------------------------------------------------


def test_overlay_grows_lighter_with_the_attention(picture):
    grey = Image.new("RGB", (60, 40), (128, 128, 128))
    found = np.tile(np.linspace(0.1, 0.2, 12, dtype=np.float32), (8, 1))
    shown = overlay(grey, found)
    assert shown.size == grey.size and shown.mode == "RGB"
    light = np.asarray(shown.convert("L"), dtype=float)[20]
    assert (np.diff(light) >= -1).all() and light[-1] - light[0] > 60
    same = overlay(grey, found, span=(0.0, 0.4))
    middle = np.asarray(same)[20, -1].astype(int) - np.asarray(shown)[20, 30]
    assert abs(middle).max() < 30  # 0.2 is now the middle colour
    assert np.array_equal(np.asarray(overlay(grey, found, strength=0)), np.asarray(grey))
    even = overlay(picture(20, 20), np.full((8, 8), 0.5, np.float32))
    assert np.isfinite(np.asarray(even)).all()


def test_files(tiny_pipeline, picture, tmp_path: Path):
    prompts = replace(PROMPTS, prompt="A $cat$ <b>x</b>")
    maps, items = record(tiny_pipeline, picture(24, 20), prompts, num_inference_steps=1)
    maps.save(tmp_path / "maps.npz")
    with np.load(tmp_path / "maps.npz") as stored:
        about = json.loads(str(stored["about"]))
        assert np.array_equal(stored["high"], maps.tokens("high"))
        assert np.array_equal(stored["low"], maps.tokens("low"))
    for branch, text in about["texts"].items():
        assert len(text["pieces"]) + 2 == len(maps.tokens(branch))
        assert all(text["sent"][start:end] == word for word, start, end in text["pieces"])
    assert about["parts"] == [[0]] and about["levels"] == [8, 16, 32, 64]
    sheet(items[-1].image, maps, tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as image:
        assert np.asarray(image.convert("RGB")).std() > 20


def test_words_of_any_script_are_on_the_sheet(tiny_pipeline, picture, tmp_path, caplog) -> None:
    """By a font that has them, or by their number; never by empty boxes."""
    prompts = replace(PROMPTS, prompt="Ein Gärtner, кот 一只猫 \U0001f408", lowlevel_prompt="")
    maps, items = record(tiny_pipeline, picture(24, 20), prompts, num_inference_steps=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # matplotlib warns of every sign that it cannot draw
        sheet(items[-1].image, maps, tmp_path / "sheet.png")
    words = "".join(piece.text for piece in maps.pieces("high"))
    families, missing = families_for(words)
    assert families[0] == "DejaVu Sans" and not set("Gärtnerкот") & missing
    assert bool(missing) == ("have numbers on the sheet" in caplog.text)
    assert families_for("\u0378") == (["DejaVu Sans"], {"\u0378"})  # no sign at all


def test_command(xpsr, tiny: Path, tmp_path: Path, picture) -> None:
    picture(24, 20).save(tmp_path / "wall.png")
    out, maps = tmp_path / "out", tmp_path / "maps"
    command = (
        "restore",
        tmp_path / "wall.png",
        "--out",
        out,
        "--model",
        tiny,
        "--prompt",
        "A wall",
    )
    command += ("--no-describe", "--num-inference-steps", "1", "--upscale", "2")
    command += ("--process-size", "64")
    plain, recorded = xpsr(*command), xpsr(*command, "--word-maps", maps)
    assert recorded.code == 0, recorded.err
    assert recorded.records[0]["sha256"] == plain.records[0]["sha256"]
    assert sorted(path.name for path in maps.iterdir()) == ["wall.npz", "wall.png"]
    with np.load(maps / "wall.npz") as stored:
        assert '"A", 0, 1' in str(stored["about"])
    assert xpsr(*command, "--word-maps", maps).code == 0  # its own are made anew
    others = tmp_path / "others"
    others.mkdir()
    picture(24, 20).save(others / "wall.png")
    for place in (out, tmp_path, others):  # neither results nor pictures are replaced
        refused = xpsr(*command, "--word-maps", place)
        assert refused.code == 2 and "--word-maps" in refused.err
