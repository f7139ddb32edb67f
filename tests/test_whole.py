"""Files that are there whole or not at all."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from xpsr.whole import whole


def test_of_several_writers_the_last_has_the_whole_file(tmp_path: Path) -> None:
    path, together = tmp_path / "result.png", threading.Barrier(4)
    failed: list[BaseException] = []

    def write(letter: bytes) -> None:
        try:
            for _ in range(20):
                with whole(path) as part, part.open("wb") as file:
                    together.wait(10)
                    file.write(letter * 5000)
                    file.flush()
                    file.write(letter * 5000)
        except BaseException as error:
            together.abort()
            failed.append(error)

    writers = [
        threading.Thread(target=write, args=(letter,)) for letter in (b"a", b"b", b"c", b"d")
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    found = path.read_bytes()
    assert not failed and len(found) == 10_000 and len(set(found)) == 1
    assert [*tmp_path.iterdir()] == [path]


@pytest.mark.parametrize("name", ["n" * 255, "\N{GRINNING FACE}" * 62], ids=["plain", "faces"])
def test_a_name_may_be_as_long_as_names_can_be(tmp_path: Path, name: str) -> None:
    with whole(tmp_path / name) as part:
        part.write_text("all of it")
    assert [*tmp_path.iterdir()] == [tmp_path / name]


def test_what_fails_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    (path := tmp_path / "note.txt").write_text("before")
    with pytest.raises(RuntimeError), whole(path) as part:
        part.write_text("half")
        raise RuntimeError
    assert path.read_text() == "before" and [*tmp_path.iterdir()] == [path]
