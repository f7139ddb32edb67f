"""From a download of the authors' to a folder that opens by itself, and what is wrong with it."""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from collections import namedtuple

import pytest
import torch
from diffusers import ControlNetModel, UNet2DConditionModel
from safetensors.torch import load_file

import xpsr as library
from xpsr import conversion
from xpsr.errors import XPSRError
from xpsr.models.checkpoint import check
from xpsr.settings import Settings

WEIGHTS = "diffusion_pytorch_model.safetensors"
QUICK = Settings(num_inference_steps=1, upscale=2, process_size=0, seed=3)


@pytest.fixture
def official(golden, tmp_path):
    """A download that a test may damage."""
    shutil.copytree(golden / "tiny", tmp_path / "xpsr")
    return tmp_path / "xpsr"


@pytest.fixture(scope="module")
def base(tiny_pipeline, tmp_path_factory):
    folder = tmp_path_factory.mktemp("base")
    for name in ("vae", "text_encoder", "tokenizer", "scheduler"):
        getattr(tiny_pipeline, name).save_pretrained(folder / name)
    return folder


def pixels(model, picture, **where):
    *_, last = library.load(model, device="cpu", **where).stream(picture(16, 16), settings=QUICK)
    return last.recipe.output_sha256


def as_pickle(official, ending):
    for part in ("unet", "controlnet"):
        path = official / part / WEIGHTS
        torch.save(load_file(path), path.with_suffix(ending))
        path.unlink()


@pytest.mark.parametrize("ending", [".safetensors", ".bin", ".pth"])
def test_the_converted_folder_makes_the_same_pixels(
    xpsr, official, base, picture, tmp_path, ending
):
    if ending != ".safetensors":
        as_pickle(official, ending)
    expected = pixels(official, picture, base=base)
    done = xpsr("convert", official.parent, tmp_path / "out", "--base", base)
    (line,) = done.out.splitlines()
    assert done.code == 0, done.err
    assert json.loads(line)["output"] == str(tmp_path / "out")
    assert pixels(tmp_path / "out", picture) == expected
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert {path.suffix for path in files} <= {".json", ".safetensors", ".txt"}
    assert len({path.stat().st_mode for path in files}) == 1  # whoever shares the folder reads all
    assert not list(tmp_path.glob(".*.part"))
    assert str(tmp_path) not in (tmp_path / "out" / "unet" / "config.json").read_text()


def test_half_precision_halves_every_network(xpsr, official, base, tmp_path):
    done = xpsr("convert", official, tmp_path / "out", "--base", base, "--dtype", "float16")
    assert done.code == 0, done.err
    for part in ("unet", "controlnet", "vae"):
        stored = load_file(tmp_path / "out" / part / WEIGHTS)
        assert {value.dtype for value in stored.values()} == {torch.float16}
    refused = xpsr("convert", official, tmp_path / "other", "--base", base, "--dtype", "int8")
    assert refused.code == 2 and "float32, float16, bfloat16" in refused.err


def cut(official):
    path = official / "unet" / WEIGHTS
    path.write_bytes(path.read_bytes()[:-1000])


def web_page(official):
    page = "<!DOCTYPE html><html><title>Google Drive - Quota exceeded</title></html>"
    (official / "controlnet" / WEIGHTS).write_text(page)


def pointer(official):
    text = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 4430000000\n"
    (official / "unet" / WEIGHTS).write_text(text)


def empty(official):
    (official / "unet" / WEIGHTS).write_bytes(b"")


def unfinished(official):
    path = official / "unet" / WEIGHTS
    path.rename(path.with_name(f"{WEIGHTS}.crdownload"))


def no_config(official):
    (official / "unet" / "config.json").unlink()


def web_page_as_config(official):
    (official / "unet" / "config.json").write_text("<html>Sign in</html>")


def swapped(official):
    (official / "unet").rename(official / "other")
    (official / "controlnet").rename(official / "unet")
    (official / "other").rename(official / "controlnet")


def plain(official):
    config = json.loads((official / "unet" / "config.json").read_text())
    unet = UNet2DConditionModel.from_config(config)
    ControlNetModel.from_unet(unet).save_pretrained(official / "controlnet")
    unet.save_pretrained(official / "unet")


def zip_in_disguise(official):
    path = official / "unet" / WEIGHTS
    path.unlink()
    with zipfile.ZipFile(path.with_suffix(".bin"), "w") as archive:
        archive.writestr("readme.txt", "weights")


def of_another_checkpoint(official):
    path = official / "controlnet" / WEIGHTS
    shutil.copy(official.parent / "rrdb" / "controlnet" / WEIGHTS, path)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (cut, r"unet\S+ is damaged or cut short \([\d,]+ of [\d,]+ bytes\)"),
        (web_page, "web page that was saved in its place, as Google Drive does"),
        (pointer, "git lfs pull"),
        (empty, "is empty"),
        (unfinished, "has not come to its end"),
        (no_config, r"no config\.json"),
        (web_page_as_config, r"config\.json is no model file but a web page"),
        (swapped, "looks like an XPSR ControlNet"),
        (plain, "looks like a plain Stable Diffusion UNet"),
        (zip_in_disguise, "packed folder"),
        (of_another_checkpoint, "do not fit its config"),
    ],
)
def test_what_is_wrong_with_a_download_is_said(golden, official, damage, says):
    shutil.copytree(golden / "tiny_rrdb", official.parent / "rrdb")
    damage(official)
    with pytest.raises(XPSRError, match=says):
        raise XPSRError(" ".join(check(official).problems))


def test_what_is_not_whole_is_reported_and_never_converted(xpsr, official, base):
    cut(official)
    done = xpsr("convert", official, "--check")
    (record,) = done.records
    assert done.code == 1 and record["whole"] is False
    assert [part["name"] for part in record["parts"]] == ["controlnet"]
    assert len(record["problems"]) == 1 and record["problems"][0] in done.err
    refused = xpsr("convert", official, official.parent / "out", "--base", base)
    assert refused.code == 2 and refused.out == "" and refused.err.count("cut short") == 1
    assert not (official.parent / "out").exists()


def test_a_whole_one_is_told_with_its_sizes(xpsr, official):
    done = xpsr("convert", official, "--check")
    record = json.loads(done.out)
    assert done.code == 0 and record["whole"] and record["problems"] == []
    stored = [load_file(official / part["name"] / WEIGHTS) for part in record["parts"]]
    assert [part["weights"] for part in record["parts"]] == [
        sum(value.numel() for value in weights.values()) for weights in stored
    ]
    assert "not the size of the published one" in done.err


def packed(folder):
    with zipfile.ZipFile(folder / "xpsr-001.zip", "w") as archive:
        archive.writestr("unet/config.json", "{}")
    shutil.rmtree(folder / "xpsr")
    return folder


def half(folder):
    shutil.rmtree(folder / "xpsr" / "controlnet")
    return folder / "xpsr"


def inside(folder):
    return folder / "xpsr" / "unet"


def a_file(folder):
    return folder / "xpsr" / "unet" / WEIGHTS


def two(folder):
    shutil.copytree(folder / "xpsr", folder / "checkpoint-2")
    return folder


def around_a_complete_model(folder):
    (folder / "xpsr" / "model_index.json").write_text("{}")
    return folder


def stable_diffusion(folder):
    (folder / "model_index.json").write_text("{}")
    return folder


@pytest.mark.parametrize(
    ("arrange", "says"),
    [
        (packed, "still packed: unpack it"),
        (half, 'no "controlnet"'),
        (inside, "name the folder around it"),
        (a_file, "is a file"),
        (two, r"several checkpoints: checkpoint-2, xpsr"),
        (around_a_complete_model, "holds no model"),
        (stable_diffusion, "what --base asks for"),
        (lambda folder: folder / "absent", "There is no folder"),
        (lambda folder: folder / ("a" * 300), "name too long"),
        (lambda _: "~nobody-of-this-name/xpsr", "home directory"),
    ],
)
def test_wrong_folders_are_told_apart(official, arrange, says):
    with pytest.raises(XPSRError, match=says):
        check(arrange(official.parent))


def test_bases_are_checked_before_anything_is_written(xpsr, official, base, tmp_path):
    out = tmp_path / "out"
    for wrong, says in ((official, 'has no folder "vae"'), (_other_family(base, tmp_path), "32")):
        done = xpsr("convert", official, out, "--base", wrong)
        assert done.code == 2 and says in done.err
    done = xpsr("convert", official, out)  # built on no base that has a name
    assert done.code == 2 and "name its folder or hub id as base" in done.err
    assert not out.exists() and not list(tmp_path.glob(".*"))


def _other_family(base, tmp_path):
    other = shutil.copytree(base, tmp_path / "sd")
    path = other / "text_encoder" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "hidden_size": 32}))
    return other


def test_what_exists_is_not_touched(xpsr, official, base, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "model_index.json").write_text("{}")
    done = xpsr("convert", official, tmp_path / "out", "--base", base)
    assert done.code == 2 and "holds a model already" in done.err
    assert (tmp_path / "out" / "model_index.json").read_text() == "{}"


def test_too_little_room_is_told_before_a_byte_is_written(official, base, tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")(10**9, 10**9, 60_000_000)
    monkeypatch.setattr(conversion.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(XPSRError, match=r"takes \d+\.\d MB, and 0\.1 GB are free"):
        list(conversion.convert(official, tmp_path / "out", base=base))
    assert not list(tmp_path.rglob("*.part/unet"))


def test_an_interrupted_conversion_goes_on(official, base, picture, tmp_path):
    out, work = tmp_path / "out", conversion.convert(official, tmp_path / "out", base=base)
    for progress in work:
        if progress.part == "controlnet":  # the UNet is written
            break
    work.close()
    assert not out.exists()
    written = tmp_path / ".out.part" / "unet" / WEIGHTS
    before = written.stat().st_mtime_ns
    steps = list(conversion.convert(official, out, base=base))
    assert steps[-1].part == "whole" and steps[-1].done == steps[-1].total
    assert (out / "unet" / WEIGHTS).stat().st_mtime_ns == before
    assert pixels(out, picture) == pixels(official, picture, base=base)


def test_another_source_does_not_go_on_with_what_is_there(official, base, tmp_path):
    work = conversion.convert(official, tmp_path / "out", base=base)
    next(progress for progress in work if progress.part == "controlnet")
    work.close()
    list(conversion.convert(official, tmp_path / "out", base=base, dtype="float16"))
    stored = load_file(tmp_path / "out" / "unet" / WEIGHTS)
    assert {value.dtype for value in stored.values()} == {torch.float16}


def test_old_style_pickles_are_read(official, base, picture, tmp_path):
    expected = pixels(official, picture, base=base)
    for part in ("unet", "controlnet"):
        path = official / part / WEIGHTS
        file = io.BytesIO()
        torch.save(load_file(path), file, _use_new_zipfile_serialization=False)
        path.with_suffix(".bin").write_bytes(file.getvalue())
        path.unlink()
    assert check(official).problems == ()
    assert pixels(official, picture, base=base) == expected
