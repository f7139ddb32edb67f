"""Gradio's queue: how many runs may wait for the model, in all and of one visitor, and its rest.

Gradio's own limit counts whatever waits for anything, so a handful of runs would keep everybody
from the quick endpoints too; and its refusal is a sentence of its own, the same to all. Nor can
its pace be chosen from outside. So this reaches into it, and looks at the start for what it needs.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import gradio as gr
from gradio.queueing import Event, EventQueue
from gradio.server_messages import ProcessCompletedMessage

from . import words
from .triggers import QUEUE

if TYPE_CHECKING:
    from gradio.queueing import Queue

IN_ALL = 32
OF_ONE = 16  # all clients of the MCP server are one visitor
OF_ANYTHING = 1000  # Gradio's limit: of quick and heavy events together
# How often an idle queue looks whether something has come. Gradio does so every millisecond, which
# takes most of a tenth of a processor while nobody is there.
LOOK_SECONDS = 0.02
TELL_SECONDS = 0.05  # … and whether there is progress to tell
OF_QUEUE = (
    "push", "send_message", "event_ids_to_events", "event_queue_per_concurrency_id",
    "sleep_when_free", "progress_update_sleep_when_free",
)  # fmt: skip
OF_EVENT = ("_id", "session_hash", "concurrency_id")


def look_after(queue: Queue) -> None:
    """From now on `queue` refuses runs for which there is no place, and rests when it is empty.

    Raises:
        RuntimeError: the installed Gradio has another queue.
    """
    _check(queue)
    queue.sleep_when_free = LOOK_SECONDS
    queue.progress_update_sleep_when_free = TELL_SECONDS
    take = queue.push

    async def push(*given: Any, **named: Any) -> Any:
        answer = await take(*given, **named)
        if answer[0]:
            # Nothing is awaited from here on, so it has not begun: it is still the last of those.
            event = queue.event_ids_to_events[str(answer[1])]
            if event.concurrency_id == QUEUE:
                _send_away(queue, event)
        return answer

    queue.push = push


def _check(queue: Queue) -> None:
    """… and not at some visitor's first click."""
    try:
        fn: Any = SimpleNamespace(concurrency_id=QUEUE)
        event = Event(None, fn, None, None)  # pyright: ignore[reportArgumentType]
        EventQueue(QUEUE, 1).queue.append(event)
        for one, names in ((queue, OF_QUEUE), (event, OF_EVENT)):
            for name in names:
                getattr(one, name)
    except (AttributeError, TypeError) as error:
        raise RuntimeError(
            f"The installed Gradio, {gr.__version__}, has another queue than this page needs: "
            f"{error}. Install the version that is named at the top of README.md."
        ) from error


def _send_away(queue: Queue, event: Event) -> None:
    """Answer an event in the place of its handler, if too many wait before it."""
    waiting = queue.event_queue_per_concurrency_id[QUEUE].queue
    own = sum(one.session_hash == event.session_hash for one in waiting)
    if own > OF_ONE:
        said = words.TOO_MANY_OF_YOURS.format(count=OF_ONE)
    elif len(waiting) > IN_ALL:
        said = words.TOO_MANY_WAIT.format(count=IN_ALL)
    else:
        return
    waiting.remove(event)
    queue.event_ids_to_events.pop(event._id, None)
    answer: dict[str, Any] = {"error": said, "visible": True}
    queue.send_message(event, ProcessCompletedMessage(output=answer, success=False))
