"""How the page's own events run: quickly and at once, or one at a time on the model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import gradio as gr

from . import markup, words

QUEUE = "gpu"  # one run at a time, whoever asks for it

# Only the named endpoints (api/endpoints.py) are public; the page's own events are not.
PRIVATE: dict[str, Any] = {"api_visibility": "private"}
QUICK: dict[str, Any] = {**PRIVATE, "queue": False, "show_progress": "hidden"}
# Pictures and numbers as they were sent: what is wrong with them is told in our own words.
AS_SENT: dict[str, Any] = {**QUICK, "preprocess": False}
# For handlers with no place to tell what went wrong: Gradio shows an error of its queue alone.
ALOUD: dict[str, Any] = {**PRIVATE, "concurrency_limit": None, "show_progress": "hidden"}
HEAVY: dict[str, Any] = {**PRIVATE, "concurrency_id": QUEUE, "concurrency_limit": 1}

# Ends when no picture is on its way any more, or when Stop is pressed meanwhile: a picture that
# comes later would end a description that has begun, and be missed by a run.
RECEIVED = """async () => {
  const begun = performance.now();
  const uploading = () => document.querySelector('#picture .uploading');
  const coming = () => !(window.xpsrStop > begun) && (window.xpsrReceiving || uploading());
  for (let quiet = 0; quiet < 2; quiet = coming() ? 0 : quiet + 1)
    await new Promise((done) => setTimeout(done, 50));
}"""
# How long Gradio may take to clear away a run that was stopped.
_MOMENT = "() => new Promise((done) => setTimeout(done, 1500))"


def follow(changes: Sequence[Any], **event: Any) -> Any:
    """`event`, in the words of `gr.on`, follows `changes`; once more if others come meanwhile.

    It hangs on an event of its own: where two wait for the last change of one component, they call
    each other without end in Gradio 6.31, as soon as changes come faster than answers.
    """
    heard = gr.on(changes, None, js="() => {}", trigger_mode="multiple", **PRIVATE)
    return heard.then(**event, trigger_mode="always_last")


def bring_into_view(line: str) -> str:
    """For a button: what it begins is told in `line`, a CSS selector.

    On a phone that is further down, on a laptop often further up than what is seen.
    """
    return (
        f"() => {{ const line = document.querySelector('{line}');"
        " const { top, bottom } = line.getBoundingClientRect();"
        " if (top > innerHeight - 120 || bottom < 0) line.scrollIntoView(); }"
    )


def stop_from(start: gr.Button, stop: gr.Button, line: gr.HTML) -> None:
    """`stop` can be pressed from now on, and `line` tells that others may come first.

    To be said before the run itself is tied to `start`: Gradio comes to the next event of a button
    only when the one before has ended.
    """
    said = [_pressable(True), markup.notice(words.WAITING_TURN)]
    start.click(None, None, [stop, line], js=f"() => ({json.dumps(said)})", **PRIVATE)


def stop_until(runs: Sequence[Any], stop: gr.Button, line: gr.HTML, said: str) -> None:
    """… and no longer when one of `runs` has ended, or was stopped, which is `said` in `line`."""
    for end in (*(run.then for run in runs), stop.click):
        end(None, None, stop, js=f"() => ({json.dumps(_pressable(False))})", **PRIVATE)
    stopped = stop.click(None, cancels=[*runs])
    stopped.then(lambda: markup.notice(said), None, line, **QUICK)


def cleared(stopped: Any, *runs: Any) -> Any:
    """Gradio ends `runs` behind `stopped`, where their handlers have learnt of it; see `Job`.

    Returns the event that comes when it has had the time to clear them away.
    """
    return stopped.then(None, cancels=list(runs), **PRIVATE).then(None, js=_MOMENT, **PRIVATE)


def _pressable(value: bool) -> dict[str, Any]:
    return {"__type__": "update", "interactive": value}
