"""Descriptions at scale: the command's file that runs resume and share, and its lines on stderr."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from describing_server import HIGH, LOW, Server, serving
from PIL import Image
from training_help import LAUNCH_TWO, start

from xpsr.__main__ import app
from xpsr.cli.pace import Pace
from xpsr.errors import XPSRError
from xpsr.launch import own_share
from xpsr.prompts.batch import describe_many
from xpsr.prompts.describer import Description
from xpsr.prompts.measured import MeasuredDescriber


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with serving() as one:
        yield one


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run `describe` in this process: (exit code, stdout, stderr)."""

    def describe(*arguments: str | Path) -> tuple[int, str, str]:
        capfd.readouterr()
        with pytest.raises(SystemExit) as ending:
            app(["describe", *map(str, arguments)], prog_name="python -m xpsr")
        return int(ending.value.code or 0), *capfd.readouterr()

    return describe


@pytest.fixture
def folder(picture, tmp_path: Path) -> Path:
    """Six different pictures."""
    (tmp_path / "photos").mkdir()
    for index in range(6):
        picture(40 + index, 30).save(tmp_path / "photos" / f"{index}.png")
    return tmp_path / "photos"


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_run_fills_the_file_and_says_how_fast(run, folder, server):
    out = folder.parent / "words.jsonl"
    code, printed, said = run(folder, "--describer", server.url, "--out", out)
    assert code == 0 and printed == ""
    found = lines(out)
    assert [Path(record["input"]).name for record in found] == [f"{n}.png" for n in range(6)]
    expected = {"high": HIGH, "low": LOW, "source": f"first at {server.url}"}
    expected |= {"input": "", "describer": server.url, "file": {}}
    assert all({**record, "input": "", "file": {}} == expected for record in found)
    assert len({record["file"]["hash"] for record in found}) == 6
    assert "6 of 6 pictures in" in said and "a second" in said
    assert not out.with_name("words.failed.jsonl").exists()


def test_a_stopped_run_goes_on_and_a_cut_line_is_done_again(run, folder, server):
    out = folder.parent / "words.jsonl"
    run(folder, "--describer", "measured", "--out", out)
    whole = out.read_bytes().splitlines(keepends=True)
    out.write_bytes(b"".join(whole[:3]) + whole[3][:20])
    code, _, said = run(folder, "--describer", "measured", "--out", out)
    assert code == 0 and "3 of 6 pictures are in" in said and "(by measured)" in said
    assert out.read_bytes().splitlines(keepends=True) == whole


def test_failures_are_kept_apart_and_tried_again(run, folder, server):
    out, failed = folder.parent / "words.jsonl", folder.parent / "words.failed.jsonl"
    (folder / "2.png").rename(folder.parent / "whole.png")
    (folder / "2.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    code, _, said = run(folder, "--describer", server.url, "--out", out)
    assert code == 1 and "2.png: " in said and "1 failed" in said
    assert len(lines(out)) == 5
    (record,) = lines(failed)
    assert set(record) == {"input", "error"} and record["input"] == str(folder / "2.png")

    (folder.parent / "whole.png").replace(folder / "2.png")
    asked = len(server.asked)
    code, _, said = run(folder, "--describer", server.url, "--out", out)
    assert code == 0 and len(lines(out)) == 6 and not failed.exists()
    assert len(server.asked) == asked + 2


def test_an_empty_answer_is_no_caption(run, folder, server):
    server.mood = "empty"
    out = folder.parent / "words.jsonl"
    code, _, _ = run(folder, "--describer", server.url, "--out", out)
    assert code == 1 and lines(out) == []
    assert len(lines(folder.parent / "words.failed.jsonl")) == 6


def test_a_describer_of_ones_own_that_says_nothing_is_an_error(picture):
    class Mute:
        name = "mute"

        def describe(self, image: Image.Image) -> Description:
            return Description(" ", "low", "mute")

    ((_, found),) = describe_many(Mute(), [("a", picture(32, 32))])
    assert isinstance(found, XPSRError) and "empty" in str(found)


def test_a_lost_server_ends_the_run_and_the_next_one_does_the_rest(run, folder, monkeypatch):
    monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.01)  # half a second and more
    with serving() as server:
        address = server.url
    out = folder.parent / "words.jsonl"
    code, _, said = run(folder, "--describer", address, "--out", out)
    assert code == 1 and said.count("cannot be reached") == 1 and "run the same command" in said
    assert len(lines(folder.parent / "words.failed.jsonl")) == 1
    code, printed, said = run(folder, "--describer", address)
    assert code == 1 and "Traceback" not in said
    assert all("cannot be reached" in json.loads(line)["error"] for line in printed.splitlines())
    assert len(printed.splitlines()) == 6


def test_processes_share_the_work_and_the_file(run, folder, monkeypatch):
    out = folder.parent / "words.jsonl"
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank in ("1", "0"):
        monkeypatch.setenv("RANK", rank)
        code, _, _ = run(folder, "--describer", "measured", "--out", out)
        assert code == 0
    order = [int(Path(record["input"]).stem) for record in lines(out)]
    assert order == [1, 3, 5, 0, 2, 4]


@pytest.mark.timeout(600)
def test_two_processes_of_a_launcher_share_the_work_and_wait_for_each_other(folder, server):
    """One is done at once, with failures; its exit code must not end the other."""
    for number in (0, 2, 4):
        (folder / f"{number}.png").write_bytes(b"broken")
    server.seconds = 0.5
    out = folder.parent / "words.jsonl"
    describe = ["xpsr", "describe", str(folder), "--describer", f"{server.url}?concurrency=1"]
    process = start([*describe, "--out", str(out)], LAUNCH_TWO)
    _, log = process.communicate()
    assert process.returncode == 1 and "3 failed" in log, log
    assert [Path(record["input"]).stem for record in lines(out)] == ["1", "3", "5"]
    failed = lines(folder.parent / "words.failed.jsonl")
    assert [Path(record["input"]).stem for record in failed] == ["0", "2", "4"]


def test_shares_are_whole_and_apart(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "3")
    parts = []
    for rank in range(3):
        monkeypatch.setenv("RANK", str(rank))
        parts += own_share(list(range(10)))
    assert sorted(parts) == list(range(10))
    monkeypatch.setenv("RANK", "none")
    assert own_share([1, 2]) == [1, 2]
    monkeypatch.setenv("OMPI_COMM_WORLD_RANK", "1")  # of mpirun
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "2")
    assert own_share([1, 2]) == [2]


@pytest.mark.parametrize("content", ["not json\n", "[]\n", '{"id": 1}\n'])
def test_a_file_of_something_else_is_left_alone(run, folder, content: str):
    out = folder.parent / "notes.jsonl"
    out.write_text(content)
    code, _, said = run(folder, "--out", out)
    assert code == 2 and "Line 1" in said and out.read_text() == content


@pytest.mark.parametrize("content", [b"notes without a line break", b"\x89PNG\r\n\x1a\n\x00rest"])
def test_nor_is_it_cut_short(run, folder, content: bytes):
    """The end of a file of ours may be half a line; that of another is no business of ours."""
    out = folder.parent / "holiday.png"
    out.write_bytes(content)
    code, _, said = run(folder, "--out", out)
    assert code == 2 and "choose another --out" in said and out.read_bytes() == content


def test_a_place_that_cannot_be_written_is_said_first(run, folder):
    code, printed, said = run(folder, "--out", folder / "no" / "such" / "words.jsonl")
    assert code == 2 and "--out" in said and printed == ""


def test_items_are_taken_as_they_are_needed_and_a_stop_stops(picture):
    taken = []

    def items() -> Iterator[tuple[int, Image.Image]]:
        for index in range(1000):
            taken.append(index)
            yield index, picture(32, 32)

    many = describe_many(MeasuredDescriber(), items())
    assert next(many)[0] == 0
    many.close()
    assert len(taken) < 10


def test_the_pace_tells_the_rate_and_the_time_left(monkeypatch):
    clock = iter([0.0, 0.0, 10.0, 12.0])
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    said: list[str] = []
    pace = Pace(100, said.append)
    pace.started = pace.said = 0.0
    monkeypatch.setattr("time.monotonic", lambda: 10.0)
    for _ in range(20):
        pace.count(failed=False)
    assert said == ["1 of 100 pictures, 0.1 a second, about 16 min left"]
