"""The texts on the page: what the model reads of them, who wrote them, and their tools."""

from __future__ import annotations

from dataclasses import asdict, replace
from html.parser import HTMLParser

import gradio as gr
import pytest
from made_runs import make_recipe

from studio import markup
from studio.form import TEXT_SETTINGS, read_form
from studio.models.engine import Engine, EngineOptions
from studio.restore import words
from studio.restore.text_actions import TextActions
from studio.texts import (
    NOTHING_BROUGHT,
    Brought,
    described,
    further,
    joined,
    origins,
    restored,
)
from studio.visit import Mine, Visit
from xpsr import inspection
from xpsr.prompts import NEGATIVES, PRESET_PROMPTS, Prompts
from xpsr.prompts.budget import FittedText, Piece
from xpsr.prompts.describer import Description
from xpsr.prompts.provenance import Origin, written
from xpsr.settings import CHOICES, SETTING_NAMES

MEASURED_LOW = "The image is sharp. There is no noise."


@pytest.fixture
def engine(tiny_pipeline) -> Engine:
    """An engine that has its model already."""
    engine = Engine(EngineOptions())
    engine._pipeline = tiny_pipeline
    return engine


@pytest.fixture
def texts(engine) -> TextActions:
    return TextActions(engine)


def texts_of(low: str) -> Brought:
    return (), written(low, Origin("measured"))


class Exact(HTMLParser):
    """The four exact texts of the page: what stands in them, without what is struck out."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.texts: dict[str, str] = {}
        self.cut: dict[str, str] = {}
        self._open: list[str] = []
        self._name = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = dict(attrs)
        if tag == "section":
            self._name = (names.get("id") or "").removeprefix("exact-")
        self._open.append(names.get("class") or tag)
        if names.get("class") == "exact":
            self.texts[self._name] = self.cut[self._name] = ""

    def handle_endtag(self, tag: str) -> None:
        self._open.pop()

    def handle_data(self, data: str) -> None:
        if "exact" in self._open and "quiet" not in self._open:
            into = self.cut if self._open[-1] == "cut" else self.texts
            into[self._name] += data


@pytest.mark.parametrize("mode", CHOICES["long_prompts"])
@pytest.mark.parametrize("route", CHOICES["lowlevel_route"])
def test_what_is_shown_as_sent_is_what_the_encoder_gets(texts, engine, picture, mode, route):
    """Seen at the encoder itself: the tokens that arrive are those of the texts on the page."""
    pipe, arrived = engine.pipeline(), []
    values = ["A garden <b>, 猫. " + "more words " * 50, " Blurred ", "lowres", "fine", "8k, sharp"]
    choices = {**dict.fromkeys(TEXT_SETTINGS), "long_prompts": mode, "lowlevel_route": route}
    shown = Exact(texts.read("official", NOTHING_BROUGHT, *values, *choices.values())[-1])
    prompts, settings = read_form("official", [*values, *map(choices.get, SETTING_NAMES)])
    quick = settings.changed(num_inference_steps=1, process_size=0, upscale=1)

    hook = pipe.text_encoder.register_forward_pre_hook(
        lambda module, args: arrived.extend(row.tolist() for row in args[0])
    )
    try:
        list(engine.stream(picture(32, 32), prompts, quick))
    finally:
        hook.remove()
    read = pipe.tokenizer(list(shown.texts.values()), add_special_tokens=False)["input_ids"]
    marks = {pipe.tokenizer.bos_token_id, pipe.tokenizer.eos_token_id}
    words_of = [[token for token in row if token not in marks] for row in arrived]
    # negative and positive of the content, then of the looks
    order = [shown.texts[name] for name in ("negative_high", "high", "negative_low", "low")]
    assert set(shown.texts.values()) == set(order)
    if mode == "chunk":
        assert [*words_of[2], *words_of[3]] == read[0] and words_of[1] == []
        assert not shown.cut["high"]
    else:
        expected = pipe.tokenizer(order, add_special_tokens=False)["input_ids"]
        assert words_of == expected
        assert "more words" in shown.cut["high"]
        assert ("8k, sharp" in shown.texts["high"]) == (mode == "protect")


def test_the_page_tells_who_wrote_what(texts):
    brought = texts_of(MEASURED_LOW)
    low = "The image is very sharp. There is no noise. An old <i>scan</i>."
    *_, chips, undo_high, undo, details = texts.read(
        "mini", brought, "", low, "", "", "", *[None] * len(TEXT_SETTINGS)
    )
    assert "edited" in chips and "measured" in chips and "typed" in chips
    assert "&lt;i&gt;scan" in details and "<i>" not in details
    # Fingers and keys get at all of it: nothing is told where a pointer rests.
    assert "title=" not in details + chips and "Tokens are short words" in details
    assert "<ins>very </ins>" in details
    assert (undo_high["visible"], undo["visible"]) == (False, True)
    undone, row = texts.as_brought("lowlevel_prompt", visit := Visit(), brought, low)
    assert undone == MEASURED_LOW and row["visible"]
    assert visit.mine == [Mine({"lowlevel_prompt": low}, brought)]
    assert texts.as_brought("prompt", Visit(), brought, "") == gr.skip()
    unchanged = texts.read(
        "mini", brought, "", MEASURED_LOW, "", "", "", *[None] * len(TEXT_SETTINGS)
    )
    assert unchanged[-2]["visible"] is False and words.UNCHANGED in unchanged[-1]


def test_negative_texts_that_are_not_read_are_struck_out(texts):
    values = ["A cat.", "Blurred.", "lowres", "fine", ""]
    choices = dict.fromkeys(TEXT_SETTINGS)
    for guidance, read in ((1.0, False), (1.1, True)):
        choices["guidance_scale"] = guidance
        page = texts.read("official", NOTHING_BROUGHT, *values, *choices.values())[-1]
        shown = Exact(page)
        assert (shown.texts["negative_high"], shown.cut["negative_high"]) == (
            ("lowres", "") if read else ("", "lowres")
        )
        assert shown.texts["high"] == "A cat." and (words.EXACT_UNREAD in page) is not read


@pytest.mark.parametrize("route", CHOICES["lowlevel_route"])
def test_a_model_of_one_text_says_where_the_other_one_stands(tiny_seesr, route):
    engine = Engine(EngineOptions())
    engine._pipeline = tiny_seesr
    values = ["bird,", "Blurred.", "lowres", "fine", "8k"]
    choices = {**dict.fromkeys(TEXT_SETTINGS), "lowlevel_route": route}
    high, low, away, low_away, *_, page = TextActions(engine).read(
        "seesr", NOTHING_BROUGHT, *values, *choices.values()
    )
    shown = Exact(page)
    assert "of 75" in high and "of 75" in away
    assert words.LOW_NEGATIVE_UNREAD in low_away and words.LOW_NEGATIVE_UNREAD in page
    assert (shown.texts["negative_low"], shown.cut["negative_low"]) == ("", "fine")
    if route == "content":
        assert shown.texts["high"] == "Blurred. bird, 8k" and words.LOW_BEFORE in low
    else:
        assert (shown.texts["high"], shown.cut["low"]) == ("bird, 8k", "Blurred.")
        assert words.LOW_UNREAD in low and words.LOW_UNREAD in page
    assert shown.texts["low"] == ""


def test_which_models_read_one_text_is_known_before_they_are_loaded(
    tiny_seesr, tmp_path, monkeypatch
):
    assert not Engine(EngineOptions()).reads_one_text
    tiny_seesr.save_pretrained(tmp_path)
    assert Engine(EngineOptions(model=str(tmp_path))).reads_one_text
    engine = Engine(EngineOptions(model="owner/name"))  # of the hub: known when it is fetched
    assert not engine.reads_one_text
    monkeypatch.setattr(inspection, "snapshot_download", lambda *_, **__: str(tmp_path))
    assert engine.reads_one_text and engine.default_preset() == "seesr"
    monkeypatch.undo()
    engine._pipeline = tiny_seesr
    assert engine.reads_one_text


def test_the_opposite_or_a_sentence(texts):
    told = visit, brought = Visit(), texts_of(MEASURED_LOW)
    turned, note, row = texts.turn_round(*told, MEASURED_LOW)
    assert turned == "The image is very blurry. There is strong noise." and note == ""
    assert not row["visible"]  # a describer's text can be had again
    kept, note, _ = texts.turn_round(*told, "A cat.")
    assert kept == gr.skip() and 'role="alert"' in note and "opposite" in note
    assert 'role="alert"' in texts.turn_round(*told, "x" * 3000)[1] and not visit.mine
    assert texts.turn_round(*told, "It is very sharp.")[2]["visible"]
    assert visit.mine == [Mine({"lowlevel_prompt": "It is very sharp."}, brought)]


@pytest.mark.parametrize("name", NEGATIVES)
def test_named_negatives_fill_both_boxes(texts, name):
    now = ("people", PRESET_PROMPTS["official"].lowlevel_negative_prompt)
    *both, where, row = texts.choose_negatives(name, visit := Visit(), NOTHING_BROUGHT, *now)
    assert tuple(both) == NEGATIVES[name]
    assert row["visible"] and tuple(visit.mine[0].values.values()) == now
    assert not texts.choose_negatives(name, Visit(), NOTHING_BROUGHT, *both)[-1]["visible"]
    assert where == ("high" if name == "paper" else "both")


def test_a_too_long_text_is_said_and_nothing_else_changes(texts):
    note, *others = texts.read(
        "mini", NOTHING_BROUGHT, "x" * 3000, "", "", "", "", *[None] * len(TEXT_SETTINGS)
    )
    assert 'role="alert"' in note and others == [gr.skip()] * 8


def test_a_recipe_tells_who_wrote_all_five_texts(picture):
    said = Prompts("A cat.", "Blurred.", "Smooth.", "Sharp.", "Own words.")
    image = picture(24, 16)
    recipe = make_recipe(image, image, prompts=said)
    brought = restored(recipe)
    assert [joined(one) for one in brought] == list(asdict(said).values())
    told = origins(said, "official", brought)
    assert {one.origin.kind for part in told.values() for one in part} == {"recipe"}

    # Described again, the further three are still those of the recipe; edited, they are edited.
    again = described(Description("A dog.", "Noisy.", "measured"), brought)
    now = replace(said, prompt="A dog.", lowlevel_prompt="Noisy.", added_prompt="Own words!")
    told = origins(now, "official", again)
    kinds = {name: told[name][0].origin.kind for name in told}
    assert kinds["negative_prompt"] == kinds["lowlevel_negative_prompt"] == "recipe"
    assert kinds["prompt"] == "measured" and kinds["added_prompt"] != "measured"
    assert further(again) == brought[2:] and further(described(Description("", "", "tags"))) == ()


def test_what_there_is_more_to_say_can_be_unfolded():
    assert markup.quiet("Measured.") == '<p class="quiet">Measured.</p>'
    folded = markup.quiet("Measured.", "There is no <GPU>.")
    assert folded.startswith("<details") and "<summary>Measured.</summary>" in folded
    assert "There is no &lt;GPU&gt;." in folded and "title=" not in folded
    meter = markup.meter(FittedText("A cat.", (Piece("A cat.", True),), 3, 75, 0))
    assert "Tokens: 3 of 75, nothing cut" in meter and "title=" not in meter
