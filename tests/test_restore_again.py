"""Commands on a folder that is in use, or that holds results already."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from command_line import QUICK

from xpsr.cli.lock import alone
from xpsr.errors import XPSRError

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def photos(picture, tmp_path: Path) -> Path:
    """Three small pictures that differ."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for index, name in enumerate("abc"):
        picture(24 + index, 20).save(folder / f"{name}.png")
    return folder


def test_a_folder_is_of_one_command_at_a_time(
    xpsr, photos: Path, tiny: Path, tmp_path: Path, monkeypatch
) -> None:
    out, maps = tmp_path / "out", tmp_path / "maps"
    commands = (
        ("restore", photos, "--out", out),
        ("restore", photos, "--out", tmp_path / "free", "--word-maps", out),
        ("ablate", photos / "a.png", "--plan", "levels", "--out", tmp_path / "free" / ".." / "out"),
        ("evaluate", "--lr", photos, "--out", out),
    )
    with alone(out, maps):
        for command in commands:
            done = xpsr(*command, "--model", tiny, *QUICK)
            assert (done.code, done.out) == (2, ""), command
            assert f"at work in {out}" in done.err
        monkeypatch.setenv("RANK", "1")
        monkeypatch.setenv("WORLD_SIZE", "2")
        with alone(out, shared=True):  # the first process of a launch holds it for the others
            pass
    assert not out.exists() and not (tmp_path / "free").exists()
    with pytest.raises(XPSRError), alone(out), alone(out):
        pass
    assert xpsr("restore", photos / "a.png", "--out", out, "--model", tiny, *QUICK).code == 0
    assert [path.name for path in out.iterdir()] == ["a.png"]


def test_where_no_lock_can_be_had_it_is_said(tmp_path: Path, monkeypatch, capfd) -> None:
    def nowhere() -> str:
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found")

    with monkeypatch.context() as patched:
        patched.setattr("tempfile.gettempdir", nowhere)
        with alone(tmp_path):
            pass
    assert "(No usable temporary directory found): start none" in capfd.readouterr().err
