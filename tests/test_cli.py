"""The command line: what it prints where, its exit codes and its files.

What hangs on the process (streams, signals, terminals, imports) runs as one; the rest runs in this
process, where torch is loaded already.
"""

from __future__ import annotations

import inspect
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from bad_files import EXPECTED, SIZES, make_bad_files, photo
from command_line import ENVIRONMENT, QUICK, ROOT, Done, process, start
from PIL import Image
from typer.main import get_command

from xpsr.__main__ import app
from xpsr.cli.report import each, results_only
from xpsr.cli.restore import restore
from xpsr.errors import XPSRError
from xpsr.image import open_image, pixel_sha256
from xpsr.prompts import PRESET_PROMPTS, PROMPT_NAMES
from xpsr.prompts.describer import make_describer
from xpsr.recipe import read_recipe
from xpsr.settings import SETTING_NAMES, Settings

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="session")
def mixed_run(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Done]:
    """A folder of everything that people bring, restored in one go: (folder, results, run)."""
    folder = tmp_path_factory.mktemp("mixed")
    make_bad_files(folder)
    photo().save(folder / "twin.png")
    photo(40, 40).save(folder / "twin.webp", lossless=True)
    photo(24, 24).save(folder / "no_ending", "PNG")
    (folder / "notes.txt").write_text("not a picture and not meant as one")
    (folder / "._twin.png").write_bytes(b"what macOS leaves behind")
    (folder / "inner").mkdir()
    photo().save(folder / "inner" / "deeper.png")
    out = folder.parent / "results" / "new"
    return folder, out, process("restore", folder, "--out", out, "--model", tiny, *QUICK)


def test_folder_with_bad_files_gives_a_line_for_each(mixed_run) -> None:
    folder, _, run = mixed_run
    names = sorted(
        path.name
        for path in folder.iterdir()
        if path.is_file() and path.name not in ("notes.txt", "._twin.png")
    )
    assert run.code == 1
    assert [Path(record["input"]).name for record in run.records] == names
    failed = {Path(record["input"]).name for record in run.records if "error" in record}
    by_name = {path.name: key for key, path in make_bad_files(folder).items()}
    assert failed == {name for name, key in by_name.items() if EXPECTED[key] == "refused"}
    assert "Traceback" not in run.err


def test_results_are_what_their_lines_say(mixed_run) -> None:
    folder, out, run = mixed_run
    keys = {path.name: key for key, path in make_bad_files(folder).items()}
    fine = [record for record in run.records if "error" not in record]
    for record in fine:
        assert set(record) == {"input", "output", "seconds", "seed", "sha256", "scores"}
        recipe = read_recipe(record["output"])
        width, height = SIZES.get(keys.get(Path(record["input"]).name, ""), (0, 0))
        with Image.open(record["output"]) as result:
            assert not width or result.size == (2 * width, 2 * height)
            assert result.format == "PNG" and result.mode == "RGB"
            assert pixel_sha256(result) == record["sha256"] == recipe.output_sha256
            assert recipe.is_output(result)
        assert recipe.input_sha256 == pixel_sha256(open_image(record["input"]).image)
        assert record["seed"] == recipe.seed and record["seconds"] > 0
        assert {"piqe", "backprojection"} <= set(record["scores"])
        assert all(isinstance(value, float) for value in record["scores"].values())
    # Nothing else lies there: no half file, no result written over another one.
    assert sorted(Path(r["output"]).name for r in fine) == sorted(p.name for p in out.iterdir())
    assert {"twin.png", "twin-2.png", "no_ending.png"} <= {p.name for p in out.iterdir()}


def test_errors_are_sentences_for_people(mixed_run) -> None:
    _, _, run = mixed_run
    errors = [record for record in run.records if "error" in record]
    for record in errors:
        assert set(record) == {"input", "error"}
        assert record["error"][-1] == "." and len(record["error"]) > 25
        assert Path(record["input"]).name in run.err
        for jargon in ("Error", "Exception", "None", "PIL", "0x"):
            assert jargon not in record["error"]


def test_same_options_same_pixels_whatever_ran_before(
    xpsr, mixed_run, tiny: Path, tmp_path: Path
) -> None:
    folder, _, run = mixed_run
    (before,) = [record for record in run.records if record["input"].endswith("cmyk.jpg")]
    alone = xpsr("restore", folder / "cmyk.jpg", "-o", tmp_path, "--model", tiny, *QUICK)
    assert alone.code == 0, alone.err
    assert alone.records[0]["sha256"] == before["sha256"]
    assert alone.records[0]["scores"] == before["scores"]


def test_another_seed_gives_other_pixels(xpsr, tiny: Path, tmp_path: Path) -> None:
    photo().save(tmp_path / "a.png")
    hashes = []
    for seed in ("0", "9", "0"):
        common = ("-o", tmp_path / "out", "--model", tiny, *QUICK)
        run = xpsr("restore", tmp_path / "a.png", *common, "--seed", seed)
        assert run.records[0]["seed"] == int(seed)
        hashes.append(run.records[0]["sha256"])
    assert hashes[0] == hashes[2] != hashes[1]


def test_every_field_is_an_option_and_reaches_the_recipe(xpsr, tiny: Path, tmp_path: Path) -> None:
    assert {*SETTING_NAMES, *PROMPT_NAMES} <= set(inspect.signature(restore).parameters)
    photo().save(tmp_path / "a.png")
    settings = {
        "num_inference_steps": 3,
        "guidance_scale": 2.5,
        "controlnet_conditioning_scale": 0.5,
        "upscale": 3,
        "seed": 4294967295,
        "scheduler": "unipc",
        "start": "lr",
        "added_noise_level": 700,
        "negative": "high",
        "process_size": 128,
        "tile_size": 96,
        "tile_overlap": 16,
        "color_fix": "wavelet",
        "long_prompts": "chunk",
        "added_position": "prefix",
        "lowlevel_route": "content",
    }
    texts = {name: f"words of {name}" for name in PROMPT_NAMES}
    assert set(settings) == set(SETTING_NAMES)
    options = [
        word
        for name, value in {**settings, **texts}.items()
        for word in (f"--{name.replace('_', '-')}", str(value))
    ]
    out = tmp_path / "out"
    run = xpsr("restore", tmp_path / "a.png", "--out", out, "--model", tiny, *options)
    assert run.code == 0, run.err
    recipe = read_recipe(out / "a.png")
    assert recipe.settings == Settings(**settings)
    assert {name: getattr(recipe.prompts, name) for name in PROMPT_NAMES} == texts


def test_describer_writes_only_what_is_left_out(xpsr, tiny: Path, tmp_path: Path) -> None:
    photo().save(tmp_path / "a.png")
    found = make_describer("measured").describe(open_image(tmp_path / "a.png").image)

    def texts(*options: str) -> tuple[str, str]:
        common = ("--out", tmp_path / "out", "--model", tiny, *QUICK)
        run = xpsr("restore", tmp_path / "a.png", *common, *options)
        assert run.code == 0, run.err
        recipe = read_recipe(tmp_path / "out" / "a.png")
        preset = PRESET_PROMPTS["mini"]
        assert recipe.prompts.negative_prompt == preset.negative_prompt
        return recipe.prompts.prompt, recipe.prompts.lowlevel_prompt

    assert texts() == (found.high, found.low)
    told = read_recipe(tmp_path / "out" / "a.png").sentences("lowlevel_prompt")
    assert {sentence.origin.kind for sentence in told} == {"measured"}
    assert texts("--prompt", "A parrot.") == ("A parrot.", found.low)
    (told,) = read_recipe(tmp_path / "out" / "a.png").sentences("prompt")
    assert told.origin.kind == "typed"
    assert texts("--lowlevel-prompt", "") == (found.high, "")
    assert texts("--no-describe") == ("", "")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--num-inference-steps", "0"], "num_inference_steps"),
        (["--num-inference-steps", "many"], "--num-inference-steps"),
        (["--guidance-scale", "nan"], "guidance_scale"),
        (["--upscale", "2.5"], "--upscale"),
        (["--seed", "-1"], "seed"),
        (["--scheduler", "magic"], "scheduler"),
        (["--tile-size", "64", "--tile-overlap", "64"], "tile_overlap"),
        (["--preset", "best"], "preset"),
        (["--prompt", "x" * 3000], "prompt"),
        (["--describer", "oracle"], "oracle"),
        (["--describer", "llava:no-such-folder"], "no-such-folder"),
        (["--describer", "llava:~nobody-of-this-name"], "no folder"),
        (["--describer", "http://127.0.0.1:9/v1"], "cannot be reached; start it"),
        (["--sharpness", "11"], "--sharpness"),
        (["--model", "no-such-model"], "no-such-model"),
        (["--device", "abacus"], "abacus"),
    ],
    ids=lambda value: "" if isinstance(value, str) else " ".join(value)[:40],
)
def test_bad_options_are_said_before_anything_is_done(
    xpsr, options: list[str], words: str, tmp_path: Path
) -> None:
    photo().save(tmp_path / "a.png")
    run = xpsr("restore", tmp_path / "a.png", "--out", tmp_path / "out", *options)
    assert run.code == 2
    assert run.out == ""
    assert words in run.err and "Traceback" not in run.err
    assert not list((tmp_path / "out").glob("*"))


def test_bad_places_are_said_before_anything_is_done(xpsr, tmp_path: Path) -> None:
    photo().save(tmp_path / "a.png")
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "empty").mkdir()
    for arguments, words in (
        ([tmp_path / "a.png", "--out", tmp_path / "file"], "--out"),
        ([tmp_path / "a.png", "--out", tmp_path / "file" / "below"], "--out"),
        ([tmp_path / "a.png", "--out", tmp_path], "--out"),  # would replace the picture itself
        ([tmp_path / "empty", "--out", tmp_path / "out"], "no picture"),
        ([tmp_path / ("a" * 300), "--out", tmp_path / "out"], "name too long"),
        ([tmp_path / "a.png", "--out", tmp_path / ("a" * 300)], "name too long"),
        (["", "--out", tmp_path / "out"], "An empty name"),
        ([tmp_path / "a.png", "--out", ""], "An empty name"),
        ([tmp_path / "a.png", "--out", tmp_path / "out", "--word-maps", ""], "An empty name"),
        ([tmp_path / "a.png"], "--out"),
        (["--out", tmp_path / "out"], "IMAGE"),
    ):
        run = xpsr("restore", *arguments)
        assert run.code == 2, arguments
        assert run.out == "" and "Traceback" not in run.err
        assert words in run.err.replace("\n", " ")
    with Image.open(tmp_path / "a.png") as untouched:
        assert untouched.size == photo().size


def test_help_and_bad_options_do_not_wait_for_torch() -> None:
    code = "import sys, xpsr.__main__; print([m for m in ('torch', 'pyiqa') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
    run = process("--help")
    assert run.code == 0
    for command in ("restore", "describe", "score", "rerun"):
        assert command in run.out


def test_describe(xpsr, tmp_path: Path) -> None:
    photo().save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"")
    run = xpsr("describe", tmp_path / "a.png", tmp_path / "b.png", tmp_path / "missing.png")
    found = make_describer("measured").describe(photo())
    first, second, third = run.records
    expected = {"high": found.high, "low": found.low, "source": "measured"}
    assert first == {"input": str(tmp_path / "a.png"), **expected}
    assert "empty" in second["error"] and "no file" in third["error"]
    assert run.code == 1
    assert xpsr("describe", tmp_path / "a.png").code == 0


def test_score(xpsr, tmp_path: Path) -> None:
    photo(64, 48).save(tmp_path / "a.png")
    photo(64, 48).resize((32, 24), Image.Resampling.BICUBIC).save(tmp_path / "small.png")
    photo(64, 48).convert("L").save(tmp_path / "grey.png")
    a, small, grey = (tmp_path / name for name in ("a.png", "small.png", "grey.png"))
    same = xpsr("score", a, "--reference", a, "--input", small)
    assert same.code == 0, same.err
    assert same.records[0]["input"] == str(a)
    scores = same.records[0]["scores"]
    assert scores["ssim"] == pytest.approx(1, abs=1e-4) and scores["psnr"] > 60
    assert scores["gmsd"] == pytest.approx(0, abs=1e-3) and scores["backprojection"] > 60
    other = xpsr("score", grey, "--reference", a, "--metrics", "psnr, ssim")
    assert set(other.records[0]["scores"]) == {"psnr", "ssim"}
    assert other.records[0]["scores"]["ssim"] < 0.999
    unequal = xpsr("score", small, "--reference", a, "--metrics", "psnr")
    assert unequal.code == 1 and unequal.records[0]["scores"] == {"psnr": None}
    assert "size" in unequal.records[0]["score_reasons"]["psnr"] and "PSNR needs eq" in unequal.err
    of_no_use = xpsr("score", small, "--reference", a)
    assert of_no_use.code == 1 and of_no_use.records[0]["scores"]["piqe"] is not None
    assert set(same.records[0]["score_reasons"]) == {"ms_ssim"}
    some = xpsr("score", a, "--reference", a, "--metrics", "psnr,ms_ssim")
    assert some.code == 0 and "MS-SSIM" in some.err and "PSNR" not in some.err
    assert (unknown := xpsr("score", a, "--metrics", "beauty")).code == 2
    assert "beauty" in unknown.err and unknown.out == ""
    assert xpsr("score", tmp_path / "missing.png").code == 1


def test_a_score_needs_a_name(xpsr, tmp_path: Path) -> None:
    photo(64, 48).save(tmp_path / "a.png")
    commands = (
        ("score", tmp_path / "a.png"),
        ("ablate", tmp_path / "a.png", "--plan", "levels", "--out", tmp_path / "out"),
        ("evaluate", "--lr", tmp_path, "--out", tmp_path / "out"),
    )
    for command in commands:
        for names in (",", " , ", ""):
            done = xpsr(*command, "--metrics", names)
            assert (done.code, done.out) == (2, "") and "names no score" in done.err


def test_pictures_of_others_are_not_written_over(xpsr, tiny: Path, tmp_path: Path) -> None:
    low, high, out = (tmp_path / name for name in ("LR", "HR", "out"))
    for folder in (low, high):
        folder.mkdir()
        for name in "ab":
            photo().save(folder / f"{name}.png")
    common = ("restore", low, "--model", tiny, *QUICK)
    assert xpsr(*common, "--out", out).code == 0
    own = {path.name: path.read_bytes() for path in out.iterdir()}
    assert xpsr(*common, "--out", out, "--seed", "9").code == 0  # its own results may go
    assert all(path.read_bytes() != own[path.name] for path in out.iterdir())
    photo().save(out / "b.png")
    for folder in (high, out):
        before = {path.name: path.read_bytes() for path in folder.iterdir()}
        done = xpsr(*common, "--out", folder)
        assert (done.code, done.out) == (2, "") and "carries no recipe" in done.err
        assert before == {path.name: path.read_bytes() for path in folder.iterdir()}
    again = ("rerun", out / "a.png", "--model", tiny)
    photo().save(high / "a.png")
    done = xpsr(*again, "--image", low / "a.png", "--out", high)
    assert (done.code, done.out) == (2, "") and "carries no recipe" in done.err


def test_help_names_every_preset(xpsr) -> None:
    for command in ("restore", "ablate", "evaluate"):
        options = get_command(app).commands[command].params
        (preset,) = [one for one in options if one.name == "preset"]
        assert ", ".join(PRESET_PROMPTS) in preset.help


def test_reader_that_goes_away(tiny: Path, tmp_path: Path) -> None:
    """As in `… | head -1`: no traceback, and no work for nobody."""
    for name in "abcd":
        photo(32, 32).save(tmp_path / f"{name}.png")
    with start("restore", tmp_path, "--out", tmp_path / "out", "--model", tiny, *QUICK) as running:
        assert running.stdout and running.stderr
        assert json.loads(running.stdout.readline())["input"].endswith("a.png")
        running.stdout.close()
        errors = running.stderr.read()
        assert running.wait(120) == 1
    assert "Traceback" not in errors and "BrokenPipe" not in errors
    assert not (tmp_path / "out" / "d.png").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no disk that is full")
def test_lines_that_find_no_room_end_the_run_in_a_sentence(capfd: pytest.CaptureFixture) -> None:
    """As in `… > lines.jsonl` on a full disk."""
    kept = os.dup(1)
    with Path("/dev/full").open("w") as full:
        os.dup2(full.fileno(), 1)
    try:
        with pytest.raises(typer.Exit) as ending, results_only() as emit:
            emit({"input": "a.png"})
    finally:
        os.dup2(kept, 1)
        os.close(kept)
    assert ending.value.exit_code == 2
    assert "lines of results cannot be written: No space left" in capfd.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="its shell closes no streams")
def test_no_stdout_to_write_to(tmp_path: Path) -> None:
    photo().save(tmp_path / "a.png")
    command = [sys.executable, "-m", "xpsr", "score", tmp_path / "a.png", "--metrics", "piqe"]
    shell = ["sh", "-c", 'exec "$@" >&-', "sh", *command]
    done = subprocess.run(shell, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is sent another way on Windows")
def test_ctrl_c_keeps_what_is_finished(tiny: Path, tmp_path: Path) -> None:
    photo(32, 32).save(tmp_path / "a.png")
    photo(900, 900).save(tmp_path / "b.png")  # takes long enough to be stopped in the middle
    with start("restore", tmp_path, "--out", tmp_path / "out", "--model", tiny, *QUICK) as running:
        assert running.stdout and running.stderr
        record = json.loads(running.stdout.readline())
        running.send_signal(signal.SIGINT)
        errors = running.stderr.read()
        assert running.wait(120) == 130
        assert running.stdout.read() == ""
    assert "Stopped" in errors and "Traceback" not in errors
    with Image.open(record["output"]) as result:
        assert pixel_sha256(result) == record["sha256"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.png"]


def test_names_of_any_script_in_any_terminal(tmp_path: Path) -> None:
    names = ["größe ☃.png", "two\nlines.png", '"quoted" [bold].png']
    for name in names:
        photo().save(tmp_path / name)
    run = process("describe", tmp_path, LC_ALL="C", PYTHONIOENCODING="ascii")
    assert run.code == 0, run.err
    assert [Path(record["input"]).name for record in run.records] == sorted(names)


def test_one_defect_does_not_stop_the_others(caplog: pytest.LogCaptureFixture) -> None:
    def work(name: str) -> dict:
        if name == "broken":
            raise RuntimeError("a defect")
        if name == "wrong":
            raise XPSRError("Choose another one.")
        if name == "large":
            raise MemoryError
        return {"input": name, "output": "fine"}

    records: list[dict] = []
    assert not each(["one", "broken", "wrong", "large", "two"], work, records.append)
    assert [record["input"] for record in records] == ["one", "broken", "wrong", "large", "two"]
    assert records[0]["output"] == records[4]["output"] == "fine"
    assert "a defect" in records[1]["error"] and "a defect" in caplog.text
    assert records[2]["error"] == "Choose another one."
    assert "--tile-size" in records[3]["error"]


def test_the_embedded_model_restores_a_photo(xpsr, tmp_path: Path) -> None:
    photo(40, 24).save(tmp_path / "a.png")
    run = xpsr("restore", tmp_path / "a.png", "--out", tmp_path / "out", "--seed", "3")
    assert run.code == 0, run.err
    recipe = read_recipe(tmp_path / "out" / "a.png")
    assert recipe.model == "mini" and recipe.seed == 3
    with Image.open(tmp_path / "out" / "a.png") as result:
        assert result.size == (160, 96)
    assert recipe.prompts.lowlevel_prompt.endswith(".")
