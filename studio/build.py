"""The studio as one `gr.Blocks`, and how it is served."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import gradio as gr

from xpsr.prompts import Prompts
from xpsr.settings import Settings

from . import examples, words
from .api.endpoints import Endpoints, publish
from .blocks import StudioBlocks
from .layout import lay_out
from .models.choice import NOT_ALLOWED, LastChoice, Permission
from .models.engine import Engine
from .open_tab import remember_open_tab
from .opening import Opening
from .queueing import OF_ANYTHING, look_after
from .restore.wiring import connect
from .results import scores, scores_markup
from .results.housekeeping import keep_tidy
from .results.outputs import Outputs
from .results.shelf import GIGABYTE, KEEP_SECONDS, Shelf
from .services import Services
from .tabs import TABS
from .theme import CSS, HEAD, make_theme


def build(engine: Engine, where: Where, may_change_model: Permission = NOT_ALLOWED) -> gr.Blocks:
    """Lay the page out and connect it. No model is loaded."""
    services = Services(engine, where.outputs(), may_change_model, LastChoice(where.folder))
    demo = StudioBlocks(
        title=words.TITLE,
        analytics_enabled=False,
        delete_cache=(3600, KEEP_SECONDS),
    )
    with demo:
        # First, so that Gradio does not give their names to handlers of the page.
        publish(Endpoints(services))
        page = lay_out(_opening(services))
        back = connect(demo, page, services)
        for tab in TABS:
            part, handle = page.parts[tab.id]
            tab.connect(page, part, handle, services)
        remember_open_tab(page, back)
    # One picture at a time is worked on.
    demo.queue(max_size=OF_ANYTHING)
    look_after(demo._queue)
    keep_tidy(services.outputs)
    return demo


@dataclass(frozen=True)
class Where:
    """Where finished runs are kept, and for how long.

    Attributes:
        folder: the folder of results.
        gigabytes: beyond so many the oldest results are removed; files made of them for the page
            may take as many again.
        keep_seconds: older results are removed as well; None: they stay.
    """

    folder: str = "outputs"
    gigabytes: float = 2.0
    keep_seconds: float | None = None

    def outputs(self) -> Outputs:
        """The folder of results, with the examples."""
        limit = int(self.gigabytes * GIGABYTE)
        shelf = Shelf(limit)
        return Outputs(
            self.folder,
            shelf,
            limit=limit,
            keep_seconds=self.keep_seconds,
            examples=examples.gather(shelf.folder.parent / "examples"),
        )


def _opening(services: Services) -> Opening:
    found = list(services.outputs.examples.values())
    preset = services.engine.default_preset()
    opening: dict[str, Any] = {
        "preset": preset,
        "texts": asdict(Prompts.from_preset(preset)),
        "settings": asdict(Settings.from_preset(preset)),
        "learned": scores.learned_metrics(),
        "gigabytes": services.outputs.limit / GIGABYTE,
        "may_change_model": services.may_change_model.granted,
        "example_pictures": tuple(example.picture for example in found),
        "example_titles": tuple(example.title for example in found),
    }
    if found:
        first = found[0]
        opening |= {
            "pair": (str(first.before), str(first.after)),
            "download": str(first.after),
            "recipe": str(first.recipe_file),
            "scores": scores_markup.table(first.rows),
            "status": words.example(first.title),
            "shown": first.id,
        }
    return Opening(**opening)


def serving() -> dict[str, Any]:
    """What `launch` is told on every machine: looks, and limits of the server."""
    return {
        "theme": make_theme(),
        "css": CSS,
        "head": HEAD,
        "footer_links": ["api", "settings"],
        "run_history": False,
        "max_file_size": f"{words.LARGEST_UPLOAD}mb",
        "state_session_capacity": 256,
        "enable_monitoring": False,
        "show_error": False,  # our own sentences are shown all the same, stack traces are not
        "ssr_mode": False,
        "strict_cors": True,
    }
