"""A full disk leaves nothing half behind and is told in a sentence."""

import errno
import os

import pytest
from PIL import Image

from train.disk import read_json, save_png, write_whole, writing
from xpsr.errors import XPSRError

# As Python, safetensors and torch say it.
FULL = [
    OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
    Exception("Error while serializing: I/O error: No space left on device (os error 28)"),
    RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0"),
]


@pytest.mark.parametrize("error", FULL, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("folder", [True, False])
def test_a_full_disk_is_told_and_cleared(error, folder, tmp_path):
    part = tmp_path / "part"
    told = pytest.raises(XPSRError, match="make room and run the same command again")
    with told, writing(part, "The checkpoint of step 3"):
        if folder:
            part.mkdir()
        (part / "half" if folder else part).write_text("half")
        raise error
    assert not part.exists()


def test_other_errors_stay_what_they_are(tmp_path):
    with pytest.raises(KeyError), writing(tmp_path / "part", "A file"):
        raise KeyError("weight")


def test_a_stop_in_the_middle_leaves_the_file_that_was_there(tmp_path, picture, monkeypatch):
    path = tmp_path / "state.json"
    write_whole(path, '{"a": "é"}')
    with pytest.raises(UnicodeEncodeError):
        write_whole(path, '{"a": "' + "b" * 10**6 + "\ud800")
    assert read_json(path, "mend it") == {"a": "é"}

    def stopped(self, file, kind):
        file.write_bytes(b"half")
        raise KeyboardInterrupt

    save_png(picture(8, 8), tmp_path / "a.png")
    monkeypatch.setattr(Image.Image, "save", stopped)
    for name in ("a.png", "b.png"):
        with pytest.raises(KeyboardInterrupt):
            save_png(picture(9, 9), tmp_path / name)
    assert {file.name for file in tmp_path.iterdir()} == {"state.json", "a.png"}
    assert Image.open(tmp_path / "a.png").size == (8, 8)


@pytest.mark.parametrize("content", [b"", b'{"a": ', b"[1]", b"\xff\xfe"])
def test_a_damaged_file_is_told(content, tmp_path):
    path = tmp_path / "state.json"
    path.write_bytes(content)
    with pytest.raises(XPSRError, match=r"state\.json is damaged: mend it\."):
        read_json(path, "mend it")
