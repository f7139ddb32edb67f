"""As on a Hugging Face Space: no network, ZeroGPU's decorator, and what is uploaded there."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from huggingface_hub.utils import filter_repo_objects

from studio.models import work, zerogpu
from xpsr.prompts import Prompts
from xpsr.settings import Settings

ROOT = Path(__file__).resolve().parents[1]

# What a Space brings along, as far as the page has to do with it: a decorator that sends arguments
# and results to another process. Here they only go through pickle, which is where that can fail.
SPACES = """
import gradio, pickle
lent = []

def GPU(task, *, duration=None, size=None):
    def borrowed(*arguments):
        arguments = pickle.loads(pickle.dumps(arguments))
        lent.append((task, duration, duration(*arguments)))
        if arguments[2].seed == 13:
            raise gradio.Error("You have used up <b>your</b> seconds.")
        for item in task(*arguments):
            yield pickle.loads(pickle.dumps(item))
    return borrowed
"""

OFFLINE = """
import socket, sys
def closed(*_):
    raise OSError("the network is closed")
socket.socket.connect = socket.socket.connect_ex = socket.create_connection = closed
socket.getaddrinfo = closed
"""

IMPORT = """
import app
assert app.demo.fns
assert not app.engine.ready  # nothing is loaded until somebody comes
# What was chosen on a page is for local pages: not here, and not where a model is named.
last = app.choose_model(app.parse([]), app.Permission(granted=True))
assert last == app.ModelChoice("someone/xpsr", "someone/base")
assert app.choose_model(app.parse(["--model", "mini"]), app.Permission(granted=True)).base is None
assert app.engine.options.model == "mini"
assert app.engine.options.most_work == 100  # one visitor's wish must not stop all the others
# A folder that is gone since: the page opens with the built-in model and not with none.
(app.Path(app.options.outputs) / "model.json").write_text('{"model": "/models/gone"}')
assert app.choose_model(app.parse([]), app.Permission(granted=True)) == app.ModelChoice("mini")
# With wrong options there is no page at all; what has to be fetched comes while there is one.
here = app.ModelChoice("mini")
for wrong in ("--dtype float7", "--device abacus", "--describer oracle"):
    assert wrong.split()[1] in app.why_not(here, app.parse(wrong.split()))
for wrong in (("nowhere",), ("nowhere", "someone/base"), ("mini", "/models/gone"), ("",)):
    assert app.why_not(app.ModelChoice(*wrong), app.parse([]))
for fine in (here, app.ModelChoice("someone/xpsr"), last):
    assert app.why_not(fine, app.parse([])) is None
print("whole" if app.engine.pipeline() else "")
"""

LEND = """
import inspect, json, spaces, app
from PIL import Image
from studio.models.engine import is_result, is_step
from xpsr.errors import XPSRError
from xpsr.prompts import Prompts
from xpsr.settings import Settings
from xpsr.wordmaps import WordRecorder
assert app.engine.ready  # at module level, as ZeroGPU wants it
assert app.engine.options.most_work == 400
settings = Settings.from_preset("mini", upscale=2, num_inference_steps=2)
picture = Image.effect_noise((32, 32), 60).convert("RGB")
prompts = Prompts.from_preset("mini", prompt="a wall")
*steps, last = app.engine.stream(picture, prompts, settings, WordRecorder())
assert steps and all(map(is_step, steps)) and is_result(last)
task, duration, seconds = spaces.lent[0]
plain = app.engine.pipeline()(picture, "a wall", preset="mini", upscale=2, num_inference_steps=2)
try:
    list(app.engine.stream(Image.new("RGB", (2, 2)), Prompts(), settings))
except XPSRError as error:
    said = str(error)
try:
    list(app.engine.stream(picture, prompts, settings.changed(seed=13)))
except XPSRError as error:
    refused = str(error)
print(json.dumps({
    "generator": inspect.isgeneratorfunction(task),
    "duration": list(inspect.signature(duration).parameters),
    "seconds": seconds,
    "same": last.recipe.output_sha256 == plain.recipe.output_sha256,
    "preview": app.engine.preview(steps[0]).size,
    "said": said,
    "refused": refused,
    "words": [piece.text for piece in last.word_maps.pieces("high")],
}))
"""


def python(code, tmp_path, **environment):
    own = {"XPSR_OUTPUTS": str(tmp_path / "outputs"), "OMP_NUM_THREADS": "1"}
    own |= {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "home"), "PYTHONPATH": str(ROOT)}
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("GRADIO_", "XPSR_"))}
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**kept, **own, **environment},
        capture_output=True,
        text=True,
        timeout=240,
    )


def test_the_page_is_imported_and_has_its_model_without_a_network(tmp_path):
    (tmp_path / "outputs").mkdir()
    choice = {"model": "someone/xpsr", "base": "someone/base"}
    (tmp_path / "outputs" / "model.json").write_text(json.dumps(choice))
    done = python(OFFLINE + IMPORT, tmp_path, SPACE_ID="someone/studio", SYSTEM="spaces")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["whole"]


def test_on_zerogpu_a_gpu_is_borrowed_for_each_run(tmp_path):
    (tmp_path / "spaces.py").write_text(SPACES)
    place = os.pathsep.join((str(tmp_path), str(ROOT)))
    done = python(OFFLINE + LEND, tmp_path, SPACE_ID="me/it", SPACES_ZERO_GPU="1", PYTHONPATH=place)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["generator"]  # anything else cannot be stopped there
    assert found["duration"] == [
        "image",
        "prompts",
        "settings",
        "recorder",
        "shared",
    ]  # those of the work itself
    assert zerogpu.OTHER_SECONDS < found["seconds"] <= zerogpu.LONGEST
    assert found["same"] and max(found["preview"]) > 1
    assert found["words"] == ["a", "wall"]  # what was recorded there comes here
    assert found["refused"].endswith("lend a GPU for this: You have used up your seconds.")
    assert "16" in found["said"]  # a sentence comes through, not the name of an exception


@pytest.mark.parametrize("gpu", [True, False])
def test_a_space_with_a_gpu_of_its_own_takes_as_much_as_zerogpu(gpu, tmp_path, monkeypatch):
    monkeypatch.delenv("SPACES_ZERO_GPU", raising=False)
    monkeypatch.setattr(work, "NVIDIA", tmp_path / "nvidiactl")
    if gpu:
        work.NVIDIA.touch()
    assert work.most_on_a_space() == (400 if gpu else 100)


def test_elsewhere_nothing_is_decorated(monkeypatch):
    monkeypatch.delenv("SPACES_ZERO_GPU", raising=False)

    def echo(image):
        yield image

    assert zerogpu.on_gpu(echo, len) is echo


def test_the_seconds_asked_for_grow_with_steps_and_pixels(picture):
    def asked(size, **changes):
        settings = Settings().changed(**changes)
        return zerogpu.restore_seconds(picture(*size), Prompts(), settings)

    assert asked((128, 128)) < asked((128, 128), num_inference_steps=50)
    assert asked((128, 128)) < asked((512, 512)) <= zerogpu.LONGEST
    assert asked((400, 400), guidance_scale=1) < asked((400, 400))
    assert asked((400, 400)) < asked((400, 400), tile_size=512, tile_overlap=256)


def test_the_upload_of_the_readme_takes_the_page_and_leaves_the_rest():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"^hf upload (?:.*\\\n)*.*", readme, flags=re.MULTILINE)
    given = shlex.split(line.replace("\\\n", " "))
    wanted = [given[i + 1] for i, word in enumerate(given) if word == "--include"]
    refused = [given[i + 1] for i, word in enumerate(given) if word == "--exclude"]
    assert "--repo-type" in given
    files = [path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*") if path.is_file()]
    files += ["data/train/a.jpg", "outputs/x/picture.png", ".env", "tests/golden/x.safetensors"]
    taken = set(filter_repo_objects(files, allow_patterns=wanted or None, ignore_patterns=refused))
    for needed in ("app.py", "requirements.txt", "README.md", "studio/build.py"):
        assert needed in taken
    assert {p for p in files if p.startswith("xpsr/mini/unet/")} <= taken
    places = {path.split("/")[0] for path in taken}
    assert places <= {
        "app.py",
        "requirements.txt",
        "README.md",
        "LICENSE",
        "studio",
        "xpsr",
        "examples",
    }
    assert not any("__pycache__" in path for path in taken)


@pytest.mark.parametrize("name", ["space, python 3.12", "space, python 3.10"])
def test_the_set_of_a_space_is_among_those_that_are_resolved(name):
    import resolve

    (case,) = [case for case in resolve.CASES if case.name == name]
    assert any(line.startswith("gradio[oauth,mcp]==") for line in case.lines)
