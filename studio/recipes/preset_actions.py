"""What happens with the presets of a visitor's own in the Recipes tab."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps
from typing import Any

import gradio as gr

from xpsr.errors import XPSRError

from .. import markup
from ..filling import fill
from ..form import FORM, REST, fill_form, read_form, read_usable
from ..incoming import picture_path, sentence
from ..restore.mine import set_aside
from ..services import Services
from ..texts import Brought
from ..visit import Visit
from . import words
from .presets import MAX_BYTES, NamedPreset, PresetBook

# What the handlers give values for, in this order.
SHELF = ("stored", "chosen", "note", "export", "name", "gone", "undo")
shelf = partial(fill, SHELF)
LOADED = ("note", "own_texts", *FORM)


def _said(act: Callable[..., tuple]) -> Callable[..., tuple]:
    """What cannot be done is told in the note; the presets stay as they are."""

    @wraps(act)
    def handler(*given: Any) -> tuple:
        try:
            return act(*given)
        except Exception as error:
            return shelf(note=markup.notice(sentence(error), bad=True))

    return handler


class PresetActions:
    """The handlers of one studio. `stored` is what the browser keeps: foreign each time."""

    def __init__(self, services: Services) -> None:
        self.outputs = services.outputs

    def enter(self, stored: Any, chosen: str | None) -> tuple:
        """The tab is opened."""
        try:
            book = PresetBook.read(stored)
        except XPSRError:
            note = markup.notice(words.PRESETS_UNREADABLE, bad=True)
            return shelf(chosen=gr.update(choices=[], value=None), note=note)
        if not book.names():  # nothing to show, and what is saved meanwhile is not written over
            return shelf()
        # The note stays: it may be that of a button which was pressed in the same moment.
        return shelf(**self._listed(book, chosen))

    def offer(self, stored: Any) -> Any:
        """The list of one's own presets on the first tab; hidden as long as there is none."""
        names = _book(stored).names()
        return gr.update(choices=names, value=None, visible=bool(names))

    @_said
    def save(self, stored: Any, name: str, preset: str, *values: Any) -> tuple:
        new = NamedPreset.of_form(name, *read_form(preset, values))
        return self._kept(_book(stored).added(new), new.name, words.SAVED, name="")

    @_said
    def replace(self, stored: Any, chosen: str | None, preset: str, *values: Any) -> tuple:
        book = _book(stored)
        name = book.find(chosen).name
        new = NamedPreset.of_form(name, *read_form(preset, values))
        return self._kept(book.replaced(new), name, words.REPLACED)

    @_said
    def rename(self, stored: Any, chosen: str | None, name: str) -> tuple:
        book = _book(stored)
        new = book.renamed(chosen, name)
        place = book.names().index(str(chosen))
        return self._kept(new, new.names()[place], words.RENAMED, name="")

    @_said
    def delete(self, stored: Any, chosen: str | None) -> tuple:
        book = _book(stored)
        gone = book.find(chosen)
        return self._written(
            book.removed(chosen),
            None,
            words.preset_done(words.DELETED, gone.name),
            gone=gone.model_dump(mode="json"),
            undo=gr.update(visible=True),
        )

    @_said
    def undo(self, stored: Any, gone: Any) -> tuple:
        """The preset that was deleted last once more."""
        back = NamedPreset.model_validate(gone)
        book, hidden = _book(stored).added(back), gr.update(visible=False)
        return self._kept(book, back.name, words.BROUGHT_BACK, gone=None, undo=hidden)

    def load(
        self,
        stored: Any,
        chosen: str | None,
        visit: Visit,
        written: Brought,
        preset: str,
        *values: Any,
    ) -> tuple:
        """Values for `LOADED`: the note, and the form but the two main texts and the seed."""
        try:
            found = PresetBook.read(stored).find(chosen)
            prompts, settings = read_usable(preset, values)  # it may replace what is wrong
            filled = fill_form(found.prompts(prompts), found.all_settings(settings.seed))
            both = zip(FORM, filled, strict=True)
            new = {name: value for name, value in both if name in REST and name != "seed"}
            own_texts = set_aside(visit, dict(zip(FORM, values, strict=True)), new, written)
            said = markup.notice(words.preset_done(words.LOADED, found.name))
            return fill(LOADED, note=said, own_texts=own_texts, **new)
        except Exception as error:
            return fill(LOADED, note=markup.notice(sentence(error), bad=True))

    @_said
    def bring(self, stored: Any, chosen: str | None, payload: Any) -> tuple:
        """Presets from a file beside those that are here."""
        with picture_path(payload).open("rb") as file:
            brought = PresetBook.read(file.read(MAX_BYTES + 1))
        if not brought.presets:
            raise XPSRError(words.PRESETS_NO_FILE)
        book, added = _book(stored).merged(brought)
        said = words.imported(added, len(brought.presets) - added)
        return self._written(book, chosen, said)

    def _kept(self, book: PresetBook, chosen: str, done: str, **changes: Any) -> tuple:
        return self._written(book, chosen, words.preset_done(done, chosen), **changes)

    def _written(self, book: PresetBook, chosen: str | None, said: str, **changes: Any) -> tuple:
        """The browser keeps another book, and the page shows it."""
        listed, note = self._listed(book, chosen), markup.notice(said)
        return shelf(stored=book.model_dump(mode="json"), note=note, **listed, **changes)

    def _listed(self, book: PresetBook, chosen: str | None) -> dict[str, Any]:
        names = book.names()
        chosen = chosen if chosen in names else next(iter(names), None)
        export = gr.update(interactive=False)
        if names:
            path = self.outputs.shelf.new_folder() / "xpsr-presets.json"
            path.write_text(book.to_json(), encoding="utf-8")
            export = gr.update(value=str(path), interactive=True)
        return {"chosen": gr.update(choices=names, value=chosen), "export": export}


def _book(stored: Any) -> PresetBook:
    """What the browser kept; unreadable, it is written anew."""
    try:
        return PresetBook.read(stored)
    except XPSRError:
        return PresetBook()
