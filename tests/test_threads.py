"""Two threads with one pipeline: each gets what it would get alone."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL
from test_budget import random_texts

from xpsr import autoencoder, metrics
from xpsr.prompts import Prompts
from xpsr.prompts.budget import count_tokens
from xpsr.prompts.text import encode_texts
from xpsr.settings import Settings
from xpsr.wordmaps import WordRecorder

QUICK = Settings(num_inference_steps=2, upscale=2, process_size=0, seed=3)
SCHEDULERS = ("ddpm", "ddim", "dpm++", "unipc")


@pytest.fixture(autouse=True)
def hurried() -> Iterator[None]:
    """Threads take turns much more often than they usually do."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def at_once(work: Callable[[int], object], count: int, meanwhile: Callable[[], object]) -> list:
    with ThreadPoolExecutor(4) as pool:
        made = [pool.submit(work, number) for number in range(count)]
        while not all(one.done() for one in made):
            meanwhile()
        return [one.result() for one in made]


def test_threads_restore_the_pixels_of_one_after_the_other(tiny_pipeline, picture, tokenizer):
    def restored(number: int) -> tuple:
        name = SCHEDULERS[number % 4]
        prompts = Prompts(prompt=f"{number} cats", lowlevel_prompt="blurry " * number)
        settings = replace(QUICK, scheduler=name, seed=number)
        *steps, last = tiny_pipeline.stream(picture(20 + number, 16), prompts, settings)
        return last.recipe.output_sha256, len(steps)

    alone = [restored(number) for number in range(8)]
    assert len(set(alone)) == 8
    for _ in range(2):
        assert at_once(restored, 8, lambda: count_tokens(tokenizer, "a cat")) == alone


def test_tokens_are_the_tokenizers_own_without_its_switches(tokenizer):
    read: list[torch.Tensor] = []

    class Encoder:
        device = torch.device("cpu")

        def __call__(self, ids: torch.Tensor) -> Encoder:
            read.append(ids)
            self.last_hidden_state = ids[..., None].float()
            return self

    texts = ["", "cat " * 75, "cat " * 76, *random_texts(500)]
    own = tokenizer(texts, padding="max_length", max_length=77, truncation=True)["input_ids"]
    tokenizer("", verbose=False)  # which turns them off
    for start in range(0, len(texts), 2):  # in pairs, as a branch has them
        encode_texts(tokenizer, Encoder(), texts[start : start + 2])
        assert tokenizer.backend_tokenizer.padding is None
        assert tokenizer.backend_tokenizer.truncation is None
    assert torch.cat(read).tolist() == own


def test_large_pictures_leave_the_autoencoder_of_others_as_it_is(tiny_pipeline, monkeypatch):
    seen = []
    real = AutoencoderKL.tiled_decode

    def tiled(self, *arguments, **named):
        seen.append(tiny_pipeline.vae.use_tiling)
        return real(self, *arguments, **named)

    monkeypatch.setattr(AutoencoderKL, "tiled_decode", tiled)
    monkeypatch.setattr(autoencoder, "_UNTILED_PIXELS", 64)
    with torch.no_grad():
        autoencoder.decode(tiny_pipeline.vae, torch.zeros(1, 4, 4, 12), 8)
    assert seen == [False]


def test_word_maps_are_of_the_own_picture(tiny_pipeline, picture):
    def maps(number: int) -> np.ndarray:
        recorder = WordRecorder()
        prompts = Prompts(prompt=f"{number} cats on a wall", lowlevel_prompt="blurry")
        for _ in tiny_pipeline.stream(
            picture(20 + 8 * number, 16), prompts, QUICK, recorder=recorder
        ):
            pass
        return recorder.maps.tokens("high")

    plain = Prompts(prompt="a dog")
    alone = [maps(number) for number in range(4)]
    together = at_once(maps, 4, lambda: list(tiny_pipeline.stream(picture(16, 16), plain, QUICK)))
    for one, other in zip(alone, together, strict=True):
        assert np.array_equal(one, other)


def test_scores_drawn_by_chance_are_those_of_one_at_a_time(picture, monkeypatch):
    def judge(image: torch.Tensor) -> torch.Tensor:
        return sum((torch.rand(()) for _ in range(200)), image.mean())

    monkeypatch.setattr(metrics, "judge", lambda *_: judge)
    piqe, image = metrics.METRICS["piqe"], picture(16, 16)
    alone = metrics._ask(piqe, image, None)
    found = at_once(lambda _: metrics._ask(piqe, image, None), 8, lambda: None)
    assert set(found) == {alone}
