"""Ctrl-C: one sentence says what is kept and how to go on, and the exit code is that of a stop."""

import signal
import sys
from pathlib import Path

import pytest
import typer
from training_help import Unstopped

import train.__main__ as training
from train import stopping
from train.data import Samples
from train.terminal import sentences


@pytest.mark.parametrize(
    ("place", "size"),
    [("RANK", "WORLD_SIZE"), ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE")],
    ids=["torchrun", "mpirun"],
)
def test_a_stop_is_told_once_whatever_the_number_of_processes(
    place, size, tmp_path, monkeypatch, capsys
):
    def stopped(*_) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "read_series", stopped)
    monkeypatch.setenv(size, "2")
    for rank, said in (("0", "goes on from the newest checkpoint"), ("1", None)):
        monkeypatch.setenv(place, rank)
        with pytest.raises(typer.Exit) as ended:
            training.main(tmp_path)
        err = capsys.readouterr().err
        assert ended.value.exit_code == 130 and (said in err if said else not err)
    monkeypatch.delenv(place)
    with pytest.raises(typer.Exit), sentences():
        stopped()
    assert "What is finished is kept" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="no other process sends it there")
def test_sigterm_is_a_stop_but_under_a_launcher(monkeypatch, capsys):
    """A launcher ends processes so that wait for one that failed: they must not try to go on."""
    usual = signal.getsignal(signal.SIGTERM)
    with pytest.raises(typer.Exit) as ended, sentences():
        signal.raise_signal(signal.SIGTERM)
    assert ended.value.exit_code == 143 and "What is finished is kept" in capsys.readouterr().err
    assert signal.signal(signal.SIGTERM, usual) == signal.SIG_IGN  # a second one ends nothing
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with sentences():
        assert signal.getsignal(signal.SIGTERM) == usual


def test_a_stop_while_libraries_load_is_no_traceback(monkeypatch, capsys):
    code = Path(stopping.__file__).read_text()
    usual = sys.excepthook
    monkeypatch.setattr(sys, "excepthook", usual)  # put back at the end
    exec(code, {})
    assert sys.excepthook is usual  # a library leaves it alone
    monkeypatch.setattr(sys, "argv", ["-m", "--images", "photos"])
    exec(code, {})
    for error, said in (
        (KeyboardInterrupt(), "Stopped before"),
        (ValueError("x"), "ValueError: x"),
    ):
        sys.excepthook(type(error), error, None)
        assert said in capsys.readouterr().err


def test_workers_of_the_loader_leave_a_stop_to_the_run():
    """To torch one that has ended is an error, which it tells in a traceback."""
    assert next(Samples.loader(Unstopped(), [[0]]))
