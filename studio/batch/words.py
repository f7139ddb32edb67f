"""The texts of the Batch tab."""

from __future__ import annotations

from xpsr.counted import counted

from ..words import duration, took

LABEL = "Batch"
INTRO = (
    "Many pictures, one after another, with the settings and the texts of the Restore tab. Each "
    "takes its own turn, so that other visitors get theirs in between."
)
FILES = "1 · Your pictures, or a folder"
FOLDER = "Add a folder"
TEXTS = "2 · The two texts"
TEXTS_INFO = "The negative texts and the added words are always those of the Restore tab."
TEXTS_CHOICES = {
    "each": "describe each picture",
    "form": "those of the Restore tab, for all",
}
RESTORE_ALL = "Restore all"
AGAIN = "Restore all again"
RETRY = "Try the failed ones again"
COLUMNS = ("Picture", "Size", "How it goes")
COMPARISON = "Before and after"
POSITION = "Move the divider of the batch"
POSITION_INFO = "Left of it you see the picture before, right of it after."
COMPARE = "Compare"
NOT_KEPT = "– not on disk: download it before the page is stopped"
UPLOAD_GONE = "it was still waiting when the page was closed, and has to be brought again."
RESULT_GONE = "its result is no longer there: it was removed to make room, or for its age."
ZIP = "Download all as ZIP"
ZIP_NAME = "restored.zip"

STAYS = "Until then the batch stays as it is."
EMPTY = "Drop pictures or a folder into 1; each picture gets a line here."
NOTHING = "Bring some pictures first: drop them or a folder into 1."
NOTHING_DONE = "No picture is finished yet, so there is nothing to download."
STATES = {
    "waiting": "waiting",
    "describing": "being described",
    "ready": "waiting for the model",
    "working": "waiting for the model",
    "scoring": "computing the scores",
}
SMALLER_TILES = "once more, in smaller tiles"
REFUSED = (
    "The page is busy and did not take the next picture on. Nothing is lost; press “{button}” in a "
    "minute."
)


def too_many(count: int, most: int) -> str:
    return f"These are {count} files; a batch holds {most}. Take some away, and do the rest after."


def more_than(most: int) -> str:
    return (
        f"These are more than {most} files, which is what a batch holds, so none of them was "
        "taken. Choose fewer, and do the rest after."
    )


def too_large(pixels: int, most: int) -> str:
    return (
        f"These pictures have {_pixels(pixels)} together; a batch holds {most // 10**6} million. "
        "Take some away, and do the rest after."
    )


def brought(pictures: int, pixels: int, refused: int) -> str:
    said = f"{counted(pictures, 'picture')}, {_pixels(pixels)} together."
    if refused:
        said += f" {counted(refused, 'file')} cannot be used; the table says why."
    return said


def _pixels(count: int) -> str:
    return f"{count / 1e6:,.1f} million pixels" if count >= 10**6 else f"{count:,} pixels"


def done(seconds: float) -> str:
    return f"done in {took(seconds)}"


def failed(why: str) -> str:
    return f"Failed: {why}"


def at_work(done: int, failed: int, total: int, seconds_left: float | None) -> str:
    parts = [f"{done} of {total} done"]
    if failed:
        parts.append(f"{failed} failed")
    if seconds_left:
        parts.append(f"about {duration(seconds_left)} left")
    return " · ".join(parts)


def finished(done: int, failed: int) -> str:
    said = f"Finished: {counted(done, 'picture')} restored"
    return f"{said}, {failed} failed; the table says why." if failed else f"{said}."


def stopped(done: int, waiting: int) -> str:
    return f"Stopped. {counted(done, 'finished picture')} kept, {waiting} still waiting."


def found_again(done: int, waiting: int, lost: int, was_running: bool, button: str) -> str:
    """After a reload or a restart: what is there, what stopped, and how it goes on."""
    said = ["Your last batch, found again."]
    if was_running and (waiting or lost):
        said.append("It stopped because the page was closed or reloaded.")
    if done:
        said.append(f"{counted(done, 'finished picture')} kept.")
    if waiting:
        said.append(f"{waiting} still waiting: press “{button}”.")
    if lost:
        said.append(f"{counted(lost, 'picture')} cannot go on; the table says why.")
    said.append("Other files begin another batch.")
    return " ".join(said)


def go_on(waiting: int) -> str:
    return f"Continue with the other {waiting}" if waiting > 1 else "Continue with the last one"


def result(name: str, seconds: float, seed: int) -> str:
    return f"{name} · {done(seconds)} · seed {seed}"


def gone(count: int) -> str:
    are = "is" if count == 1 else "are"
    return (
        f"{counted(count, 'result')} {are} no longer there, to make room, and not in the ZIP; "
        "scores.csv names them."
    )
