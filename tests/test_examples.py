"""What a newcomer runs first: the examples, and the Python of the README as it stands there."""

import importlib
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("name", ["make_pictures", "make_sheet", "restore", "two_prompts"])
def test_help_of_an_example_is_help_and_no_work(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    with pytest.raises(SystemExit) as ended:
        importlib.import_module(f"examples.{name}").main()
    assert ended.value.code == 0 and f"python -m examples.{name}" in capsys.readouterr().out


def test_an_example_says_what_is_wrong_with_a_picture(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["restore", str(tmp_path / "no.jpg")])
    with pytest.raises(SystemExit, match=r"There is no file .*no\.jpg"):
        importlib.import_module("examples.restore").main()


def test_the_python_of_the_readme_runs_as_it_stands(tmp_path, monkeypatch, picture, capsys):
    picture(16, 16).save(tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(
        r"^```python\n(.*?)^```", (ROOT / "README.md").read_text("utf-8"), re.S | re.M
    )
    assert len(blocks) == 2
    for block in blocks:
        exec(block, {})
    assert (tmp_path / "restored.png").is_file() and (tmp_path / "quality-word-0.png").is_file()
    assert '"model": "mini"' in capsys.readouterr().out
