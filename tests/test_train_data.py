"""Pairs: made again from their lines, by any number of processes, after any stop."""

import json
import os
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import typer
from describing_server import HIGH, serving
from PIL import Image
from training_help import LAUNCH_TWO, ROOT, finish, make_photos, start

from train import describe as describing
from train import prepare as preparing
from train.config import DataConfig
from train.data import Pairs
from train.describe import describe
from train.files import find_photos
from train.manifest import Part, alone, collect_failures, read_manifest
from train.networks import clip_tokenizer
from train.pairing import PrepareConfig, make_pair
from train.prepare import prepare
from train.terminal import sentences
from train.todo import pair_id
from xpsr.errors import XPSRError
from xpsr.prompts.auto import Choice
from xpsr.prompts.describer import Description

PAIRS = PrepareConfig(variants=2, size=128)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return make_photos(tmp_path_factory.mktemp("photos"))


@pytest.fixture(scope="module")
def pairs_folder(photos, tmp_path_factory):
    out = tmp_path_factory.mktemp("pairs")
    complaints = [c for *_, c in prepare(photos, out, PAIRS) if c]
    assert len(complaints) == 2 and any("narrow.png" in c for c in complaints)
    assert collect_failures(out) == 2
    assert not [c for *_, c in describe(out, "measured") if c]
    return out


def test_photos_are_made_smaller_where_a_crop_still_fits(photos):
    photo = Image.open(photos / "photo0.png")  # 200 x 160
    config = PrepareConfig(size=64, scales=(1.0, 0.5, 0.25))
    assert config.possible_scales(photo) == [1.0, 0.5]
    made = [make_pair(photo, config, seed) for seed in range(20)]
    assert {drawn["scale"] for *_, drawn in made} == {1.0, 0.5}
    half = np.array(photo.resize((100, 80), Image.Resampling.BICUBIC))
    for hr, _, drawn in made:
        left, top = drawn["left"], drawn["top"]
        whole = half if drawn["scale"] == 0.5 else np.array(photo)
        assert np.array_equal(np.array(hr), whole[top : top + 64, left : left + 64])
    assert not PrepareConfig(size=256, scales=(1.0, 0.5)).possible_scales(photo)


def test_a_pair_can_be_made_again_from_its_line(photos, pairs_folder):
    lines = read_manifest(pairs_folder)
    assert len(lines) == 8 and len({line["seed"] for line in lines}) == 8
    for line in lines:
        hr, lr, drawn = make_pair(Image.open(photos / line["photo"]), PAIRS, line["seed"])
        assert hr.size == (128, 128) and lr.size == (32, 32)
        assert drawn.pop("recipe") == line["recipe"]
        assert json.loads(json.dumps(drawn)) == line["degradation"]
        stored = Image.open(pairs_folder / "LR" / f"{line['id']}.png")
        assert np.array_equal(np.array(stored), np.array(lr))
        for key in ("prompt", "lowlevel_prompt", "hr_prompt", "hr_lowlevel_prompt"):
            assert line[key]
        assert line["describer"] == line["hr_describer"] == "measured"


def test_preparing_goes_on_after_a_stop(photos, pairs_folder, tmp_path):
    work = prepare(photos, tmp_path, PAIRS)
    for _ in range(5):  # stopped in the middle: two of these are the unusable files
        next(work)
    work.close()
    for path in (tmp_path / "parts").glob("pairs-*"):
        with path.open("a") as file:
            file.write('{"id": "cut sh')  # as a power cut leaves it
    assert 0 < len(read_manifest(tmp_path)) < 8
    list(prepare(photos, tmp_path, PAIRS))
    list(describe(tmp_path, "measured"))
    assert read_manifest(tmp_path) == read_manifest(pairs_folder)


def test_preparing_goes_on_after_a_stop_before_the_first_photo(photos, pairs_folder, tmp_path):
    work = prepare(photos, tmp_path, PAIRS)
    assert next(work)[0] == 0
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "pairs-00000.jsonl").touch()
    work.close()
    with pytest.raises(XPSRError, match="holds no pairs"):
        read_manifest(tmp_path)
    list(prepare(photos, tmp_path, PAIRS))
    list(describe(tmp_path, "measured"))
    assert read_manifest(tmp_path) == read_manifest(pairs_folder)


def test_a_pair_whose_file_or_line_is_lost_is_made_again(photos, pairs_folder, tmp_path, caplog):
    out = tmp_path / "pairs"
    shutil.copytree(pairs_folder, out)
    lines = read_manifest(out)
    first, second, third, _ = (f"{line['id']}.png" for line in lines[:4])
    (out / "HR" / first).unlink()
    (out / "LR" / second).write_bytes(b"")
    text = (out / "manifest.jsonl").read_text().splitlines(keepends=True)
    text[2] = text[2][:40] + "\n"
    (out / "manifest.jsonl").write_text("".join(text))
    assert [line["id"] for line in read_manifest(out)] != [line["id"] for line in lines]
    assert "manifest.jsonl: 1 of its lines are broken and left out (number 3)" in caplog.text
    list(prepare(photos, out, PAIRS))
    list(describe(out, "measured"))
    assert read_manifest(out) == lines
    assert len((out / "manifest.jsonl").read_text().splitlines()) == len(lines)
    for side, name in (("HR", first), ("LR", second), ("HR", third)):
        assert (out / side / name).read_bytes() == (pairs_folder / side / name).read_bytes()


def test_a_line_cut_short_by_a_stop_is_no_broken_one(photos, tmp_path, caplog):
    list(prepare(photos, tmp_path, PAIRS))
    (tmp_path / "parts" / "pairs-00000.jsonl").write_text('{"id": "cut sh')
    assert len(read_manifest(tmp_path)) == 8 and not caplog.text


def test_other_options_are_not_mixed_into_a_folder(photos, pairs_folder):
    with pytest.raises(XPSRError, match="size=128"):
        list(prepare(photos, pairs_folder, PAIRS.model_copy(update={"size": 64})))
    assert json.loads((pairs_folder / "prepare.json").read_text())["size"] == 128


@pytest.mark.timeout(600)
def test_the_command_gives_the_same_folder_with_any_number_of_processes(
    photos, pairs_folder, tmp_path
):
    wanted = (pairs_folder / "manifest.jsonl").read_bytes()
    command = ["train.prepare", f"--images={photos}"]
    two_ranks = start([*command, f"--out={tmp_path / 'a'}", "variants=2", "size=128"], LAUNCH_TWO)
    preparing.main(photos, tmp_path / "b", overrides=["variants=2", "size=128"], workers=2)
    log = finish(two_ranks)
    assert "8 pairs of 4 photos" in log and "2 failed" in log and "narrow.png" in log
    for out in (tmp_path / "a", tmp_path / "b"):
        assert (out / "manifest.jsonl").read_bytes() == wanted
        for side in ("HR", "LR"):
            names = sorted(path.name for path in (out / side).iterdir())
            assert names == sorted(path.name for path in (pairs_folder / side).iterdir())
            assert all(
                (out / side / n).read_bytes() == (pairs_folder / side / n).read_bytes()
                for n in names
            )


def test_a_full_disk_is_a_sentence_and_nothing_is_lost(photos, tmp_path, monkeypatch, capsys):
    work = prepare(photos, tmp_path, PAIRS)
    for _ in range(5):
        next(work)
    work.close()
    before = {line["id"] for line in read_manifest(tmp_path)}
    names = {pair_id(f"photo{i}.png", v) for i in range(4) for v in range(2)}
    victim = tmp_path / "HR" / f".{sorted(names - before)[-1]}.png.0.part"
    victim.symlink_to("/dev/full")
    monkeypatch.setattr("secrets.token_hex", lambda count: "0")  # in the names of unfinished files
    with pytest.raises(typer.Exit) as ended:
        preparing.main(photos, tmp_path, overrides=["variants=2", "size=128"])
    monkeypatch.undo()
    assert ended.value.exit_code == 2
    assert capsys.readouterr().err.strip().endswith("make room and run the same command again.")
    assert before <= {line["id"] for line in read_manifest(tmp_path)} < names
    victim.unlink(missing_ok=True)
    list(prepare(photos, tmp_path, PAIRS))
    assert {line["id"] for line in read_manifest(tmp_path)} == names


class Moody:
    """Fails on every other picture, and finds nothing to say of some."""

    name = "moody"

    def __init__(self):
        self.calls = 0

    def describe(self, image):
        self.calls += 1
        if self.calls % 4 == 1:
            raise XPSRError("the server does not answer")
        text = "" if self.calls % 4 == 2 else f"Words {self.calls}."
        return Description(text, "Sharp.", "moody")


def test_one_side_alone_is_described_where_no_more_is_asked(photos, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(describing, "make_describer", lambda spec: Moody())
    monkeypatch.setattr(Moody, "describe", lambda self, image: Description("A.", "B.", "moody"))
    out, options = tmp_path / "pairs", ["size=128"]
    preparing.main(photos, out, overrides=options, describer="moody", side="lr")
    assert all(line["prompt"] and "hr_prompt" not in line for line in read_manifest(out))
    assert "lack" not in capsys.readouterr().err
    assert len(Pairs(out, clip_tokenizer())) == 4
    with pytest.raises(XPSRError, match="texts that are read, some of them of the clean side"):
        Pairs(out, clip_tokenizer(), DataConfig(caption_source="hr"))
    describing.main(out, "moody", side="hr")
    assert all(line["hr_prompt"] == "A." for line in read_manifest(out))


def test_failed_texts_are_kept_apart_and_tried_again(photos, tmp_path, monkeypatch):
    list(prepare(photos, tmp_path, PAIRS.model_copy(update={"variants": 1})))
    author = Moody()
    monkeypatch.setattr(describing, "make_describer", lambda spec: author)
    complaints = [c for *_, c in describe(tmp_path, "moody") if c]
    assert len(complaints) == 4 and sum("empty description" in c for c in complaints) == 2
    assert collect_failures(tmp_path) == 2 + 4  # with the two unusable photos
    for line in read_manifest(tmp_path):
        assert all(line.get(k, "something") for k in ("prompt", "hr_prompt"))
    Moody.describe = lambda self, image: Description("Now.", "Sharp.", "moody")
    assert [n for n, *_ in describe(tmp_path, "moody")] == [0, 1, 2, 3, 4]
    texts = [line[key] for line in read_manifest(tmp_path) for key in ("prompt", "hr_prompt")]
    assert texts.count("Now.") == 4 and all(texts)


def test_a_server_is_asked_several_things_at_once_and_given_up_when_it_is_lost(
    pairs_folder, tmp_path, monkeypatch
):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    shutil.copytree(pairs_folder, tmp_path / "pairs")
    with serving() as server:
        server.seconds = 0.1
        address = server.url.replace("//", "//anna:geheim@")
        list(describe(tmp_path / "pairs", address, again=True))
        assert server.most_at_once == 4
    lines = read_manifest(tmp_path / "pairs")
    assert {line["describer"] for line in lines} == {server.url}  # no password in the manifest
    assert {line["prompt"] for line in lines} == {HIGH}

    lost = f"{server.url}?model=other"
    complaints = [c for *_, c in describe(tmp_path / "pairs", lost, again=True) if c]
    assert len(complaints) == 1 and "cannot be reached" in complaints[0]
    assert collect_failures(tmp_path / "pairs") == 1
    assert read_manifest(tmp_path / "pairs") == lines  # the texts that there were are still there


def test_a_command_that_leaves_texts_unwritten_says_so_and_fails(
    pairs_folder, photos, tmp_path, monkeypatch, capsys
):
    out = tmp_path / "pairs"
    shutil.copytree(pairs_folder, out)
    describing.report(out, "measured", again=True)
    describing.report(out, "other")  # there are texts, and nobody has asked for other ones
    with pytest.raises(typer.Exit) as ended:
        describing.report(out, "other", again=True)
    assert ended.value.exit_code == 1
    found = Choice("measured", "There is no GPU.")
    monkeypatch.setattr("xpsr.prompts.auto.choose", lambda: found)
    assert describing.chosen("auto") == describing.chosen("measured") == "measured"
    assert "16 of 16 pictures still lack their texts; the same command" in capsys.readouterr().err

    monkeypatch.setattr(describing, "make_describer", lambda spec: Moody())
    monkeypatch.setattr(Moody, "describe", lambda self, image: Description("", "", "moody"))
    for command in (
        partial(describing.main, out, "moody"),
        partial(
            preparing.main, photos, tmp_path / "new", overrides=["size=128"], describer="llava"
        ),
    ):
        with pytest.raises(typer.Exit) as ended:
            command()
        assert ended.value.exit_code == 1 and "still lack" in capsys.readouterr().err
    preparing.main(photos, tmp_path / "new", overrides=["size=128"], describer="none")
    said = capsys.readouterr().err
    assert "2 failed" in said and "4 of them have no texts yet" in said


def test_a_second_command_on_a_folder_is_refused_and_takes_nothing_away(
    photos, tmp_path, capsys, monkeypatch
):
    with alone(tmp_path), Part(tmp_path, "pairs") as at_work:
        at_work.add([{"id": "a", "photo": "a.jpg"}])
        for command in (
            partial(preparing.main, photos, tmp_path, overrides=["size=128"], describer="none"),
            partial(describing.main, tmp_path),
        ):
            with pytest.raises(typer.Exit) as ended:
                command()
            assert ended.value.exit_code == 2
            assert f"Another command is at work in {tmp_path}: wait" in capsys.readouterr().err
        monkeypatch.setenv("RANK", "1")
        monkeypatch.setenv("WORLD_SIZE", "2")
        with alone(tmp_path):  # one of its own processes
            at_work.add([{"id": "b", "photo": "b.jpg"}])
    monkeypatch.undo()
    assert [line["id"] for line in read_manifest(tmp_path)] == ["a", "b"]
    preparing.main(photos, tmp_path, overrides=["size=128"], describer="none")
    assert len(read_manifest(tmp_path)) == 2 + 4
    with pytest.raises(typer.Exit):
        describing.main(photos)
    assert "holds no pairs" in capsys.readouterr().err and not (photos / ".lock").exists()


def test_nobody_writes_texts_before_all_have_read_which_are_missing(photos, tmp_path, monkeypatch):
    list(prepare(photos, tmp_path, PAIRS))
    written = []

    def watched():
        written.append([path.name for path in (tmp_path / "parts").glob("texts-*")])

    monkeypatch.setattr(describing, "wait", watched)
    list(describe(tmp_path, "measured"))
    assert written[:3] == [[], [], ["texts-00000.jsonl"]]  # collected, read, described


def test_existing_pairs_are_described_anew_without_degrading(pairs_folder, tmp_path, monkeypatch):
    for line in read_manifest(pairs_folder)[:1]:
        for side in ("HR", "LR"):
            (tmp_path / side).mkdir()
            name = f"{line['id']}.png"
            (tmp_path / side / name).write_bytes((pairs_folder / side / name).read_bytes())
        # As folders were written before the clean side was described.
        old = {k: v for k, v in line.items() if not k.startswith("hr_")}
        (tmp_path / "manifest.jsonl").write_text(json.dumps(old) + "\n")
    assert Pairs(tmp_path, clip_tokenizer()).batch([0]).ids == (old["id"],)
    with pytest.raises(XPSRError, match=r"train\.describe"):
        Pairs(tmp_path, clip_tokenizer(), DataConfig(caption_source="hr"))
    list(describe(tmp_path, "measured"))
    assert read_manifest(tmp_path) == [line]
    monkeypatch.setattr(Moody, "describe", lambda self, image: Description("New.", "Bad.", "m"))
    monkeypatch.setattr(describing, "make_describer", lambda spec: Moody())
    assert not list(describe(tmp_path, "measured", again=True))[1:]
    assert len(list(describe(tmp_path, "moody"))) == 1
    list(describe(tmp_path, "moody", again=True))
    (found,) = read_manifest(tmp_path)
    assert found["prompt"] == found["hr_prompt"] == "New." and found["describer"] == "moody"
    assert found["degradation"] == line["degradation"]


def test_pairs_without_texts_are_left_out_and_said(pairs_folder, tmp_path, caplog):
    lines = read_manifest(pairs_folder)
    del lines[0]["prompt"]
    (tmp_path / "manifest.jsonl").write_text("".join(json.dumps(x) + "\n" for x in lines))
    assert len(Pairs(tmp_path, clip_tokenizer())) == 7
    assert "1 of 8 pairs have no texts" in caplog.text
    # What nobody reads is not missed, and one that is missing keeps nobody from the others.
    del lines[1]["hr_prompt"], lines[2]["lowlevel_prompt"]
    (tmp_path / "manifest.jsonl").write_text("".join(json.dumps(x) + "\n" for x in lines))
    for count, options in (
        (6, {}),
        (7, {"prompts": "high"}),
        (6, {"caption_source": "hr"}),
        (7, {"caption_source": "hr", "prompts": "high"}),
        (7, {"prompts": "low"}),
        (8, {"prompts": "none", "original_image_ratio": 0.5}),
    ):
        assert len(Pairs(tmp_path, clip_tokenizer(), DataConfig(**options))) == count, options


def test_a_device_that_is_not_there_is_a_sentence(photos, tmp_path):
    with pytest.raises(XPSRError, match="device=nonsense cannot be used here; give device=cpu"):
        list(prepare(photos, tmp_path, PAIRS.model_copy(update={"device": "nonsense"})))
    assert not list(tmp_path.iterdir())


def test_batches_are_counted_over_photos(photos, tmp_path):
    list(prepare(photos, tmp_path, PAIRS.model_copy(update={"decisions_per_batch": 3})))
    for line in read_manifest(tmp_path):
        _, lr, drawn = make_pair(
            Image.open(photos / line["photo"]), PAIRS, line["seed"], line["batch_seed"]
        )
        assert drawn["resize1"] == line["degradation"]["resize1"]
        stored = Image.open(tmp_path / "LR" / f"{line['id']}.png")
        assert np.array_equal(np.array(stored), np.array(lr))
    assert len({line["batch_seed"] for line in read_manifest(tmp_path)}) == 3  # places 4..11 of 12


def test_the_command_says_what_is_wrong(photos, tmp_path, capsys):
    with pytest.raises(typer.Exit) as ended:
        preparing.main(photos, tmp_path, overrides=["sice=3"])
    assert ended.value.exit_code == 2 and "no option 'sice'" in capsys.readouterr().err


def test_own_pictures_are_no_photos_however_the_folders_are_written(tmp_path, monkeypatch):
    photos = make_photos(tmp_path / "photos", count=1)
    monkeypatch.chdir(photos)
    for _ in range(2):
        list(prepare(photos, Path("pairs"), PAIRS))
    assert {line["photo"] for line in read_manifest(photos / "pairs")} == {"photo0.png"}


def test_links_to_folders_are_followed_once(tmp_path):
    photos, far = tmp_path / "photos", make_photos(tmp_path / "far", count=1)
    for name in ("b", "far"):
        (tmp_path / "photos" / name).mkdir(parents=True)
    Image.new("RGB", (64, 64)).save(photos / "b" / "own.png")
    (photos / "a").symlink_to(photos / "b")  # the same photos under another name
    (photos / "far" / "away").symlink_to(far)
    (far / "round").symlink_to(photos)
    found = [path.relative_to(photos).as_posix() for path in find_photos(photos)]
    away = [f"far/away/{name}" for name in ("broken.jpg", "narrow.png", "photo0.png")]
    assert found == ["b/own.png", *away]


def test_no_photos_and_no_describer_are_sentences(photos, tmp_path):
    with pytest.raises(XPSRError, match="no folder"):
        list(prepare(tmp_path / "nowhere", tmp_path, PAIRS))
    with pytest.raises(XPSRError, match="no pictures"):
        list(prepare(tmp_path, tmp_path, PAIRS))
    for images, option in ((tmp_path, "size=128"), (photos, "device=nonsense")):
        with pytest.raises(typer.Exit):
            preparing.main(images, tmp_path / "out", overrides=[option])
    assert not (tmp_path / "out").exists()


def test_workers_end_with_a_killed_parent():
    script = (
        "from itertools import count; from train.sharing import in_order; import workers\n"
        "for found in in_order(workers.worker_of, count(), 2): print(found, flush=True)"
    )
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    parent = subprocess.Popen(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": paths},
        stdout=subprocess.PIPE,
        text=True,
    )
    worker, ends_at_once = parent.stdout.readline().split()
    os.kill(int(worker), 0)  # it is there
    assert ends_at_once == "True"  # at Ctrl-C, without a traceback of its own
    parent.kill()
    parent.communicate(timeout=120)  # not before the last process that holds the pipe has ended


def test_errors_of_the_disk_are_told_in_a_sentence(tmp_path, capsys):
    taken = tmp_path / "taken"
    taken.write_text("")
    for what, said in (
        (lambda: (taken / "below").mkdir(), "a folder is needed there"),
        (lambda: taken.mkdir(), f"{taken} is a file"),
        (lambda: os.write(os.open("/dev/full", os.O_WRONLY), b"x"), "The disk is full."),
        (lambda: (tmp_path / "no" / "where").mkdir(), "where cannot be used: No such file"),
    ):
        with pytest.raises(typer.Exit) as ended, sentences():
            what()
        assert ended.value.exit_code == 2 and said in capsys.readouterr().err
