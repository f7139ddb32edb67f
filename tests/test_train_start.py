"""What a run begins with: where `model.start` leads, and what stops it from being built."""

import os
import signal
from contextlib import contextmanager
from functools import partial

import pytest
import torch
import typer
from training_help import CONFIGS, make_photos

import train.__main__ as command
from train import networks, report, stretch, validate
from train.__main__ import main
from train.config import ModelConfig, read_config
from train.networks import make_networks
from xpsr.cli.lock import alone
from xpsr.errors import XPSRError


def no_data(_tokenizer) -> None:
    raise RuntimeError("the pictures cannot be read")


def test_a_pipeline_on_the_hub_goes_on_with_its_own_weights(tiny_pipeline, tmp_path, monkeypatch):
    """And not with fresh ones on its UNet: what is fetched tells what it is."""
    tiny_pipeline.save_pretrained(tmp_path / "fetched")
    fetched = {"someone/tiny": tmp_path / "fetched"}
    monkeypatch.setattr(networks, "find_model", lambda name, _: fetched[name])
    found = make_networks(ModelConfig(start="someone/tiny"), no_data, seed=0)
    for part in ("unet", "controlnet"):
        saved = getattr(tiny_pipeline, part).state_dict()
        assert all(torch.equal(v, saved[k]) for k, v in getattr(found, part).state_dict().items())


def test_the_networks_of_a_seesr_alone_are_no_start(golden):
    folder = golden.parent / "seesr" / "tiny"
    with pytest.raises(XPSRError, match="the networks of a SeeSR alone: python -m xpsr convert"):
        make_networks(ModelConfig(start=str(folder)), no_data, seed=0)


def test_an_official_checkpoint_alone_is_no_start(golden):
    with pytest.raises(XPSRError, match="holds only a part of a model"):
        make_networks(ModelConfig(start=str(golden / "tiny")), no_data, seed=0)


def test_what_goes_wrong_with_the_data_is_not_laid_to_the_tables():
    config = read_config(CONFIGS / "smoke.yaml", ["data=x", "out=y"]).model
    with pytest.raises(RuntimeError, match="the pictures cannot be read"):
        make_networks(config, no_data, seed=0)


def test_a_second_run_in_a_folder_is_refused_and_leaves_it_alone(tmp_path, capsys):
    photos, out = make_photos(tmp_path / "photos"), tmp_path / "run"
    overrides = [f"data={photos}", f"out={out}"]
    with alone(out):
        for command in (
            partial(main, CONFIGS / "smoke.yaml", overrides),
            partial(validate.main, photos, out),
            partial(report.main, out, photos),
            partial(stretch.main, CONFIGS / "mini_more.yaml", photos, out),
        ):
            with pytest.raises(typer.Exit) as ended:
                command()
            assert ended.value.exit_code == 2
            assert f"Another command is at work in {out}: wait" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB."),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
        RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. "),
        ConnectionResetError(104, "Connection reset by peer"),
    ],
    ids=lambda error: str(error)[:10],
)
def test_too_little_memory_is_a_sentence_of_the_training(error, tmp_path, monkeypatch, capsys):
    def run(_config) -> None:
        raise error

    monkeypatch.setattr(command, "run", run)
    with pytest.raises(typer.Exit) as ended:
        main(CONFIGS / "smoke.yaml", ["data=x", f"out={tmp_path}"])
    assert ended.value.exit_code == 2
    assert "not enough memory. What needs less: a smaller batch_size" in capsys.readouterr().err


@pytest.mark.skipif(os.name == "nt", reason="no SIGCHLD")
def test_a_killed_worker_is_told_once(tmp_path, monkeypatch, capsys):
    """torch raises whenever a worker ends, also of those that are ended for the sake of the one."""

    def ended(*_) -> None:
        os.kill(os.getpid(), signal.SIGCHLD)

    def tell(*_) -> None:
        raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. ")

    @contextmanager
    def ending(*_, **__):
        try:
            yield
        finally:
            ended()

    monkeypatch.setattr(command, "run", ended)
    monkeypatch.setattr(command, "alone", ending)
    before = signal.signal(signal.SIGCHLD, tell)
    try:
        with pytest.raises(typer.Exit):
            main(CONFIGS / "smoke.yaml", ["data=x", f"out={tmp_path}"])
    finally:
        signal.signal(signal.SIGCHLD, before)
    assert capsys.readouterr().err.count("not enough memory") == 1
