"""Which photos a folder holds, and names that are none."""

import os
from pathlib import Path

import pytest

from train.files import find_photos, named_photos
from train.manifest import read_manifest
from train.pairing import PrepareConfig
from train.prepare import prepare
from train.report import degraded


@pytest.fixture
def photos(tmp_path, picture) -> Path:
    """A photo whose name is of another age, no UTF-8."""
    folder = tmp_path / "photos"
    folder.mkdir()
    try:
        picture(64, 64).save(folder / os.fsdecode(b"caf\xe9.png"))
    except OSError:  # as on macOS
        pytest.skip("this disk holds no such names")
    return folder


def test_a_name_that_is_no_text_is_a_photo_like_others(photos, tmp_path):
    out = tmp_path / "pairs"
    for _ in range(2):
        assert not [said for *_, said in prepare(photos, out, PrepareConfig(size=64)) if said]
        (line,) = read_manifest(out)
        assert line["photo"] == r"caf\xe9.png"
    assert [*named_photos(photos, out)] == [r"caf\xe9.png"]
    made = degraded(photos, "mild", tmp_path / "made", None)
    assert [path.name for path in made.low.iterdir()] == [r"caf\xe9.png"]


def test_photos_of_every_kind_are_found_and_notes_of_other_programs_are_not(tmp_path):
    """Phones write .heic and browsers .jfif; macOS puts ._photo.jpg beside photo.jpg."""
    kept = ["a.HEIC", "b.avif", "c.jfif", "d.JPG"]
    (tmp_path / ".thumbnails").mkdir()
    for name in (*kept, "._d.JPG", ".thumbnails/e.png", "notes.txt"):
        (tmp_path / name).touch()
    assert [path.name for path in find_photos(tmp_path)] == kept
