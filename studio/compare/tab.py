"""The Compare tab: two results on one slider, what differs between them, and a blind vote."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import gradio as gr

from .. import markup
from ..divider import connect_divider, lay_out_divider
from ..parts import Parts, flat, kept_by_browser, picture, small
from ..tab import Tab
from ..triggers import ALOUD, PRIVATE, QUICK, bring_into_view
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


def lay_out(opening: Opening) -> Parts:
    part = Parts(
        pair=gr.State(NO_PAIR),
        first=gr.State(NO_PAIR),  # the pair where the page has chosen it, not the visitor
        ids=gr.State(()),
        taken=gr.State(None),  # what another tab has asked for, once it is shown
        unfolded=gr.State(False),  # whether the difference is looked at
        ballot=gr.State(Ballot()),
        votes=kept_by_browser(STORAGE_KEY),
    )
    with gr.Column(elem_id="compare-looking") as part.looking:
        _strips(part)
        _pictures(part)
        _changes(part)
        _vote_entry(part)
    with gr.Column(visible=False, elem_id="compare-voting") as part.voting:
        _voting(part)
    return part


def _strips(part: Parts) -> None:
    flat(markup.quiet(words.INTRO))
    with gr.Row():
        part.strip_a, part.strip_b = (
            gr.Gallery(
                label=words.STRIP.format(side=side.upper()),
                columns=4,
                height=165,
                allow_preview=False,
                object_fit="cover",
                interactive=False,
                buttons=[],
                format="jpeg",
                elem_id=f"compare-strip-{side}",
                elem_classes="strip",
            )
            for side in "ab"
        )
    with gr.Row(elem_classes="under"):
        part.note = flat(markup.notice(words.NONE_CHOSEN), elem_id="compare-note")
        part.swap = small(words.SWAP, "compare-swap")


def _pictures(part: Parts) -> None:
    with gr.Column(elem_classes="tight", visible=False) as part.over:
        part.slider, part.position = lay_out_divider(
            words.SLIDER,
            (words.POSITION, words.POSITION_INFO),
            ("compare-slider", "compare-position"),
        )
    with gr.Row(visible=False) as part.beside:
        part.side_a, part.side_b = (
            picture(side.upper(), f"compare-side-{side}", "beside") for side in "ab"
        )
    with gr.Accordion(
        words.DIFFERENCE, open=False, visible=False, elem_id="compare-difference"
    ) as part.difference_box:
        part.gain = gr.Slider(
            1,
            32,
            8,
            step=1,
            label=words.GAIN,
            info=words.GAIN_INFO,
            buttons=[],
            elem_id="compare-gain",
        )
        part.map = picture(words.DIFFERENCE_MAP, "compare-map", "map")
        flat(markup.quiet(words.DIFFERENCE_INFO))


def _changes(part: Parts) -> None:
    with gr.Row(elem_id="compare-told"):
        with gr.Column(scale=3, min_width=320, elem_classes="part"):
            gr.Markdown(f"#### {words.WORDS_CHANGED}")
            part.texts = flat(elem_id="compare-texts")
            gr.Markdown(f"#### {words.SETTINGS_CHANGED}")
            part.settings = flat(elem_id="compare-settings")
        with gr.Column(scale=2, min_width=320, elem_classes="part"):
            gr.Markdown(f"#### {words.SCORES}")
            part.scores = flat(elem_id="compare-scores")
            part.size = flat(elem_id="compare-size")


def _vote_entry(part: Parts) -> None:
    with gr.Accordion(words.VOTE, open=False, elem_id="compare-vote") as part.entry:
        flat(markup.quiet(words.VOTE_INFO))
        part.more_pairs = gr.Checkbox(
            True,
            label=words.MATCHING,
            info=words.MATCHING_INFO,
            visible=False,
            elem_id="compare-more-pairs",
        )
        part.kept = flat(elem_id="compare-kept")
        with gr.Row():
            part.start = gr.Button(
                words.START, interactive=False, min_width=200, elem_id="compare-start-vote"
            )
            part.resume = gr.Button(
                words.RESUME, visible=False, min_width=160, elem_id="compare-resume"
            )


def _voting(part: Parts) -> None:
    part.question = flat(markup.notice(""), elem_id="compare-question")
    with gr.Column() as part.asked:
        with gr.Row():
            part.left = picture(words.LEFT_PICTURE, "compare-left", "vote-side")
            part.right = picture(words.RIGHT_PICTURE, "compare-right", "vote-side")
        with gr.Row():
            part.left_better = _answer(words.LEFT, "left-better")
            part.tie = _answer(words.TIE, "tie", "secondary")
            part.right_better = _answer(words.RIGHT, "right-better")
    with gr.Row():
        part.reveal = gr.Button(words.REVEAL, size="md", min_width=130, elem_id="compare-reveal")
        part.back = gr.Button(words.BACK, size="md", min_width=130, elem_id="compare-back")
    part.result = flat(elem_id="compare-result")
    with gr.Row():
        part.save_json = gr.DownloadButton(
            words.SAVE_JSON, visible=False, size="md", elem_id="compare-save-json"
        )
        part.save_csv = gr.DownloadButton(
            words.SAVE_CSV, visible=False, size="md", elem_id="compare-save-csv"
        )
        part.discard = gr.Button(words.DISCARD, visible=False, size="md", elem_id="compare-discard")


def _answer(label: str, name: str, variant: Any = "primary") -> gr.Button:
    return gr.Button(label, variant=variant, size="md", min_width=90, elem_id=f"compare-{name}")


def connect(page: Page, part: Parts, handle: gr.Tab, services: Services) -> None:
    actions = Compare(services)
    view = part.named(VIEW)
    pair = part.pair
    state = [pair, part.ids, page.visit]
    asked = [page.visit, pair, page.chosen, part.taken, part.first]
    draw = {
        "fn": actions.draw,
        "inputs": [pair, part.gain, part.unfolded],
        "outputs": part.map,
        **QUICK,
    }
    events = [
        handle.select(actions.enter, asked, view, **QUICK),
        page.chosen.change(actions.enter, asked, view, **QUICK),
        part.strip_a.select(actions.choose_a, state, view, **QUICK),
        part.strip_b.select(actions.choose_b, state, view, **QUICK),
        part.swap.click(actions.swap, [pair, page.visit], view, **QUICK),
    ]
    for event in events:
        event.then(**draw)
        event.then(
            actions.measure,
            pair,
            part.size,
            show_progress="hidden",
            concurrency_limit=2,
            **PRIVATE,
        )
        event.then(None, js=SHOW_CHOSEN, **PRIVATE)
    connect_divider(part.position, part.slider)
    part.gain.release(**draw)
    box = part.difference_box
    box.expand(lambda: True, None, part.unfolded, **QUICK).then(**draw)
    box.collapse(lambda: False, None, part.unfolded, **QUICK)
    _connect_vote(page, part, handle, BlindVote(services))


def _connect_vote(page: Page, part: Parts, handle: gr.Tab, actions: BlindVote) -> None:
    panel = part.named(PANEL)
    pair, more, ballot = part.pair, part.more_pairs, part.ballot
    handle.select(actions.recall, [part.votes, ballot], panel, **QUICK)
    reveal, resume, discard = part.reveal, part.resume, part.discard
    answers: list[tuple[gr.Button, Answer]] = [
        (part.left_better, "left"),
        (part.tie, "same"),
        (part.right_better, "right"),
    ]
    revealed = reveal.click(actions.reveal, [ballot, page.visit], panel, **ALOUD)
    events = [
        part.start.click(actions.start, [pair, more, page.visit, ballot], panel, **QUICK),
        *(
            button.click(partial(actions.answer, answer), [ballot, page.visit], panel, **QUICK)
            for button, answer in answers
        ),
        revealed,
        resume.click(actions.resume, [ballot, page.visit], panel, **ALOUD),
        discard.click(actions.discard, ballot, panel, **QUICK),
    ]
    for event in events:
        event.then(actions.keep, ballot, part.votes, **QUICK)
    revealed.then(None, js=bring_into_view("#compare-result"), **PRIVATE)
    part.back.click(actions.back, ballot, panel, **QUICK)


TAB = Tab("compare", words.TAB, CSS, lay_out, connect)
