"""A look at a run on the way: with the texts it trains with, and never its end."""

from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from train import check as looking
from train import loop
from train.__main__ import _check
from train.check import Check
from train.config import TrainConfig
from train.data import Pair
from train.loop import _memory, _report

STATE = SimpleNamespace(model=torch.nn.Identity(), ema=None, step=3)
ACCELERATOR = SimpleNamespace(autocast=nullcontext)


class OnePair:
    def __len__(self) -> int:
        return 1

    def pair(self, index: int, random: np.random.Generator) -> Pair:
        clean = random.integers(0, 255, (64, 64, 3), dtype=np.uint8)
        return Pair("a", clean, clean[::4, ::4], "A boat.", "Blurred.", "Sharp.")


@pytest.fixture
def shown(monkeypatch) -> list[tuple[str, str]]:
    """The texts that the pipeline is given."""
    found = []

    def pipe(low: Image.Image, prompt: str, lowlevel_prompt: str, upscale: int) -> SimpleNamespace:
        found.append((prompt, lowlevel_prompt))
        return SimpleNamespace(images=[low.resize((low.width * upscale, low.height * upscale))])

    monkeypatch.setattr(looking, "as_pipeline", lambda *_: pipe)
    return found


@pytest.mark.parametrize(
    ("prompts", "texts"),
    [
        ("both", ("A boat.", "Blurred.")),
        ("high", ("A boat.", "")),
        ("low", ("", "Blurred.")),
        ("none", ("", "")),
    ],
)
def test_a_run_is_looked_at_with_the_texts_that_it_knows(prompts, texts, shown, tmp_path):
    config = TrainConfig(data="pairs", out=str(tmp_path), prompts=prompts)
    scores = Check(OnePair(), config).run(STATE, None, ACCELERATOR)
    assert shown == [texts] and "psnr" in scores
    assert (tmp_path / "validation" / "step-00000003.png").is_file()


def test_the_pictures_that_are_looked_at_are_not_all_variants_of_one(shown, tmp_path):
    class Pairs(OnePair):
        def __len__(self) -> int:
            return 10

        def pair(self, index: int, random: np.random.Generator) -> Pair:
            return replace(super().pair(index, random), prompt=str(index))

    for count, looked_at in ((1, "0"), (3, "036"), (12, "0123456789")):
        config = TrainConfig(data="pairs", out=str(tmp_path), validate_pictures=count)
        shown.clear()
        Check(Pairs(), config).run(STATE, None, ACCELERATOR)
        assert "".join(prompt for prompt, _ in shown) == looked_at


def test_a_full_disk_at_the_look_does_not_end_the_run(shown, tmp_path, monkeypatch, capsys):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(looking, "sheet", full)
    config = TrainConfig(data="pairs", out=str(tmp_path))
    _check(Check(OnePair(), config), STATE, None, ACCELERATOR)
    assert "validation of step 3 failed: [Errno 28] No space left" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("sums", "terms"),
    [
        ([0.9, 0.8, 0.7, 0.6, 0.0], "loss diffusion pixel latent"),
        ([0.9, 0.8, 0.7, 0.6, 0.5], "loss diffusion pixel latent judge"),
        ([-0.9, -0.9, 0.0, 0.0, 0.0], "loss diffusion"),
        ([0.0, 0.0, 0.0, 0.0, 0.0], "loss"),
    ],
)
def test_a_term_that_nothing_learns_by_is_not_told(sums, terms):
    """It would stand at 0, as if there were nothing left to learn."""
    engine = SimpleNamespace(reduce=lambda terms, _: terms, device=torch.device("cpu"))
    schedule = SimpleNamespace(get_last_lr=lambda: [1e-3])
    state = SimpleNamespace(step=1, schedule=schedule, place=SimpleNamespace(a_step=2))
    config = TrainConfig(data="pairs", out="run")
    told = _report(config, engine, torch.tensor(sums), state, 1, 1.0).losses
    assert " ".join(told) == terms


def test_memory_is_told_in_the_units_of_the_system(monkeypatch):
    sizes = {}
    for system in ("linux", "darwin"):  # KiB, bytes
        monkeypatch.setattr("sys.platform", system)
        sizes[system] = _memory(torch.device("cpu"))
    assert sizes["linux"] / sizes["darwin"] == pytest.approx(1024, rel=0.1)


def test_losses_are_means_since_the_report_before(monkeypatch, tmp_path):
    """Those of a single small batch say nothing about the way it goes."""
    engine = SimpleNamespace(
        reduce=lambda terms, _: terms, device=torch.device("cpu"), num_processes=1, process_index=0
    )
    schedule = SimpleNamespace(get_last_lr=lambda: [1e-3])
    place = SimpleNamespace(a_step=2, seen=0)
    state = SimpleNamespace(step=0, schedule=schedule, place=place, ema=None, trained=[])

    def optimise(state: SimpleNamespace, *_: object) -> torch.Tensor:
        state.step += 1
        return torch.full((5,), float(state.step))

    monkeypatch.setattr(loop, "optimise", optimise)
    monkeypatch.setattr(loop.checkpoints, "save", lambda *_: None)
    config = TrainConfig(data="pairs", out=str(tmp_path), steps=5, log_every=2)
    reports = [*loop.train(config, state, SimpleNamespace(loader=iter), engine)]
    assert [r and r.losses["loss"] for r in reports] == [None, 1.5, None, 3.5, 5.0]
