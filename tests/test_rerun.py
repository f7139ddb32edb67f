"""`python -m xpsr rerun`: the same pixels again, or why not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from bad_files import photo
from command_line import QUICK

from xpsr.recipe import read_recipe

pytestmark = pytest.mark.usefixtures("one_thread")


def test_rerun(xpsr, tiny: Path, tmp_path: Path) -> None:
    photo().save(tmp_path / "a.jpg", quality=95)
    out = tmp_path / "out"
    run = xpsr("restore", tmp_path / "a.jpg", "--out", out, "--model", tiny, *QUICK)
    assert run.code == 0, run.err
    common = ("--out", tmp_path / "again", "--model", tiny)
    again = xpsr("rerun", out / "a.png", "--image", tmp_path / "a.jpg", *common)
    assert (again.code, again.out) == (0, "identical\n"), again.err
    assert read_recipe(tmp_path / "again" / "a.png") == read_recipe(out / "a.png")
    # A recipe alone, beside its picture; one value changed.
    recipe = json.loads(read_recipe(out / "a.png").to_json())
    (tmp_path / "same.json").write_text(json.dumps(recipe))
    assert xpsr("rerun", tmp_path / "same.json", *common).out == "identical\n"
    recipe["settings"]["seed"] = 5
    recipe["versions"]["torch"] = "1.0"
    recipe["hardware"] = "abacus"
    recipe["notes"] = ["Clear \x1b[2Jthe screen."]
    (tmp_path / "changed.json").write_text(json.dumps(recipe))
    changed = xpsr("rerun", tmp_path / "changed.json", *common)
    assert (changed.code, changed.out) == (1, "not identical\n")
    assert "version of torch: 1.0 then" in changed.err and "hardware: abacus then" in changed.err
    assert r"Clear \x1b[2Jthe screen." in changed.err and "\x1b" not in changed.err


def test_rerun_takes_number_format_and_device_of_then(xpsr, tiny: Path, tmp_path: Path) -> None:
    photo(32, 24).save(tmp_path / "a.png")
    common = ("--model", tiny, "--out")
    run = xpsr(
        "restore", tmp_path / "a.png", "--dtype", "bfloat16", *QUICK, *common, tmp_path / "b"
    )
    assert run.code == 0, run.err
    again = ("rerun", tmp_path / "b" / "a.png", "--image", tmp_path / "a.png", *common)
    assert xpsr(*again, tmp_path / "c").out == "identical\n"
    assert xpsr(*again, tmp_path / "e", "--device", "cpu:0").out == "identical\n"
    other = xpsr(*again, tmp_path / "d", "--dtype", "float32")
    assert other.code == 1 and "dtype: bfloat16 then, float32 now" in other.err

    recipe = json.loads(read_recipe(tmp_path / "b" / "a.png").to_json())
    recipe["device"] = "abacus"
    (tmp_path / "far.json").write_text(json.dumps(recipe))
    far = xpsr("rerun", tmp_path / "far.json", *common, tmp_path / "e")
    assert far.code == 1 and "made on the device abacus, which is not here" in far.err


def test_rerun_uses_as_many_threads_as_then(xpsr, tiny: Path, tmp_path: Path) -> None:
    """Another number of threads adds up in another order, so pixels would differ slightly."""
    import torch

    photo(32, 24).save(tmp_path / "a.png")
    restore = ("restore", tmp_path / "a.png", "--model", tiny, *QUICK)
    torch.set_num_threads(2)
    run = xpsr(*restore, "--out", tmp_path / "out")
    assert read_recipe(tmp_path / "out" / "a.png").threads == 2, run.err
    torch.set_num_threads(1)
    common = ("--image", tmp_path / "a.png", "--out", tmp_path / "again", "--model", tiny)
    assert xpsr("rerun", tmp_path / "out" / "a.png", *common).out == "identical\n"
    assert read_recipe(tmp_path / "again" / "a.png").threads == 2
    assert torch.get_num_threads() == 1  # as before

    recipe = json.loads(read_recipe(tmp_path / "out" / "a.png").to_json())
    recipe["output_sha256"] = "0" * 64
    del recipe["threads"]
    (tmp_path / "old.json").write_text(json.dumps(recipe))
    assert "does not say how many threads" in xpsr("rerun", tmp_path / "old.json", *common).err


def test_rerun_says_what_is_missing(xpsr, tiny: Path, tmp_path: Path) -> None:
    photo().save(tmp_path / "a.jpg", quality=95)
    out = tmp_path / "out"
    assert not xpsr("restore", tmp_path / "a.jpg", "-o", out, "--model", tiny, *QUICK).code
    common = ("--out", tmp_path / "again")
    for arguments, words in (
        ([out / "a.png", "--image", tmp_path / "a.jpg"], "--model"),  # not mini: which one?
        ([out / "a.png", "--model", tiny], "--image"),  # not beside the result
        ([tmp_path / "a.jpg", "--model", tiny], "recipe"),
        ([tmp_path / "nothing.png", "--model", tiny], "nothing.png"),
    ):
        run = xpsr("rerun", *arguments, *common)
        assert run.code == 2 and run.out == ""
        assert words in run.err and "Traceback" not in run.err
