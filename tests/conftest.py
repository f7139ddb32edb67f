"""What the tests share: the golden networks and a complete pipeline small enough for seconds."""

from __future__ import annotations

import gc
import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

# Before torch reads it. Two test files run at a time, and threads that wait for each other would
# take longer than one alone; processes that the tests start are told the same.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# A shell starts what runs in its background with Ctrl-C switched off, for all descendants; tests
# that press it need it on.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

import numpy as np
import pytest
import studio_server
import torch
from command_line import Done
from PIL import Image

from xpsr import metric_models

pytest_plugins = ["browsing"]

GOLDEN = Path(__file__).parent / "golden" / "xpsr"
TOKENIZER = Path(__file__).parent.parent / "xpsr" / "mini" / "tokenizer"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests first: begun last, they would keep one process alone at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def pytest_collection_finish() -> None:
    """What was imported stays to the end; it is not looked through for garbage again and again."""
    gc.freeze()


def pytest_sessionfinish() -> None:
    studio_server.end_all()


@pytest.fixture(scope="session", autouse=True)
def uploads(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The studio in this process takes the files of the tests for uploads, and no others."""
    os.environ["GRADIO_TEMP_DIR"] = str(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="session")
def golden() -> Path:
    """The folder of golden numbers, see its README."""
    return GOLDEN


@pytest.fixture(scope="session")
def tokenizer():
    """CLIP's own tokenizer."""
    from transformers import CLIPTokenizer

    return CLIPTokenizer.from_pretrained(TOKENIZER)


@pytest.fixture(scope="session")
def short_tokenizer(tokenizer):
    """CLIP's with its 10,000 commonest merges; all of them take long to read, again and again."""
    from transformers import CLIPTokenizer

    whole = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    merges = [tuple(pair) for pair in whole["merges"][:10_000]]
    words = sorted(whole["vocab"], key=whole["vocab"].get)
    # Every byte within a word and at its end, what the merges make of them, the two marks.
    words = [*words[: 2 * 256 + len(merges)], *words[-2:]]
    return CLIPTokenizer(
        vocab={word: number for number, word in enumerate(words)},
        merges=merges,
        model_max_length=tokenizer.model_max_length,
    )


def tiny_text_encoder(tokenizer, width: int):
    """A CLIP of random weights that reads what `tokenizer` gives."""
    from transformers import CLIPTextConfig, CLIPTextModel

    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=width,
            intermediate_size=2 * width,
            num_hidden_layers=2,
            num_attention_heads=2,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    ).eval()


@pytest.fixture(scope="session")
def text_encoder(tokenizer):
    """A small one that knows all of CLIP's tokens."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return tiny_text_encoder(tokenizer, 20)


@pytest.fixture(scope="session")
def tiny_pipeline(short_tokenizer):
    """The golden networks with a random autoencoder and text encoder; same weights every time."""
    from diffusers import AutoencoderKL, PNDMScheduler

    from xpsr.models import XPSRControlNetModel, XPSRUNet2DConditionModel
    from xpsr.pipeline import XPSRPipeline

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        vae = AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=(8, 8, 8, 8),
            norm_num_groups=4,
            sample_size=64,
        )
        text_encoder = tiny_text_encoder(short_tokenizer, 20)
    return XPSRPipeline(
        vae=vae.eval(),
        text_encoder=text_encoder,
        tokenizer=short_tokenizer,
        unet=XPSRUNet2DConditionModel.from_official(GOLDEN / "tiny" / "unet"),
        controlnet=XPSRControlNetModel.from_official(GOLDEN / "tiny" / "controlnet"),
        scheduler=PNDMScheduler.from_pretrained(GOLDEN / "tiny" / "scheduler"),
    )


@pytest.fixture(scope="session")
def tiny_seesr(tiny_pipeline, short_tokenizer):
    """SeeSR's golden networks and tagger, with a random autoencoder and text encoder."""
    from diffusers import DDPMScheduler
    from tiny_dape import SEESR, tiny_dape

    from xpsr.models import SeeSRControlNetModel, SeeSRUNet2DConditionModel
    from xpsr.seesr import SeeSRPipeline

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        text_encoder = tiny_text_encoder(short_tokenizer, 12)
    schedule = json.loads((SEESR / "schedule.json").read_text(encoding="utf-8"))["config"]
    return SeeSRPipeline(
        vae=tiny_pipeline.vae,
        text_encoder=text_encoder,
        tokenizer=short_tokenizer,
        unet=SeeSRUNet2DConditionModel.from_official(SEESR / "tiny" / "unet"),
        controlnet=SeeSRControlNetModel.from_official(SEESR / "tiny" / "controlnet"),
        scheduler=DDPMScheduler(**schedule, timestep_spacing="leading"),
        tagger=tiny_dape(),
    )


@pytest.fixture(scope="session")
def picture() -> Callable[[int, int], Image.Image]:
    """`picture(width, height)`: smooth colours, an edge and some noise, the same every time."""

    def make(width: int, height: int) -> Image.Image:
        rows, columns = np.mgrid[0:height, 0:width]
        colors = np.stack([rows / height, columns / width, 0.5 + 0.5 * np.sin(rows / 5)], axis=-1)
        colors[:, width // 2 :] *= 0.6
        noisy = colors + np.random.default_rng(0).normal(0, 0.03, colors.shape)
        return Image.fromarray((noisy.clip(0, 1) * 255).astype(np.uint8))

    return make


@pytest.fixture
def no_downloads(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Scores whose weights would have to be fetched cannot be had."""
    monkeypatch.setattr(metric_models, "_attempts", {})
    monkeypatch.setattr(metric_models, "_online", lambda: False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "no weights"))


@pytest.fixture
def one_thread() -> Iterator[None]:
    """As in the processes; another number of threads adds up in another order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def xpsr(capfd: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """Run a command in this process, with the descriptors of its streams caught."""
    from xpsr.__main__ import app

    def run(*arguments: str | Path) -> Done:
        capfd.readouterr()
        with pytest.raises(SystemExit) as ending:
            app([str(argument) for argument in arguments], prog_name="python -m xpsr")
        return Done(int(ending.value.code or 0), *capfd.readouterr())

    return run


@pytest.fixture(scope="session")
def tiny(tiny_pipeline, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny pipeline as a folder that `--model` can name."""
    folder = tmp_path_factory.mktemp("model") / "tiny"
    tiny_pipeline.save_pretrained(folder)
    return folder
