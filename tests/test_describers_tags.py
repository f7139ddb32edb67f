"""The describer tags: the golden tagger, as the authors' files and as a converted model."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
import torch
from command_line import process
from PIL import Image
from safetensors.torch import load_file
from tiny_dape import CONFIG, DAPE, RAM, SAID, SEESR, tiny_dape

from studio import words as page_words
from studio.restore import words
from studio.texts import described
from xpsr.errors import XPSRError
from xpsr.models import DAPEModel
from xpsr.prompts import tags
from xpsr.prompts.batch import describe_many
from xpsr.prompts.describer import make_describer, stream
from xpsr.prompts.description import DescriberUnavailableError
from xpsr.prompts.measured import MeasuredDescriber
from xpsr.prompts.provenance import Origin, from_runs, to_runs, trace

TEXTS = [f"{tags}," for tags in SAID["expected_tags_dape"]]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model in diffusers' layout, as far as its tagger goes."""
    folder = tmp_path_factory.mktemp("model")
    tiny_dape().save_pretrained(folder / "tagger")
    return folder


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The authors' two files; of golden size, which the describer cannot know."""
    torch.save({"model": load_file(RAM)}, tmp_path / "RAM_Swin_Large_14M.pth")
    torch.save(load_file(DAPE), tmp_path / "dape.pth")
    official = partial(DAPEModel.from_official, config=CONFIG)
    monkeypatch.setattr(DAPEModel, "from_official", official)
    return tmp_path


@pytest.fixture(scope="module")
def pictures() -> list[Image.Image]:
    golden = load_file(SEESR / "dape.safetensors")
    found = [golden[f"in.lr_image_{size}"][0] for size in ("40x52", "150x180")]
    return [Image.fromarray((one.permute(1, 2, 0) * 255).round().byte().numpy()) for one in found]


def test_of_a_converted_model(model, pictures):
    for folder in (model, model / "tagger"):
        describer = make_describer(f"tags:{folder}")
        for picture, tagged in zip(pictures, TEXTS, strict=True):
            said = describer.describe(picture)
            assert (said.high, said.source) == (tagged, "tags")
            assert said.low == MeasuredDescriber().describe(picture).low


def test_of_the_authors_files(files, pictures):
    said = make_describer(f"tags:{files}?device=cpu").describe(pictures[1])
    assert said.high == TEXTS[1]
    (files / "dape.pth").unlink()
    shutil.copy(DAPE, files / "DAPE.safetensors")
    assert make_describer(f"tags:{files}").describe(pictures[1]).high == TEXTS[1]


def test_says_what_is_missing(tmp_path):
    both = r"has no tagger.*ram_swin_large_14m.pth and DAPE.pth.*github.com/cswry/SeeSR"
    with pytest.raises(DescriberUnavailableError, match=both):
        make_describer(f"tags:{tmp_path}")
    shutil.copy(RAM, tmp_path / "ram_swin_large_14m.pth")
    with pytest.raises(DescriberUnavailableError, match="has no DAPE.pth"):
        make_describer(f"tags:{tmp_path}")
    with pytest.raises(DescriberUnavailableError, match="no folder .*nowhere with a tagger"):
        make_describer(f"tags:{tmp_path / 'nowhere'}")
    for bare in ("tags", "tags:"):
        with pytest.raises(DescriberUnavailableError, match="Name the folder of SeeSR's tagger"):
            make_describer(bare)
    with pytest.raises(XPSRError, match="no option.*choose among device"):
        make_describer(f"tags:{tmp_path}?bits=4")
    with pytest.raises(XPSRError, match="tags:FOLDER"):
        make_describer("oracle")


def test_another_network_is_no_tagger(tmp_path):
    shutil.copytree(SEESR.parent / "xpsr" / "tiny" / "unet", tmp_path / "unet")
    with pytest.raises(DescriberUnavailableError, match="has no tagger"):
        make_describer(f"tags:{tmp_path / 'unet'}")


def test_what_cannot_be_loaded_ends_all(files, pictures):
    (files / "dape.pth").write_text("<!DOCTYPE html><html></html>")
    describer = make_describer(f"tags:{files}")
    found = dict(describe_many(describer, enumerate(pictures)))
    assert all(isinstance(one, DescriberUnavailableError) for one in found.values())
    assert "web page" in str(found[0])
    with pytest.raises(DescriberUnavailableError, match="no device"):
        make_describer(f"tags:{files}?device=tpu").describe(pictures[0])


def test_no_tag_is_no_caption(tmp_path, pictures):
    never = {**CONFIG, "thresholds": [1.0] * 6}
    DAPEModel.from_official(RAM, DAPE, config=never).save_pretrained(tmp_path)
    describer = make_describer(f"tags:{tmp_path}")
    with pytest.raises(XPSRError, match="sure of nothing") as caught:
        describer.describe(pictures[0])
    assert not isinstance(caught.value, DescriberUnavailableError)  # the next one may have some
    with pytest.raises(XPSRError, match="16"):
        describer.describe(Image.new("RGB", (9, 9)))


def test_loaded_once_by_many_threads(model, pictures, monkeypatch):
    import xpsr.parts as parts

    read, loaded = parts.read_part, []

    def counting(*given):
        loaded.append(given)
        return read(*given)

    monkeypatch.setattr(parts, "read_part", counting)
    describer = make_describer(f"tags:{model}")
    assert not loaded
    with ThreadPoolExecutor(4) as pool:
        found = [*pool.map(lambda n: describer.describe(pictures[n % 2]).high, range(8))]
    assert found == TEXTS * 4
    assert len(loaded) == 1


def test_whoever_waits_gets_the_turn_now_and_then(model, pictures, monkeypatch):
    monkeypatch.setattr(tags, "TICK", 0.0)
    *before, last = stream(make_describer(f"tags:{model}"), pictures[0])
    assert {(one.high, one.low, one.source) for one in before} == {("", "", "tags")}
    assert last.high == TEXTS[0]


def test_whose_sentences_they_are(model, pictures):
    said = make_describer(f"tags:{model}").describe(pictures[1])
    high, low = described(said)
    assert [one.origin for one in high] == [Origin("tags")]
    assert {one.origin for one in low} == {Origin("measured")} and len(low) > 2
    edited = trace(said.high.replace("parrot", "sparrow"), high)
    assert [one.origin for one in edited] == [Origin("edited", "tags")]
    assert from_runs(said.high, to_runs(high)) == high


def test_the_page_says_who_tells_what():
    assert "faults are measured" in page_words.describer("tags")
    assert "SeeSR's tagger" in words.described("tags", remembered=False)
    assert words.origin_count("tags", 1) == "tags"


def test_from_the_command_line(xpsr, model, pictures, tmp_path):
    path = tmp_path / "low.png"
    pictures[1].save(path)
    done = process("describe", path, "--describer", f"tags:{model}")
    assert done.code == 0, done.err
    (line,) = done.records
    assert (line["high"], line["source"]) == (TEXTS[1], "tags")
    refused = xpsr("describe", path, "--describer", f"tags:{tmp_path}")
    assert refused.code != 0 and "has no tagger" in refused.err
    assert "Traceback" not in refused.err
