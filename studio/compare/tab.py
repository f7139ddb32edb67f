"""The Compare tab: two results on one slider, what differs between them, and a blind vote."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import gradio as gr

from .. import markup
from ..divider import connect_divider, lay_out_divider
from ..parts import flat, kept_by_browser, picture, small
from ..tab import Tab
from ..triggers import PRIVATE, QUICK, bring_into_view
from . import words
from .actions import NO_PAIR, VIEW, Compare
from .memory import STORAGE_KEY
from .vote import Answer, Ballot
from .voting import PANEL, BlindVote

if TYPE_CHECKING:
    from ..opening import Opening
    from ..page import Page
    from ..services import Services

CSS = """
#compare-looking, #compare-voting { gap: 14px; }
/* No headings over nothing, as long as no pair is chosen. */
#compare-told:not(:has(#compare-texts .quiet)) { display: none; }
#compare-looking:not(:has(#compare-texts .quiet)) #compare-swap { display: none; }
/* One row of small pictures that scrolls sideways, with captions that can be read. */
.strip .grid-wrap { height: auto !important; max-height: none; overflow: auto hidden;
  contain: inline-size; }
.strip .grid-container { display: flex !important; gap: 8px; padding: 30px 8px 8px; }
.strip .grid-container > * { flex: 0 0 132px; }
.strip .thumbnail-lg { height: 112px !important; aspect-ratio: auto !important; }
.strip .caption-label { inset: auto 0 0 0; max-width: none; border-radius: 0; border: 0;
  padding: .15rem .4rem; font-size: .75rem; line-height: 1.25; text-align: left;
  white-space: nowrap; text-overflow: ellipsis; opacity: .95; }
#compare-map img, .vote-side img, .beside img { width: 100%; object-fit: contain !important; }
.part { gap: .3rem !important; } .part h4 { margin: .6rem 0 0; }
.verdict { font-size: 1.15rem; font-weight: 600; margin: .3rem 0; }
"""

# A strip that is wider than the page is moved to where its chosen picture stands.
SHOW_CHOSEN = """() => {
  for (const chosen of document.querySelectorAll('.strip .thumbnail-item.selected')) {
    const strip = chosen.closest('.grid-wrap');
    const [inside, around] = [chosen, strip].map((one) => one.getBoundingClientRect());
    if (inside.left < around.left || inside.right > around.right)
      strip.scrollLeft += inside.left - around.left - 8;
  }
}"""


@dataclass(frozen=True)
class Parts:
    """The components by role; those of the view and of the vote by their names there."""

    swap: gr.Button
    position: gr.Slider
    gain: gr.Slider
    unfolded: gr.State
    view: dict[str, Any]
    ballot: gr.State
    votes: gr.BrowserState
    tie: gr.Button
    left_better: gr.Button
    right_better: gr.Button
    back: gr.Button
    panel: dict[str, Any]


def lay_out(opening: Opening) -> Parts:
    view: dict[str, Any] = {
        "pair": gr.State(NO_PAIR),
        "first": gr.State(NO_PAIR),  # the pair where the page has chosen it, not the visitor
        "ids": gr.State(()),
        "taken": gr.State(None),  # what another tab has asked for, once it is shown
    }
    parts: dict[str, Any] = {
        "unfolded": gr.State(False),  # whether the difference is looked at
        "ballot": gr.State(Ballot()),
        "votes": kept_by_browser(STORAGE_KEY),
    }
    with gr.Column(elem_id="compare-looking") as looking:
        parts |= _strips(view)
        _pictures(view, parts)
        _changes(view)
        kept = _vote_entry(view)
    with gr.Column(visible=False, elem_id="compare-voting") as voting:
        panel = _voting(parts) | kept | {"looking": looking, "voting": voting}
    return Parts(**parts, view=view, panel=panel)


def _strips(view: dict[str, Any]) -> dict[str, Any]:
    flat(markup.quiet(words.INTRO))
    with gr.Row():
        for side in ("A", "B"):
            view[f"strip_{side.lower()}"] = gr.Gallery(
                label=words.STRIP.format(side=side),
                columns=4,
                height=165,
                allow_preview=False,
                object_fit="cover",
                interactive=False,
                buttons=[],
                format="jpeg",
                elem_id=f"compare-strip-{side.lower()}",
                elem_classes="strip",
            )
    with gr.Row(elem_classes="under"):
        view["note"] = flat(markup.notice(words.NONE_CHOSEN), elem_id="compare-note")
        swap = small(words.SWAP, "compare-swap")
    return {"swap": swap}


def _pictures(view: dict[str, Any], parts: dict[str, Any]) -> None:
    with gr.Column(elem_classes="tight", visible=False) as view["over"]:
        view["slider"], parts["position"] = lay_out_divider(
            words.SLIDER,
            (words.POSITION, words.POSITION_INFO),
            ("compare-slider", "compare-position"),
        )
    with gr.Row(visible=False) as view["beside"]:
        for side in ("A", "B"):
            view[f"side_{side.lower()}"] = picture(
                words.SIDE.format(side=side), f"compare-side-{side.lower()}", "beside"
            )
    with gr.Accordion(
        words.DIFFERENCE, open=False, visible=False, elem_id="compare-difference"
    ) as view["difference_box"]:
        parts["gain"] = gr.Slider(
            1,
            32,
            8,
            step=1,
            label=words.GAIN,
            info=words.GAIN_INFO,
            buttons=[],
            elem_id="compare-gain",
        )
        view["map"] = picture(words.DIFFERENCE_MAP, "compare-map", "map")
        flat(markup.quiet(words.DIFFERENCE_INFO))


def _changes(view: dict[str, Any]) -> None:
    with gr.Row(elem_id="compare-told"):
        with gr.Column(scale=3, min_width=320, elem_classes="part"):
            gr.Markdown(f"#### {words.WORDS_CHANGED}")
            view["texts"] = flat(elem_id="compare-texts")
            gr.Markdown(f"#### {words.SETTINGS_CHANGED}")
            view["settings"] = flat(elem_id="compare-settings")
        with gr.Column(scale=2, min_width=320, elem_classes="part"):
            gr.Markdown(f"#### {words.SCORES}")
            view["scores"] = flat(elem_id="compare-scores")
            view["size"] = flat(elem_id="compare-size")


def _vote_entry(view: dict[str, Any]) -> dict[str, Any]:
    """Returns what tells of votes that are kept."""
    with gr.Accordion(words.VOTE, open=False, elem_id="compare-vote") as entry:
        flat(markup.quiet(words.VOTE_INFO))
        view["more_pairs"] = gr.Checkbox(
            True,
            label=words.MATCHING,
            info=words.MATCHING_INFO,
            visible=False,
            elem_id="compare-more-pairs",
        )
        kept = flat(elem_id="compare-kept")
        with gr.Row():
            view["start"] = gr.Button(
                words.START, interactive=False, min_width=200, elem_id="compare-start-vote"
            )
            resume = gr.Button(words.RESUME, visible=False, min_width=160, elem_id="compare-resume")
    return {"entry": entry, "kept": kept, "resume": resume}


def _voting(parts: dict[str, Any]) -> dict[str, Any]:
    panel: dict[str, Any] = {"question": flat(markup.notice(""), elem_id="compare-question")}
    with gr.Column() as panel["asked"]:
        with gr.Row():
            panel["left"] = picture(words.LEFT_PICTURE, "compare-left", "vote-side")
            panel["right"] = picture(words.RIGHT_PICTURE, "compare-right", "vote-side")
        with gr.Row():
            for name, label in (
                ("left_better", words.LEFT),
                ("tie", words.TIE),
                ("right_better", words.RIGHT),
            ):
                parts[name] = gr.Button(
                    label,
                    variant="secondary" if name == "tie" else "primary",
                    size="md",
                    min_width=90,
                    elem_id=f"compare-{name.replace('_', '-')}",
                )
    with gr.Row():
        panel["reveal"] = gr.Button(
            words.REVEAL,
            size="md",
            min_width=130,
            elem_id="compare-reveal",
        )
        parts["back"] = gr.Button(words.BACK, size="md", min_width=130, elem_id="compare-back")
    panel["result"] = flat(elem_id="compare-result")
    with gr.Row():
        panel["save_json"] = gr.DownloadButton(
            words.SAVE_JSON, visible=False, size="md", elem_id="compare-save-json"
        )
        panel["save_csv"] = gr.DownloadButton(
            words.SAVE_CSV, visible=False, size="md", elem_id="compare-save-csv"
        )
        panel["discard"] = gr.Button(
            words.DISCARD, visible=False, size="md", elem_id="compare-discard"
        )
    return panel


def connect(page: Page, part: Parts, handle: gr.Tab, services: Services) -> None:
    actions = Compare(services)
    view = [part.view[name] for name in VIEW]
    pair = part.view["pair"]
    state = [pair, part.view["ids"], page.visit]
    asked = [page.visit, pair, page.chosen, part.view["taken"], part.view["first"]]
    draw = {
        "fn": actions.draw,
        "inputs": [pair, part.gain, part.unfolded],
        "outputs": part.view["map"],
        **QUICK,
    }
    events = [
        handle.select(actions.enter, asked, view, **QUICK),
        page.chosen.change(actions.enter, asked, view, **QUICK),
        part.view["strip_a"].select(actions.choose_a, state, view, **QUICK),
        part.view["strip_b"].select(actions.choose_b, state, view, **QUICK),
        part.swap.click(actions.swap, [pair, page.visit], view, **QUICK),
    ]
    for event in events:
        event.then(**draw)
        event.then(
            actions.measure,
            pair,
            part.view["size"],
            show_progress="hidden",
            concurrency_limit=2,
            **PRIVATE,
        )
        event.then(None, js=SHOW_CHOSEN, **PRIVATE)
    connect_divider(part.position, part.view["slider"])
    part.gain.release(**draw)
    box = part.view["difference_box"]
    box.expand(lambda: True, None, part.unfolded, **QUICK).then(**draw)
    box.collapse(lambda: False, None, part.unfolded, **QUICK)
    _connect_vote(page, part, handle, BlindVote(services))


def _connect_vote(page: Page, part: Parts, handle: gr.Tab, actions: BlindVote) -> None:
    panel = [part.panel[name] for name in PANEL]
    pair, more, ballot = part.view["pair"], part.view["more_pairs"], part.ballot
    handle.select(actions.recall, [part.votes, ballot], panel, **QUICK)
    reveal, resume, discard = (part.panel[name] for name in ("reveal", "resume", "discard"))
    answers: list[tuple[gr.Button, Answer]] = [
        (part.left_better, "left"),
        (part.tie, "same"),
        (part.right_better, "right"),
    ]
    revealed = reveal.click(actions.reveal, [ballot, page.visit], panel, **QUICK)
    events = [
        part.view["start"].click(actions.start, [pair, more, page.visit, ballot], panel, **QUICK),
        *(
            button.click(partial(actions.answer, answer), [ballot, page.visit], panel, **QUICK)
            for button, answer in answers
        ),
        revealed,
        resume.click(actions.resume, [ballot, page.visit], panel, **QUICK),
        discard.click(actions.discard, ballot, panel, **QUICK),
    ]
    for event in events:
        event.then(actions.keep, ballot, part.votes, **QUICK)
    revealed.then(None, js=bring_into_view("#compare-result"), **PRIVATE)
    part.back.click(actions.back, ballot, panel, **QUICK)


TAB = Tab("compare", words.TAB, CSS, lay_out, connect)
