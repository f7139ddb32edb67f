"""How many runs may wait for the model, in all and of one visitor.

Gradio's own limit counts whatever waits for anything, so a handful of runs would keep everybody
from the quick endpoints too; and its refusal is a sentence of its own, the same to all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gradio.server_messages import ProcessCompletedMessage

from . import words
from .triggers import QUEUE

if TYPE_CHECKING:
    from gradio.queueing import Event, Queue

IN_ALL = 32
OF_ONE = 16  # all clients of the MCP server are one visitor
OF_ANYTHING = 1000  # Gradio's limit: of quick and heavy events together


def limit_waiting(queue: Queue) -> None:
    """From now on `queue` refuses runs for which there is no place, in a sentence of ours."""
    take = queue.push

    async def push(*given: Any, **named: Any) -> Any:
        answer = await take(*given, **named)
        # Nothing is awaited from here on, so it has not begun: it is still the last of those.
        event = queue.event_ids_to_events.get(str(answer[1])) if answer[0] else None
        if event is not None and event.concurrency_id == QUEUE:
            _send_away(queue, event)
        return answer

    queue.push = push


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
