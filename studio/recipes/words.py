"""What the Recipes tab says."""

from __future__ import annotations

from collections.abc import Sequence

from xpsr.counted import counted

from ..labels import as_labelled
from ..words import took

TAB = "Recipes"

# This visit's results --------------------------------------------------------------------------
RUNS = "Results of this visit"
CHOOSE_RUN = "Choose one"
RUNS_INFO = "The newest first. They stay in the results folder when the page is closed."
NO_RUNS = "Nothing yet: restore a picture first."
OWN_SETTINGS = "own settings"
RUN_PICTURE = "The chosen result"
SAVE_PNG = "Picture (PNG)"
SAVE_JSON = "Recipe (JSON)"
MAKE_ZIP = "Pack everything into a ZIP"
SAVE_ZIP = "Download the ZIP"
USE = "Use its recipe"
COMPARE = "Open in Compare"
RERUN = "To repeat it exactly, on the command line"
RERUN_INFO = (
    "PICTURE is the picture it was made from. The command says whether the pixels are identical."
)


def run_line(label: str, preset: str | None, seconds: float, clock: str) -> str:
    return " · ".join((label, preset or OWN_SETTINGS, took(seconds), clock))


def noted(notes: Sequence[str]) -> str:
    """What a recipe tells of its run, such as words that were cut; empty where there is nothing."""
    return as_labelled(f"Noted when it was made: {' '.join(notes)}") if notes else ""


def packed(count: int, left_out: int) -> str:
    said = f"{counted(count, 'result')} packed, with recipes and input pictures."
    if left_out:
        said += f" The {left_out} oldest did not fit and were left out; download them one by one."
    return said


# Opening a recipe ------------------------------------------------------------------------------
OPEN = "Open a recipe"
DROP = "Drop a PNG saved here, or its JSON"
DROP_INFO = "You see what it would change before anything is changed."
NOTHING_CHANGES = "Everything in the form is already as in this recipe."
MARKS = "Struck out: goes away. Underlined: comes in."
COLUMNS = ("Now", "In the recipe")
SETTINGS_SAME = "Settings, model and versions are the same as here."
TEXTS_WOULD = "The texts"
SETTINGS_WOULD = "Settings, model and versions"
APPLY = "Apply all"
APPLY_TEXTS = "Prompts only"
CANCEL = "Cancel"
CANCELLED = "Nothing was changed."
APPLIED = "All of the recipe is in the form now. Press Restore to run it."
APPLIED_TEXTS = (
    "The five texts of the recipe are in the form now; the settings are as they were. Press "
    "Restore to run it."
)
DESCRIBING = (
    "Your picture is being described, and that would write over these texts: wait for it, or stop "
    "it on the tab Restore. Then apply the recipe."
)
PICTURE_SAME = "It was made from the picture that is on the page."
PICTURE_OTHER = "It was made from another picture than the one on the page."
PICTURE_NONE = "There is no picture on the page to compare its input with."
MODEL_UNKNOWN = "The model is still being loaded, so it is not compared."
MODEL_OTHER = (
    "It was made with another model ({model}): applying it does not change the model, so the "
    "result will be another one."
)
WEIGHTS_OTHER = "It was made with other weights of the model, so the result will be another one."
VERSIONS_OTHER = "Versions or the machine differ, so single pixels may come out differently."
FORM_UNUSABLE = "Some of the form cannot be used as it stands ({why}) and is not compared."


def about(name: str, model: str, seed: int, size: tuple[int, int]) -> str:
    return f"{name}: model {model}, seed {seed}, {size[0]} × {size[1]} pixels."


# Presets ---------------------------------------------------------------------------------------
PRESETS = "Presets of your own"
PRESETS_INFO = (
    "A preset keeps all settings but the seed, and all texts but the two that tell of the picture. "
    "Presets stay in this browser, on this computer; take them along as a file."
)
PRESET_CHOSEN = "Your presets"
PRESET_CHOSEN_INFO = "They can be chosen under “Advanced” on the tab Restore as well."
PRESET_NAME = "Name"
PRESET_NAME_INFO = "For a new preset, or the new name of the chosen one."
PRESET_SAVE = "Save the form as new"
PRESET_LOAD = "Load"
PRESET_REPLACE = "Overwrite"
PRESET_RENAME = "Rename"
PRESET_DELETE = "Delete"
PRESET_UNDO = "Undo the deletion"
PRESET_EXPORT = "Download all (JSON)"
PRESET_IMPORT = "Add from a file"
PRESET_CHOOSE = "Choose one of your presets first."
PRESETS_UNREADABLE = (
    "The presets kept in this browser cannot be read; they are left alone until you save a new one."
)
PRESETS_NO_FILE = "This file holds no presets of XPSR Studio."
PRESETS_LARGE = "This file is larger than {limit} kB, so it holds no presets of ours."
NAME_EMPTY = "Give the preset a name."


def preset_done(what: str, name: str) -> str:
    return f"{what} “{name}”."


BROUGHT_BACK = "Here again:"
SAVED, LOADED, REPLACED, RENAMED, DELETED = (
    "Saved", "Loaded into the form:", "Overwritten with the form:", "The preset is now called",
    "Deleted",
)  # fmt: skip


def name_long(limit: int) -> str:
    return f"That name is too long; use {limit} characters at most."


def name_taken(name: str) -> str:
    return f"There is a preset “{name}” already: choose another name, or overwrite that one."


def name_built_in(name: str) -> str:
    return f"“{name}” is built in and stays as it is; choose another name."


def too_many_presets(limit: int) -> str:
    return f"There is room for {limit} presets; delete one first."


def imported(added: int, known: int) -> str:
    said = f"{counted(added, 'preset')} added."
    return f"{said} {known} were here already." if known else said


def carries_recipe(model: str, seed: int, size: tuple[int, int]) -> str:
    return (
        f"This picture carries a recipe: model {model}, seed {seed}, {size[0]} × {size[1]} pixels."
    )
