"""What a visitor reads on the tab for ablations."""

from __future__ import annotations

from ..words import duration

LABEL = "Ablate"
INTRO = (
    "What does each part of your texts really do? The picture is restored with and without it, "
    "several seeds each, and the difference is set against what another seed does by itself."
)
SOURCE = "Picture, texts and settings"
SOURCE_INFO = "Of the Restore tab as it stands now, or of a finished result."
FORM = "As on the Restore tab"
NO_PICTURE = "Choose a picture on the Restore tab first, or a finished result here."
PRESETS = {
    "levels": "Levels 2 × 2",
    "sentences": "Drop each sentence",
    "guidance": "Guidance sweep",
}
PLAN = "Plan"
PLAN_INFO = "What is changed from run to run."
PLANS = {
    "levels": "levels – both texts, each alone, none",
    "negatives": "negatives – with and without what to keep away from",
    "sentences": "sentences – leave out one at a time",
    "clauses": "clauses – leave out one at a time",
    "words": "words – leave out one at a time",
    "swap": "swap – the picture praised, and torn to pieces",
    "guidance": "guidance – weight of the texts",
    "steps": "steps – how many",
    "conditioning": "conditioning – weight of your picture",
    "grid": "grid – two things, every combination",
    "csv": "own list – texts and settings from a CSV file",
}
PARTS = "Leave out, one after the other"
PARTS_INFO = "Untick what is to stay in every run."
VALUES = "Values"
VALUES_INFO = "Numbers with commas between them. Empty: {values}."
AXIS = "First axis"
SECOND_AXIS = "Second axis"
AXIS_INFO = "A setting or a text."
AXIS_VALUES = "Its values"
AXIS_VALUES_INFO = "With commas between them; texts with | between them."
NO_AXIS = "none"
CSV = "CSV file; its heads are names such as prompt, lowlevel_prompt, guidance_scale, name"
SEEDS = "Seeds"
SEEDS_INFO = "Each variant runs with each of them, from your seed on. Fewer than 4 say little."
START = "Start"
REPORT = "Report (HTML)"
ARCHIVE = "Everything (ZIP)"
ARCHIVE_INFO = (
    "The report opens without a network. The ZIP has it too, with every picture and its recipe, "
    "the scores as CSV, and the versions of the software."
)
MOST = 200
TOO_MANY = (
    "This plan has {cells} cells; here at most {most} are possible. Take fewer seeds or parts; "
    "`python -m xpsr ablate` has no such limit."
)
UNTIMED = "{cells} cells. How long they take is measured when you choose a plan."
MEASURING = "Measuring how long one step takes…"
WRITING = "Writing the report…"
EFFECTS = "Effects"
EFFECTS_INFO = (
    "Score with the change minus score of the full prompt, of the same seed, averaged; with the "
    "95 % interval. The grey band is the noise floor: what another choice of seeds does by itself. "
    "An effect inside it is grey. Change is the distance of the two pictures in levels of "
    "255{seed}. Press a variant or a picture to open it in Compare, beside the full prompt."
)
BY_SEED = "; another seed alone changes the picture by {change:.3g}"
NO_EFFECTS = "Effects are shown as soon as two seeds are complete."
MODEL_CHANGED = (
    "The model was changed meanwhile, so the ablation ended. Start it again with this one."
)
NOTHING_TO_COMPARE = "There is nothing finished to compare it with yet."
CELL_GONE = "This ablation is no longer there; start it again."


def another_plan(name: str) -> str:
    """Over the pictures of a plan that is no longer the one in the form."""
    return (
        f"Below are the pictures of the ablation before (“{called(name)}”). Start begins another "
        "one with what is chosen now; those pictures stay among your results."
    )


def found_again(name: str, finished: int, cells: int) -> str:
    """After a reload, of an ablation that was started before."""
    done = f"all {cells}" if finished == cells else f"{finished} of {cells}"
    more = "shows them again" if finished == cells else "shows them again and goes on from there"
    return (
        f"Your last ablation (“{called(name)}”): {done} cells are finished and kept among your "
        f"results. With the same picture, texts and plan, {START} {more}."
    )


def called(name: str) -> str:
    """The first word of a plan's line in the list."""
    return PLANS.get(name, name).partition(" – ")[0]


def subject(size: tuple[int, int], title: str) -> str:
    return f"{title + ', ' if title else ''}{size[0]} × {size[1]} pixels."


def effects_info(by_seed: float | None) -> str:
    return EFFECTS_INFO.format(seed="" if by_seed is None else BY_SEED.format(change=by_seed))


def cell(number: int, total: int, variant: str, seed: int, step: str, left: float | None) -> str:
    """The line while it runs; `number` counts from 1."""
    rest = f" · about {duration(left)} left" if left and left >= 1 else ""
    return f"Cell {number} of {total}{rest} · {variant}, seed {seed} · {step}"


def done(total: int, failed: int, clear: int, variants: int) -> str:
    kept = f"Done: {total - failed} of {total} cells." if failed else f"Done: all {total} cells."
    if clear:
        moved = "moves a score" if clear == 1 else "move a score"
        return f"{kept} {clear} of {variants} changes {moved} beyond what another seed does."
    return f"{kept} No change moves a score beyond what another seed does."


def stopped(finished: int, total: int) -> str:
    if not finished:
        return "Stopped before the first cell was finished."
    return (
        f"Stopped: {finished} of {total} cells are finished and kept, here and among your results. "
        "Start goes on from there."
    )
