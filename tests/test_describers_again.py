"""Texts that are there already, of pictures that have changed since, and by another describer."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import Done
from describing_server import HIGH, serving
from PIL import Image

from xpsr.cli import ledger as ledgers
from xpsr.cli.ledger import Ledger
from xpsr.prompts.author import author


@pytest.fixture
def folder(picture, tmp_path: Path) -> Path:
    """Three different pictures."""
    (tmp_path / "photos").mkdir()
    for index in range(3):
        picture(40 + index, 30).save(tmp_path / "photos" / f"{index}.png")
    return tmp_path / "photos"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "words.jsonl"


@pytest.fixture
def described(xpsr, folder, out) -> Callable[..., str]:
    """What `describe FOLDER --out OUT` says with these options."""

    def run(*options: str) -> str:
        done: Done = xpsr("describe", folder, "--out", out, *options)
        assert (done.code, done.out) == (0, ""), done.err
        return done.err

    return run


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_picture_that_has_changed_is_described_again(described, folder, out):
    described()
    before = lines(out)
    Image.new("RGB", (40, 30), "navy").save(folder / "1.png")
    said = described()
    assert "2 of 3 pictures are in" in said
    assert "1 picture has changed since: described again." in said
    after = lines(out)
    assert [line["input"] for line in after] == [line["input"] for line in before]
    assert [new == old for new, old in zip(after, before, strict=True)] == [True, False, True]
    assert "dark blue all over" in after[1]["high"]
    assert "changed since" not in described()


def test_a_picture_that_has_become_of_no_use_keeps_its_text_and_is_tried_again(
    xpsr, described, folder, out
):
    described()
    before = lines(out)
    (folder / "1.png").write_bytes(b"broken")
    for _ in range(2):
        done = xpsr("describe", folder, "--out", out)
        assert done.code == 1 and "1.png: " in done.err and "changed since" not in done.err
        assert lines(out) == before


def test_copies_of_the_pictures_are_the_same_whatever_their_date(described, folder, out):
    described()
    before = lines(out)
    os.utime(folder / "2.png", ns=(1, 1))
    assert "3 of 3 pictures are in" in described()
    before[2]["file"]["mtime_ns"] = 1
    assert lines(out) == before


def test_a_describer_that_is_named_replaces_the_texts_of_others(described, folder, out):
    described()
    with serving() as server:
        address = server.url.replace("//", "//anna:geheim@")
        said = described("--describer", f"{address}?concurrency=2")
        assert f"have texts by measured; they are described anew by {server.url}." in said
        assert {line["high"] for line in lines(out)} == {HIGH} and len(lines(out)) == 3
        assert {line["describer"] for line in lines(out)} == {server.url}
        asked = len(server.asked)
        assert "texts by" not in described("--describer", f"{address}?concurrency=3&timeout=9")
        assert len(server.asked) == asked  # asked in another manner, it says the same
    for options in ((), ("--describer", "auto")):
        said = described(*options)
        assert f"3 of 3 pictures have texts by {server.url}, which are kept; name" in said
        assert {line["high"] for line in lines(out)} == {HIGH}


def test_texts_of_others_stay_until_there_are_new_ones(xpsr, described, folder, out):
    described()
    before = lines(out)
    with serving() as server:
        address = server.url
    assert xpsr("describe", folder, "--out", out, "--describer", address).code == 1
    assert lines(out) == before


def test_a_file_of_an_earlier_version_goes_on_and_that_is_told_once(described, folder, out):
    described()
    before = lines(out)
    old = [{key: line[key] for key in ("input", "high", "low", "source")} for line in before]
    out.write_text("".join(json.dumps({**line, "high": "Own."}) + "\n" for line in old))
    said = described("--describer", "measured")
    assert "For 3 texts in" in said and "texts by" not in said
    assert [line["high"] for line in lines(out)] == ["Own."] * 3  # none was described anew
    assert [line["file"] for line in lines(out)] == [line["file"] for line in before]
    assert "not noted yet" not in described()
    assert "texts by measured; they are described anew by dalpsr" in described(
        "--describer", "dalpsr"
    )


def test_who_waits_for_a_file_that_is_replaced_writes_to_the_new_one(out):
    ledger = Ledger(out, [])
    for text in ("first", "second"):
        ledger.add({"input": "a", "high": text})
    with ledgers._locked(out):
        waiting = threading.Thread(target=ledger.add, args=({"input": "b"},))
        waiting.start()
        waiting.join(0.2)
        assert waiting.is_alive()
        shutil.copy(out, out.with_suffix(".new"))
        out.with_suffix(".new").replace(out)
    waiting.join()
    ledger.forget_replaced()
    assert lines(out) == [{"input": "a", "high": "second"}, {"input": "b"}]


@pytest.mark.parametrize(
    ("spec", "who"),
    [
        ("measured", "measured"),
        ("llava?batch=8&bits=4&keep=yes", "llava?bits=4"),
        ("llava:folder?device=cpu", "llava:folder"),
        ("https://anna:a@b@host/v1?timeout=9&model=a@b", "https://host/v1?model=a@b"),
        ("http://host:8000", "http://host:8000/v1"),
        ("http://host/?model=a", "http://host/v1?model=a"),
        ("http://host/openai/v1", "http://host/openai/v1"),
    ],
)
def test_an_author_is_whoever_would_say_the_same(spec, who):
    assert author(spec) == who
