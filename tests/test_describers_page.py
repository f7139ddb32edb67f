"""Describing on the page: it streams, can be stopped, and a failure leaves both boxes alone."""

from __future__ import annotations

from pathlib import Path

import gradio as gr
import numpy as np
import pytest
from describing_server import HIGH, LOW, serving
from PIL import Image

from studio import words as page_words
from studio.form import MAIN_TEXTS, fill_form
from studio.models.engine import Engine, EngineOptions
from studio.restore import words
from studio.restore.describing import BACK, DESCRIPTION, Before, Describing, left
from studio.texts import NOTHING_BROUGHT, described, joined
from studio.visit import Mine, Visit
from xpsr.prompts import Prompts
from xpsr.prompts.describer import Description
from xpsr.settings import Settings

BEFORE = ("My own words.", "And these.")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with serving() as one:
        yield one


@pytest.fixture
def actions(server) -> Describing:
    return Describing(Engine(EngineOptions(describer=server.url)))


@pytest.fixture
def payload(tmp_path: Path) -> dict[str, str]:
    path = tmp_path / "photo.png"
    pixels = np.random.default_rng().integers(0, 255, (30, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return {"path": str(path)}


class Page:
    """The components that describing changes."""

    def __init__(self) -> None:
        first = (*BEFORE, "", NOTHING_BROUGHT, *(None for _ in DESCRIPTION[4:]))
        self.values = dict(zip(DESCRIPTION, first, strict=True))
        self.locked = dict.fromkeys(DESCRIPTION[:2], False)
        self.sent: list[set[str]] = []  # the names in each message
        self.visit = Visit()

    def take(self, values: tuple) -> None:
        self.sent.append(set())
        for name, value in zip(DESCRIPTION, values, strict=True):
            if value == gr.skip():
                continue
            self.sent[-1].add(name)
            if name in self.locked and isinstance(value, dict):
                self.locked[name] = not value["interactive"]
                value = value.get("value", self.values[name])
            self.values[name] = value

    @property
    def texts(self) -> tuple[str, str]:
        return self.values["prompt"], self.values["lowlevel_prompt"]

    @property
    def idle(self) -> bool:
        describe, stop = self.values["describe"], self.values["stop_describing"]
        assert describe["visible"] != stop["visible"]
        assert set(self.locked.values()) == {stop["visible"]}
        assert (self.values["before"] is None) == describe["visible"]
        return describe["visible"]

    def run(self, actions: Describing, payload: dict[str, str] | None) -> None:
        for values in actions.describe(payload, self.values["before"], *self.texts, self.visit):
            self.take(values)


def begun(actions: Describing) -> Page:
    page = Page()
    page.take(actions.begin(*BEFORE, page.values["written"], page.visit))
    assert not page.idle and page.texts == BEFORE
    return page


def test_both_boxes_are_filled_and_the_describer_is_named(actions, payload, server):
    page = begun(actions)
    page.run(actions, payload)
    assert page.texts == (HIGH, LOW) == tuple(map(joined, page.values["written"])) and page.idle
    assert f"first at {server.url}" in page.values["picture_note"]
    assert server.url in actions.introduce() and "--describer" in actions.introduce()


def test_own_texts_that_were_replaced_can_come_back(actions, payload):
    page = begun(actions)
    page.run(actions, payload)
    assert page.values["own_texts"]["visible"]
    assert words.READY in page.values["status"]
    page.take(actions.begin(*page.texts, page.values["written"], page.visit))
    page.run(actions, payload)
    assert len(page.visit.mine) == 1  # the describer's are not worth keeping
    settings = fill_form(Prompts.from_preset("mini"), Settings())[2:]
    form = [page.visit, page.values["written"], None, *page.texts, *settings]
    back = dict(zip(BACK, actions.back(*form), strict=True))
    assert (back["prompt"], back["lowlevel_prompt"]) == BEFORE
    assert back["seed"] == gr.skip()  # a describer leaves it alone
    assert back["written"] == NOTHING_BROUGHT and not back["own_texts"]["visible"]
    assert actions.back(*form)[:2] == (gr.skip(), gr.skip())  # pressed twice


def test_what_was_typed_since_comes_back_as_well(actions):
    visit, settings = Visit(), fill_form(Prompts(), Settings(seed=7))[2:]
    visit.mine = [Mine({"negative_prompt": "people"}, NOTHING_BROUGHT)]
    visit.mine.append(Mine(dict(zip(MAIN_TEXTS, BEFORE, strict=True)), NOTHING_BROUGHT))

    def back(*texts: str, before: Before | None = None) -> dict:
        values = actions.back(visit, NOTHING_BROUGHT, before, *texts, *settings)
        return dict(zip(BACK, values, strict=True))

    assert back("Typed", "since.")["prompt"] == BEFORE[0]
    assert back(*BEFORE)["negative_prompt"] == "people"
    assert back(*BEFORE)["prompt"] == "Typed"
    visit.mine.append(Mine({"prompt": "Edited."}, NOTHING_BROUGHT))  # “Undo edits”
    now = back("Described.", "Low.", before=Before("Described.", "Low."))
    assert now["before"] == Before("Edited.", "Low.", note=False)
    assert (now["prompt"], now["lowlevel_prompt"]) == ("Edited.", "Low.")
    visit.mine.pop(0)
    # While a describer is at work, what it has written so far is not worth keeping.
    now = back("half", "a wo", before=Before("Mine.", ""))
    assert now["before"] == Before(*BEFORE, NOTHING_BROUGHT, note=False)
    assert [one.values["prompt"] for one in visit.mine] == ["Mine."]
    assert now["own_texts"]["visible"]


def test_a_second_time_costs_nothing_and_says_so(actions, payload, server):
    begun(actions).run(actions, payload)
    asked = len(server.asked)
    page = begun(actions)
    page.run(actions, payload)
    assert len(server.asked) == asked and page.texts == (HIGH, LOW)
    assert "was not asked again" in page.values["picture_note"]


@pytest.mark.parametrize(
    "mood", ["unauthorised", "html", "empty", "cut off", "error in the stream", "enormous"]
)
def test_a_failure_is_a_sentence_and_both_boxes_are_as_they_were(actions, payload, server, mood):
    server.mood = mood
    page = begun(actions)
    page.run(actions, payload)
    assert page.texts == BEFORE and page.idle
    assert 'role="alert"' in page.values["picture_note"]
    assert "Traceback" not in page.values["picture_note"]
    assert page.values["written"] == NOTHING_BROUGHT


def test_no_picture_is_a_sentence_too(actions):
    page = begun(actions)
    page.run(actions, None)
    assert page.texts == BEFORE and page.idle
    assert page_words.NO_PICTURE in page.values["picture_note"]


def test_an_unexpected_error_is_told_plainly_and_logged(actions, payload, monkeypatch, caplog):
    def break_down(image):
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr(actions.engine, "describing", break_down)
    page = begun(actions)
    page.run(actions, payload)
    assert page.texts == BEFORE and page.idle
    note = page.values["picture_note"]
    assert page_words.UNEXPECTED.split(",")[0] in note and "secret" not in note
    assert "secret detail" in caplog.text


@pytest.mark.parametrize("mood", ["well", "html"])
def test_the_last_message_which_gradio_sends_twice_holds_no_text(actions, payload, server, mood):
    server.mood = mood
    page = begun(actions)
    page.run(actions, payload)
    assert not page.sent[-1]


def test_stopping_ends_the_requests_and_brings_the_texts_back(actions, payload, server):
    server.mood = "dripping"
    page = begun(actions)
    run = actions.describe(payload, Before(*BEFORE), *BEFORE, page.visit)
    while server.at_once < 2:
        page.take(next(run))
    run.close()  # what Gradio does when Stop is pressed
    page.take(actions.stopped(page.values["before"], page.visit))
    assert page.texts == BEFORE and page.idle
    assert words.DESCRIBING_STOPPED in page.values["picture_note"]


def test_who_writes_is_told_while_it_is_written_and_taken_back_when_it_is_stopped(
    actions, payload, server
):
    server.mood = "word by word"
    page = Page()
    page.values["written"] = mine = described(Description(*BEFORE, "measured"))
    page.take(actions.begin(*BEFORE, mine, page.visit))
    run = actions.describe(payload, page.values["before"], *BEFORE, page.visit)
    while page.texts == BEFORE:
        page.take(next(run))
    for text, brought in zip(page.texts, page.values["written"], strict=True):
        assert joined(brought) == text
        assert {one.origin.kind for one in brought} <= {"server"}
    run.close()
    page.take(actions.stopped(page.values["before"], page.visit))
    assert page.texts == BEFORE and page.values["written"] == mine


def test_a_stop_that_comes_late_leaves_the_boxes_alone(actions, payload):
    page = begun(actions)
    page.run(actions, payload)
    page.values["prompt"] = "Typed since."
    page.take(actions.stopped(page.values["before"], page.visit))
    assert page.texts == ("Typed since.", LOW) and page.idle
    assert words.DESCRIBING_STOPPED not in page.values["picture_note"]


def test_what_was_typed_until_the_boxes_were_locked_comes_back(actions, payload, server):
    server.mood = "html"
    page = begun(actions)
    page.values["prompt"] = "Typed on."
    page.run(actions, payload)
    assert page.texts == ("Typed on.", BEFORE[1])


def test_another_picture_brings_back_what_was_typed_and_drops_what_was_described():
    said = described(Description(HIGH, LOW, "measured"))

    def texts(*told) -> tuple:
        return tuple(left(*told).get(name, "left alone") for name in (*MAIN_TEXTS, "before"))

    assert texts(HIGH, "Mine.", said, None) == ("", gr.skip(), "left alone")
    quiet = Before(*BEFORE, note=False)
    draft = described(Description("A stone br", "Blu", "measured"))
    assert texts("A stone br", "Blu", draft, Before(*BEFORE)) == (*BEFORE, quiet)
    before = Before(HIGH, "Mine.", said)
    assert texts("A stone br", "Blu", draft, before)[:2] == ("", "Mine.")


def test_a_describer_that_writes_on_when_another_picture_has_come_is_undone(actions):
    page = begun(actions)
    changes = left("A stone br", "Blu", NOTHING_BROUGHT, page.values["before"])
    page.values |= {**changes, "prompt": "A stone bridge", "picture_note": "40 × 30"}
    page.take(actions.stopped(page.values["before"], page.visit))
    assert page.texts == BEFORE == (changes["prompt"], changes["lowlevel_prompt"]) and page.idle
    assert page.values["picture_note"] == "40 × 30"


def test_a_crowd_is_told_to_come_back(actions):
    page = begun(actions)
    page.take(actions.stopped(page.values["before"], page.visit))
    assert page_words.REFUSED in page.values["picture_note"] and page.texts == BEFORE and page.idle


def test_while_the_model_is_loaded_describing_can_be_stopped(actions, payload):
    with actions.engine.loading:
        page = begun(actions)
        run = actions.describe(payload, Before(*BEFORE), *BEFORE, Visit())
        for _ in range(3):
            page.take(next(run))
        run.close()
    assert not page.idle and page.texts == BEFORE


def test_auto_says_what_it_chose_and_how_to_change_it(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    line = Describing(Engine(EngineOptions(describer="auto"))).introduce()
    assert "hears how good" in line
    other = Describing(Engine(EngineOptions(model="folder", describer="auto"))).introduce()
    assert "hears how good" not in other
    shown, _, folded = line[: line.index("</details>")].partition("</summary>")
    assert "no GPU" in folded and "--describer llava" in folded and words.HELP in folded
    assert "Measured" in shown and "title=" not in line


def test_whoever_does_not_write_tags_for_a_model_of_tags_is_told(tiny_seesr, tmp_path):
    tiny_seesr.save_config(tmp_path)
    tiny_seesr.tagger.save_pretrained(tmp_path / "tagger")
    found = [
        Describing(Engine(EngineOptions(model=str(tmp_path), describer=one))).introduce()
        for one in ("measured", f"tags:{tmp_path}")
    ]
    assert [words.HEARS_TAGS in one for one in found] == [True, False]


def test_auto_takes_the_tagger_of_the_model_in_use(tiny_seesr, tmp_path, picture, monkeypatch):
    tiny_seesr.save_pretrained(tmp_path)
    engine = Engine(EngineOptions(model=str(tmp_path), describer="auto"))
    assert "Tags by" in (line := Describing(engine).introduce()) and words.HEARS_TAGS not in line
    assert engine.describer()[0] is engine.describer()[0]
    said = engine.describe(picture(24, 20))
    assert said.source == "tags" and said.high.endswith(",")
    engine.use(None, EngineOptions(describer="auto"))  # another model, chosen on the page
    assert engine.describer()[0].name != "tags"
    engine.use(tiny_seesr, EngineOptions(model="owner/name", describer="auto"))
    assert engine.describer()[0].name != "tags"  # never fetched
    monkeypatch.setattr("xpsr.inspection.snapshot_download", lambda *_, **__: str(tmp_path))
    assert engine.describer()[0].name == "tags"
    (tmp_path / "tagger" / "config.json").unlink()
    engine.use(None, EngineOptions(model=str(tmp_path), describer="auto"))
    assert engine.describer()[0].name != "tags"


def test_a_stop_that_comes_before_the_describing_counts(actions, payload):
    page, visit = Page(), Visit()
    page.take(actions.begin(*BEFORE, page.values["written"], visit))
    actions.stop(visit)
    for values in actions.describe(payload, page.values["before"], *BEFORE, visit):
        page.take(values)
    assert page.idle and page.texts == BEFORE
    assert words.DESCRIBING_STOPPED in page.values["picture_note"]
