"""What happens in the Recipes tab: this visit's runs, and recipes that are brought back."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from xpsr.errors import XPSRError
from xpsr.prompts import PROMPT_NAMES, Prompts
from xpsr.recipe import Recipe, read_recipe
from xpsr.recipe_changes import Difference, changed_settings, changed_surroundings, surroundings

from .. import markup, texts
from .. import words as page_words
from ..compare.partner import partner_of, to_compare
from ..filling import fill
from ..form import FORM, fill_form, read_form, read_usable
from ..incoming import open_picture, picture_path, sentence
from ..restore.describing import Before
from ..restore.mine import set_aside
from ..results import changes_markup
from ..results.outputs import Run
from ..results.run_list import preset_of, runs_of
from ..results.words import NO_TITLE
from ..services import Services
from ..texts import Brought
from ..visit import Visit
from . import archive as recipe_archive
from . import words

# What is shown of the chosen run, and of a recipe that was brought; in this order.
RUN = ("details", "picture", "save_png", "save_json", "rerun", "use", "compare")
BROUGHT = ("recipe", "note", "preview", "decision")
# What applying one changes: on the tab Restore, the open tab, and here.
APPLIED = (*FORM, "written", "own_texts", "picture_note", "status", "tabs", *BROUGHT)


def rerun_command(run: Run) -> str:
    """How to repeat a run from its downloaded PNG."""
    recipe = run.recipe
    parts = ["python", "-m", "xpsr", "rerun", shlex.quote(run.after.name)]
    parts += ["--image", "PICTURE", "--out", "again"]
    if recipe.model != "mini":
        parts += ["--model", shlex.quote(recipe.model)]
    if recipe.base:
        parts += ["--base", shlex.quote(recipe.base)]
    return " ".join(parts)


def clock(run: Run) -> str:
    """When it was finished, by the id of the run: "22:07"."""
    time = run.id[9:13]
    return f"{time[:2]}:{time[2:]}" if time.isdecimal() else ""


class Recipes:
    """The handlers of one studio."""

    def __init__(self, services: Services) -> None:
        self.engine, self.outputs = services.engine, services.outputs

    def list_runs(self, visit: Visit, chosen: str | None) -> tuple:
        """The list, the button for the ZIP, and what is shown of the chosen run."""
        found = runs_of(self.outputs, visit)
        choices = [
            (
                words.run_line(label, preset_of(run.recipe.settings), run.seconds, clock(run)),
                run.id,
            )
            for label, run in found.items()
        ]
        ids = [run_id for _, run_id in choices]
        chosen = next((one for one in (chosen, visit.shown, *ids) if one in ids), None)
        listed = gr.update(choices=choices, value=chosen, visible=bool(choices))
        return listed, gr.update(interactive=bool(choices)), *self.show_run(chosen)

    def show_run(self, run_id: str | None) -> tuple:
        """Values for the components in `RUN`."""
        if not run_id:
            hidden, off = gr.update(visible=False), gr.update(interactive=False)
            nothing = gr.update(value=None, interactive=False)
            return fill(
                RUN,
                details=markup.quiet(words.NO_RUNS),
                **dict.fromkeys(("picture", "rerun"), hidden),
                **dict.fromkeys(("save_png", "save_json"), nothing),
                **dict.fromkeys(("use", "compare"), off),
            )
        try:
            run = self.outputs.find(run_id)
        except Exception as error:
            return fill(RUN, details=markup.notice(sentence(error), bad=True))
        noted = words.noted(run.recipe.notes)
        return fill(
            RUN,
            details=markup.quiet(noted) if noted else "",
            picture=gr.update(value=str(run.after), visible=True),
            save_png=gr.update(value=str(run.after), interactive=True),
            save_json=gr.update(value=str(run.recipe_file), interactive=True),
            rerun=gr.update(value=rerun_command(run), visible=True),
            use=gr.update(interactive=True),
            compare=gr.update(interactive=True),
        )

    def compare(self, run_id: str, visit: Visit) -> tuple:
        """The tab Compare with this run, and what it is best compared with."""
        run = self.outputs.get(run_id)
        other = partner_of(run, self.outputs, visit) if run else None
        return gr.Tabs(selected="compare"), to_compare(other.id if other else "", run_id)

    def pack(self, visit: Visit) -> tuple:
        """A ZIP of all runs: the note about it, and the button that gives it."""
        try:
            runs = list(runs_of(self.outputs, visit).values())
            path = self.outputs.shelf.new_folder() / "xpsr-results.zip"
            left_out = recipe_archive.pack(runs, path)
            said = words.packed(len(runs) - left_out, left_out)
            return markup.notice(said), gr.update(value=str(path), visible=True)
        except Exception as error:
            return markup.notice(sentence(error), bad=True), gr.skip()

    def bring_file(self, payload: Any, picture: Any, preset: str, *values: Any) -> tuple:
        """A dropped file: what its recipe would change, or why it is none. Fills `BROUGHT`."""
        try:
            recipe = read_recipe(picture_path(payload))
            name = Path(str(payload.get("orig_name") or "")).name[:80] or words.OPEN
            return self._offer(recipe, name, picture, preset, values)
        except Exception as error:
            return fill(BROUGHT, **_closed(sentence(error), bad=True))

    def notice_recipe(self, payload: Any) -> tuple:
        """Another picture on the first tab: the line that tells of a recipe in it, if any."""
        try:
            recipe = read_recipe(picture_path(payload))
        except XPSRError:  # a photograph like any other
            return gr.update(visible=False), ""
        said = words.carries_recipe(recipe.model, recipe.seed, recipe.output_size)
        return gr.update(visible=True), markup.notice(said)

    def see_recipe(self, picture: Any, preset: str, *values: Any) -> tuple:
        """What it would change, in this tab: `BROUGHT`, then the open tab."""
        return *self.bring_file(picture, picture, preset, *values), gr.Tabs(selected="recipes")

    def bring_run(self, run_id: str, picture: Any, preset: str, *values: Any) -> tuple:
        """The same for a run of this visit."""
        try:
            run = self.outputs.find(run_id)
            title = run.title or NO_TITLE
            return self._offer(run.recipe, title, picture, preset, values)
        except Exception as error:
            return fill(BROUGHT, **_closed(sentence(error), bad=True))

    def _offer(
        self, recipe: Recipe, name: str, picture: Any, preset: str, values: Sequence[Any]
    ) -> tuple:
        size, said = recipe.output_size, []
        said.append(words.about(name, recipe.model, recipe.seed, size))
        said.append(self._about_picture(recipe, picture))
        said += [words.noted(recipe.notes)] if recipe.notes else []
        usable = True
        try:
            prompts, settings = read_form(preset, values)
        except XPSRError as error:
            usable = False
            prompts, settings = read_usable(preset, values)
            said.append(words.FORM_UNUSABLE.format(why=str(error).rstrip(".")))
        around = self._surroundings(recipe)
        said += _about_model(recipe, around) if around is not None else [
            words.MODEL_UNKNOWN
        ]  # fmt: skip
        found = changed_settings(settings, recipe.settings)
        if usable and prompts == recipe.prompts and not found:
            said.append(words.NOTHING_CHANGES)
        same = words.SETTINGS_SAME if usable else ""
        preview = _preview(prompts, recipe, found + (around or []), same)
        note, decision = markup.notice(" ".join(said)), gr.update(visible=True)
        return fill(BROUGHT, recipe=recipe, note=note, preview=preview, decision=decision)

    def _about_picture(self, recipe: Recipe, picture: Any) -> str:
        try:
            image = open_picture(picture).image
        except XPSRError:
            return words.PICTURE_NONE
        same = recipe.is_input(image)
        return words.PICTURE_SAME if same else words.PICTURE_OTHER

    def _surroundings(self, recipe: Recipe) -> list[Difference] | None:
        if (pipeline := self.engine.loaded) is None:
            return None
        return changed_surroundings(pipeline.surroundings(), surroundings(recipe))

    def apply(
        self,
        recipe: Recipe | None,
        before: Before | None,
        visit: Visit,
        written: Brought,
        *values: Any,
        everything: bool,
    ) -> tuple:
        """Values for `APPLIED`; with `everything` the settings as well as the texts.

        `before`: a describer is at work, whose end would take the texts away again.
        """
        if recipe is None:  # pressed twice
            return fill(APPLIED)
        if before is not None:
            return fill(APPLIED, note=markup.notice(words.DESCRIBING, bad=True))
        visit.expected = recipe.input_sha256
        form = dict(zip(FORM, fill_form(recipe.prompts, recipe.settings), strict=True))
        new = form if everything else {name: form[name] for name in PROMPT_NAMES}
        now = dict(zip(FORM, values, strict=True))
        done = words.APPLIED if everything else words.APPLIED_TEXTS
        size = visit.picture.size  # whatever was said of the texts that stood there
        note = markup.notice(page_words.picture(size)) if size else gr.skip()
        return fill(
            APPLIED,
            **new,
            written=texts.restored(recipe),
            own_texts=set_aside(visit, now, new, written),
            picture_note=note,
            status=markup.notice(done),
            tabs=gr.Tabs(selected="restore"),
            **_closed(done),
        )

    def cancel(self) -> tuple:
        return fill(BROUGHT, **_closed(words.CANCELLED))

    def empty(self, recipe: Recipe | None) -> Any:
        """The box of a dropped file, once its recipe is done with: the same may come again."""
        return gr.skip() if recipe else None


def _closed(note: str, bad: bool = False) -> dict[str, Any]:
    """No recipe waits for a decision any more."""
    hidden = gr.update(visible=False)
    return {"recipe": None, "note": markup.notice(note, bad), "preview": "", "decision": hidden}


def _about_model(recipe: Recipe, found: Sequence[Difference]) -> list[str]:
    places = {one.place for one in found}
    if "model" in places:
        return [words.MODEL_OTHER.format(model=recipe.model)]
    if any(place.endswith("revision") or place == "base" for place in places):
        return [words.WEIGHTS_OTHER]
    return [words.VERSIONS_OTHER] if places else []


def _preview(now: Prompts, recipe: Recipe, found: Sequence[Difference], same: str) -> str:
    """What would change; `same` is said where the settings are as they are in the recipe."""
    said = changes_markup.texts(now, recipe.prompts, words.MARKS)
    preview = f"<h4>{words.TEXTS_WOULD}</h4>{said}"
    if found or same:
        table = changes_markup.differences(found, words.COLUMNS, same)
        preview += f"<h4>{words.SETTINGS_WOULD}</h4>{table}"
    return preview
