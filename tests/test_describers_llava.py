"""The describer llava: a random LLaVA of a megabyte, in this process and behind a real server."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
import torch
from hub_server import COMMIT, hub
from loading_elsewhere import loading_elsewhere
from PIL import Image
from tiny_llava import CHAT, save_as_cached, save_tiny_llava

from xpsr.errors import XPSRError
from xpsr.prompts import auto
from xpsr.prompts.answers import Answers
from xpsr.prompts.batch import describe_many
from xpsr.prompts.describer import DescriberUnavailableError, make_describer, stream
from xpsr.prompts.footprint import GIB, Footprint
from xpsr.prompts.llava import LlavaDescriber
from xpsr.prompts.llava_model import LlavaModel, MemoryShortError
from xpsr.prompts.questions import QUESTIONS

_fresh = itertools.count()
QUICK = "max_new_tokens=12"


def fresh_picture() -> Image.Image:
    """Another picture each time, so that no answer is remembered from another test."""
    return random_picture(1000 + next(_fresh))


def random_picture(seed: int) -> Image.Image:
    random = np.random.default_rng(seed)
    return Image.fromarray(random.integers(0, 255, (30, 40, 3), dtype=np.uint8))


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_llava(tmp_path_factory.mktemp("llava") / "tiny")


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test may begin to fetch 14 GB."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def answer_of_transformers(tiny: Path, picture: Image.Image, prompt: str, tokens: int) -> str:
    """One question put to the model without any code of ours."""
    from transformers import LlavaForConditionalGeneration, LlavaProcessor

    processor = LlavaProcessor.from_pretrained(tiny)
    model = LlavaForConditionalGeneration.from_pretrained(tiny)
    inputs = processor(images=picture, text=prompt, return_tensors="pt")
    with torch.inference_mode():
        found = model.generate(**inputs, do_sample=False, max_new_tokens=tokens)
    written = found[0, inputs["input_ids"].shape[1] :]
    return processor.decode(written, skip_special_tokens=True)


def test_both_questions_of_the_authors_in_one_batch(tiny):
    picture = fresh_picture()
    found = make_describer(f"llava:{tiny}?bits=32&{QUICK}").describe(picture)
    for text, question in (
        (found.high, QUESTIONS["paper"].high),
        (found.low, QUESTIONS["paper"].low),
    ):
        prompt = f"<image>\nUSER: {question} \nASSISTANT:"
        assert text == answer_of_transformers(tiny, picture, prompt, 12)
    assert found.high != found.low and len(found.high.split()) == 12
    assert found.source == "tiny in 32 bits"


def test_the_questions_are_those_of_the_paper_and_of_the_authors():
    content = "Please provide a descriptive summary of the content of this image."
    assert QUESTIONS["paper"].high == QUESTIONS["q-instruct"].high == content
    assert QUESTIONS["paper"].low.startswith(
        "Please describe the quality of this image and evaluate it based on factors such as "
        "clarity, color, noise, and lighting"
    )
    assert QUESTIONS["q-instruct"].low == "Describe and evaluate the quality of the image."


def test_the_text_grows_and_then_nothing_is_left_in_memory(tiny):
    describer = make_describer(f"llava:{tiny}")
    assert isinstance(describer, LlavaDescriber)
    # The same picture alone and among other tests: to some the tiny model says less.
    *drafts, whole = stream(describer, random_picture(2000))
    grown = [draft.high for draft in drafts if draft.high]
    assert all(whole.high.startswith(text) for text in grown)
    assert len(whole.high.split()) == 175  # as long as the authors' answers can be
    assert describer._loaded is None


def test_it_loads_while_another_thread_loads_a_model(tiny):
    """diffusers changes for the whole process what a network that is being built consists of."""
    with loading_elsewhere():
        network = LlavaModel(tiny, "tiny", 32, torch.device("cpu"), 8).network
    assert not any(weight.is_meta for weight in network.parameters())


def test_it_stays_loaded_from_one_picture_to_the_next_where_it_is_held(tiny):
    describer = make_describer(f"llava:{tiny}?{QUICK}")
    assert isinstance(describer, LlavaDescriber)
    loaded = set()
    for _, found in describe_many(describer, [(n, fresh_picture()) for n in range(3)]):
        assert not isinstance(found, XPSRError)
        loaded.add(id(describer._loaded))
    assert len(loaded) == 1 and describer._loaded is None
    kept = make_describer(f"llava:{tiny}?{QUICK}&keep=yes")
    assert isinstance(kept, LlavaDescriber)
    kept.describe(fresh_picture())
    assert kept._loaded is not None


@pytest.fixture
def together(monkeypatch) -> Iterator[list[int]]:
    """How many pictures were put to the model in each go."""
    sizes: list[int] = []
    write = LlavaModel.write

    def counted(self, jobs, questions) -> None:
        sizes.append(len(jobs))
        write(self, jobs, questions)

    monkeypatch.setattr(LlavaModel, "write", counted)
    yield sizes


def test_pictures_described_together_get_the_texts_they_get_alone(tiny, together):
    pictures = [(number, fresh_picture()) for number in range(9)]
    alone = describer_of(f"llava:{tiny}?bits=32&{QUICK}")
    expected = [(number, alone.describe(picture)) for number, picture in pictures]
    assert set(together) == {1} and len({text.high for _, text in expected}) > 3
    together.clear()
    many = describer_of(f"llava:{tiny}?bits=32&batch=4&{QUICK}")
    assert list(describe_many(many, pictures)) == expected
    assert max(together) == 4 and sum(together) == 9


def test_one_picture_that_fails_and_a_short_memory_cost_the_others_nothing(tiny, monkeypatch):
    pictures = [(number, fresh_picture()) for number in range(6)]
    expected = dict(describe_many(describer_of(f"llava:{tiny}?bits=32&{QUICK}"), pictures))
    bad, sizes, write = pictures[2][1], [], LlavaModel.write

    def troubled(self, jobs, questions) -> None:
        if len(jobs) > 2:
            raise MemoryShortError("too many")
        if any(job.image is bad for job in jobs):
            raise ValueError("a strange picture")
        sizes.append(len(jobs))
        write(self, jobs, questions)

    monkeypatch.setattr(LlavaModel, "write", troubled)
    many = describer_of(f"llava:{tiny}?bits=32&batch=6&{QUICK}")
    found = dict(describe_many(many, pictures))
    assert isinstance(found.pop(2), XPSRError)
    assert found == {name: text for name, text in expected.items() if name != 2}
    assert many.batch <= 3 and max(sizes) == 2


def describer_of(spec: str) -> LlavaDescriber:
    """One that remembers nothing of other tests."""
    describer = make_describer(spec)
    assert isinstance(describer, LlavaDescriber)
    describer.answers = Answers()
    return describer


def test_a_batch_is_no_larger_than_the_memory():
    footprint = Footprint(linear=1000, others=0, cache=GIB // 4)
    assert footprint.pictures(16, 10 * GIB) == 19  # half a GiB each
    assert footprint.pictures(16, 0) == 1


@pytest.mark.parametrize("bits", [8, 4])
def test_fewer_bits(tiny, bits: int):
    pytest.importorskip("bitsandbytes")
    describer = make_describer(f"llava:{tiny}?bits={bits}&max_new_tokens=3&keep=yes")
    assert isinstance(describer, LlavaDescriber)
    found = describer.describe(fresh_picture())
    assert found.source == f"tiny in {bits} bits"
    network = describer._loaded.network  # pyright: ignore
    kind = {8: "Linear8bitLt", 4: "Linear4bit"}[bits]
    assert kind in {type(module).__name__ for module in network.modules()}


def test_it_can_be_stopped(tiny):
    describer = make_describer(f"llava:{tiny}?max_new_tokens=1024")
    texts = stream(describer, fresh_picture())
    while not next(texts).high:
        pass
    texts.close()
    started = time.monotonic()
    make_describer(f"llava:{tiny}?{QUICK}")
    assert isinstance(describer, LlavaDescriber)
    assert describer._busy.acquire(timeout=10)  # free again long before 1024 tokens
    assert time.monotonic() - started < 10 and describer._loaded is None


def test_an_answer_is_remembered_until_the_weights_change(tiny, tmp_path):
    folder = tmp_path / "copy"
    folder.mkdir()
    for file in tiny.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    picture, spec = fresh_picture(), f"llava:{folder}?{QUICK}"
    assert not make_describer(spec).describe(picture).remembered
    assert make_describer(spec).describe(picture.copy()).remembered
    (folder / "model.safetensors").touch()
    assert not make_describer(spec).describe(picture).remembered


def test_what_cannot_fit_is_refused_before_it_is_loaded(tmp_path):
    from transformers import LlamaConfig, LlavaConfig

    text = LlamaConfig(
        hidden_size=32768, intermediate_size=131072, num_hidden_layers=8, num_attention_heads=128
    )
    LlavaConfig(text_config=text).save_pretrained(tmp_path / "giant")
    with pytest.raises(DescriberUnavailableError) as caught:
        make_describer(f"llava:{tmp_path / 'giant'}").describe(fresh_picture())
    said = str(caught.value)
    assert re.search(r"giant needs about \d{3}\.\d GiB of memory in 16 bits", said)
    assert "GiB are free on cpu" in said and "measured" in said


def test_the_default_fits_where_it_is_known_to_fit():
    """The published sizes: 13.2 GiB of weights in 16 bits, 4.3 in 4."""
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig

    vision = CLIPVisionConfig(
        hidden_size=1024,
        intermediate_size=4096,
        num_hidden_layers=24,
        num_attention_heads=16,
        image_size=336,
        patch_size=14,
    )
    config = LlavaConfig(vision_config=vision, text_config=LlamaConfig(vocab_size=32064))
    footprint = Footprint.of(config)
    assert 13.2 < footprint.bytes(16) / GIB < 16
    assert 7 < footprint.bytes(8) / GIB < 9
    assert 4 < footprint.bytes(4) / GIB < 6


def _emptied(tiny: Path, folder: Path, leave_out: str) -> Path:
    folder.mkdir()
    for file in tiny.iterdir():
        if file.name != leave_out:
            (folder / file.name).write_bytes(file.read_bytes())
    return folder


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_folder_with_something_missing_is_named(tiny, tmp_path, missing: str):
    folder = _emptied(tiny, tmp_path / "half", missing)
    with pytest.raises(DescriberUnavailableError, match="half") as caught:
        make_describer(f"llava:{folder}").describe(fresh_picture())
    assert "measured" in str(caught.value)


def test_damaged_weights_and_pickles_are_refused(tiny, tmp_path):
    folder = _emptied(tiny, tmp_path / "damaged", "model.safetensors")
    (folder / "model.safetensors").write_bytes((tiny / "model.safetensors").read_bytes()[:5000])
    with pytest.raises(DescriberUnavailableError, match="safetensors"):
        make_describer(f"llava:{folder}").describe(fresh_picture())
    folder = _emptied(tiny, tmp_path / "pickled", "model.safetensors")
    torch.save({}, folder / "pytorch_model.bin")
    with pytest.raises(DescriberUnavailableError, match="safetensors"):
        make_describer(f"llava:{folder}").describe(fresh_picture())


def test_code_that_comes_with_a_model_is_not_run(tiny, tmp_path):
    import json

    folder = _emptied(tiny, tmp_path / "remote", "")
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"] = {"AutoConfig": "evil.Evil", "AutoModelForImageTextToText": "evil.Evil"}
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "evil"}))
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Evil: pass\n")
    with pytest.raises(DescriberUnavailableError):
        make_describer(f"llava:{folder}").describe(fresh_picture())
    assert not (tmp_path / "ran").exists()


def test_a_model_that_cannot_see_is_refused(tmp_path):
    from transformers import GPT2Config

    GPT2Config().save_pretrained(tmp_path / "blind")
    with pytest.raises(DescriberUnavailableError, match="does not answer questions about pictures"):
        make_describer(f"llava:{tmp_path / 'blind'}").describe(fresh_picture())


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("llava:no-such-folder", "no-such-folder"),
        ("llava?bits=5", "bits"),
        ("llava?bits=many", "bits"),
        ("llava?quality=high", "quality"),
        ("llava?questions=mine", "questions"),
        ("llava?max_new_tokens=0", "max_new_tokens"),
        ("llava?keep=maybe", "keep"),
        ("llava?batch=0", "batch"),
        ("oracle", "oracle"),
        ("", "describer"),
    ],
)
def test_specs_that_cannot_be_are_refused(spec: str, said: str):
    with pytest.raises(XPSRError, match=said) as caught:
        make_describer(spec)
    assert str(caught.value).endswith(".")


# The cache of the hub, and auto -----------------------------------------------------------------


@pytest.fixture
def cache(tiny, tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def test_a_model_of_the_hub_is_found_in_the_cache_and_named_with_its_revision(tiny, cache):
    revision = save_as_cached(tiny, cache, "llava-hf/tiny")
    found = make_describer(f"llava:llava-hf/tiny?{QUICK}").describe(fresh_picture())
    assert found.source == f"llava-hf/tiny@{revision[:7]}"


def test_the_default_without_its_weights_says_what_to_do(cache):
    with pytest.raises(DescriberUnavailableError, match="llava-hf/llava-1.5-7b-hf is not on"):
        make_describer("llava").describe(fresh_picture())


def test_a_model_is_fetched_from_the_hub_once_and_without_its_pickles(
    tiny, cache, tmp_path, monkeypatch
):
    folder = _emptied(tiny, tmp_path / "repository", "")
    (folder / "pytorch_model.bin").write_bytes(b"a pickle")
    (folder / "modeling.py").write_text("raise SystemExit")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with hub({"llava-hf/fetched": folder}) as (address, fetched):
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", address)
        files = address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", files)
        found = make_describer(f"llava:llava-hf/fetched?{QUICK}").describe(fresh_picture())
    assert found.source == f"llava-hf/fetched@{COMMIT[:7]}"
    names = {name.removeprefix("llava-hf/fetched/") for name in fetched}
    assert "model.safetensors" in names
    assert not names & {"pytorch_model.bin", "modeling.py"}
    # The hub is gone, and is not missed.
    again = make_describer(f"llava:llava-hf/fetched?{QUICK}").describe(fresh_picture())
    assert again.source == found.source


def test_without_a_network_nobody_waits_for_long(cache, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    started = time.monotonic()
    with pytest.raises(DescriberUnavailableError, match="could not be fetched"):
        make_describer("llava").describe(fresh_picture())
    assert time.monotonic() - started < 25


def test_auto_without_a_gpu_measures_and_says_why(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    choice = auto.choose()
    assert choice.spec == "measured" and "no GPU" in choice.reason
    assert make_describer("auto").name == "measured"


def test_auto_with_a_gpu_wants_the_weights_here_and_room_for_them(tiny, cache, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert "weights" in auto.choose().reason and auto.choose().spec == "measured"
    save_as_cached(tiny, cache, auto.MODEL)
    for free, spec in ((2**40, "llava?bits=16&revision=main"), (2**20, "measured")):
        monkeypatch.setattr("xpsr.placement.free_bytes", lambda device, free=free: free)
        assert auto.choose().spec == spec
    (cache / "models--llava-hf--llava-1.5-7b-hf" / "refs" / "main").write_text("f" * 40)
    assert auto.choose().spec == "measured"


# A real server ----------------------------------------------------------------------------------


@contextlib.contextmanager
def transformers_serve(tiny: Path, home: Path) -> Iterator[str]:
    """`transformers serve` on loopback, with the tiny model in its cache."""
    save_as_cached(tiny, home / "hub", "test/tiny-llava")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "transformers.cli.transformers", "serve"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    environment = {**os.environ, "HF_HOME": str(home), "HF_HUB_OFFLINE": "1"}
    with (home / "log").open("w") as log:
        process = subprocess.Popen(
            command, env={**environment, "OMP_NUM_THREADS": "1"}, stdout=log, stderr=log
        )
    try:
        end = time.monotonic() + 240  # a machine that is busy with other things
        while True:
            assert process.poll() is None and time.monotonic() < end, (home / "log").read_text()
            with contextlib.suppress(httpx.TransportError):
                httpx.get(f"http://127.0.0.1:{port}/health", timeout=2)
                break
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


def test_transformers_serve_describes_for_real(tiny, tmp_path):
    picture = fresh_picture()
    with transformers_serve(tiny, tmp_path) as address:
        found = make_describer(f"{address}?max_new_tokens=12").describe(picture)
        assert found.source == f"test/tiny-llava at {address}/v1"
        for text, question in (
            (found.high, QUESTIONS["paper"].high),
            (found.low, QUESTIONS["paper"].low),
        ):
            assert "<image>\n" in CHAT
            prompt = f"USER: <image>\n{question}\nASSISTANT:"
            assert text == answer_of_transformers(tiny, picture, prompt, 12)
        with pytest.raises(XPSRError, match="server at"):
            make_describer(f"{address}?model=test/none").describe(fresh_picture())
