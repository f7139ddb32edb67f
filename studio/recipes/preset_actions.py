"""What happens with the presets of a visitor's own in the Recipes tab."""

from __future__ import annotations

from typing import Any

import gradio as gr

from xpsr.errors import XPSRError
from xpsr.prompts import PROMPT_NAMES
from xpsr.settings import SETTING_NAMES

from .. import markup
from ..form import FORM, MAIN_TEXTS, fill_form, read_form
from ..incoming import picture_path, sentence
from ..services import Services
from . import words
from .presets import MAX_BYTES, NamedPreset, PresetBook

# What the handlers give values for, in this order.
SHELF = ("stored", "chosen", "note", "export", "name")
_STAY = (*MAIN_TEXTS, "seed")


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
            return gr.skip(), gr.update(choices=[], value=None), note, gr.skip(), gr.skip()
        if not book.names():  # nothing to show, and what is saved meanwhile is not written over
            return tuple(gr.skip() for _ in range(5))
        # The note stays: it may be that of a button which was pressed in the same moment.
        listed, _, export = self._listed(book, chosen, "")
        return gr.skip(), listed, gr.skip(), export, gr.skip()

    def offer(self, stored: Any) -> Any:
        """The list of one's own presets on the first tab; hidden as long as there is none."""
        names = _book(stored).names()
        return gr.update(choices=names, value=None, visible=bool(names))

    def save(self, stored: Any, name: str, preset: str, *values: Any) -> tuple:
        try:
            new = NamedPreset.of_form(name, *read_form(preset, values))
            return self._kept(_book(stored).added(new), new.name, words.SAVED, "")
        except Exception as error:
            return _refused(error)

    def replace(self, stored: Any, chosen: str | None, preset: str, *values: Any) -> tuple:
        try:
            book = _book(stored)
            name = book.find(chosen).name
            new = NamedPreset.of_form(name, *read_form(preset, values))
            return self._kept(book.replaced(new), name, words.REPLACED)
        except Exception as error:
            return _refused(error)

    def rename(self, stored: Any, chosen: str | None, name: str) -> tuple:
        try:
            book = _book(stored)
            new = book.renamed(chosen, name)
            place = book.names().index(str(chosen))
            return self._kept(new, new.names()[place], words.RENAMED, "")
        except Exception as error:
            return _refused(error)

    def delete(self, stored: Any, chosen: str | None) -> tuple:
        try:
            done = words.preset_done(words.DELETED, str(chosen))
            before = _book(stored)
            book, gone = before.removed(chosen), before.find(chosen)
            kept = gone.model_dump(mode="json"), gr.update(visible=True)
            return _value(book), *self._listed(book, None, done), gr.skip(), *kept
        except Exception as error:
            return *_refused(error), gr.skip(), gr.skip()

    def undo(self, stored: Any, gone: Any) -> tuple:
        """The preset that was deleted last once more."""
        try:
            back = NamedPreset.model_validate(gone)
            done = self._kept(_book(stored).added(back), back.name, words.BROUGHT_BACK)
            return *done, None, gr.update(visible=False)
        except Exception as error:
            return *_refused(error), gr.skip(), gr.skip()

    def load(self, stored: Any, chosen: str | None, preset: str, *values: Any) -> tuple:
        """The note, then the form without the two main texts and the seed, which stay."""
        try:
            found = PresetBook.read(stored).find(chosen)
            prompts, settings = read_form(preset, values)
            filled = fill_form(found.prompts(prompts), found.all_settings(settings.seed))
            new = dict(zip(FORM, filled, strict=True))
            said = words.preset_done(words.LOADED, found.name)
            changes = (gr.skip() if name in _STAY else new[name] for name in FORM)
            return markup.notice(said), *changes
        except Exception as error:
            note = markup.notice(sentence(error), bad=True)
            return note, *(gr.skip() for _ in (*PROMPT_NAMES, *SETTING_NAMES))

    def bring(self, stored: Any, chosen: str | None, payload: Any) -> tuple:
        """Presets from a file beside those that are here."""
        try:
            with picture_path(payload).open("rb") as file:
                brought = PresetBook.read(file.read(MAX_BYTES + 1))
            if not brought.presets:
                raise XPSRError(words.PRESETS_NO_FILE)
            book, added = _book(stored).merged(brought)
            said = words.imported(added, len(brought.presets) - added)
            return _value(book), *self._listed(book, chosen, said), gr.skip()
        except Exception as error:
            return _refused(error)

    def _kept(self, book: PresetBook, name: str, done: str, box: Any = None) -> tuple:
        said = words.preset_done(done, name)
        return _value(book), *self._listed(book, name, said), gr.skip() if box is None else box

    def _listed(self, book: PresetBook, chosen: str | None, said: str) -> tuple:
        names = book.names()
        chosen = chosen if chosen in names else next(iter(names), None)
        export = gr.update(interactive=False)
        if names:
            path = self.outputs.shelf.new_folder() / "xpsr-presets.json"
            path.write_text(book.to_json(), encoding="utf-8")
            export = gr.update(value=str(path), interactive=True)
        return gr.update(choices=names, value=chosen), markup.notice(said), export


def _book(stored: Any) -> PresetBook:
    """What the browser kept; unreadable, it is written anew."""
    try:
        return PresetBook.read(stored)
    except XPSRError:
        return PresetBook()


def _value(book: PresetBook) -> Any:
    return book.model_dump(mode="json")


def _refused(error: Exception) -> tuple:
    return gr.skip(), gr.skip(), markup.notice(sentence(error), bad=True), gr.skip(), gr.skip()
