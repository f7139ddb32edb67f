"""The endpoints as MCP tools, which is Gradio's work but for two mends."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gradio.mcp
from gradio.server_messages import ProcessCompletedMessage


class Tools(gradio.mcp.GradioMCPServer):
    """Gradio 6.31 goes on with a run whose client has gone, while others wait for it.

    And it packs an answer of several parts into one, unless a client asks for progress: the
    restored picture would arrive as the text of its path, and not as a picture.
    """

    async def _execute_tool_without_progress(self, job: Any) -> list[Any]:
        with self._ended_with_its_client(job):
            answer = await asyncio.wrap_future(job.future)
        return list(answer) if isinstance(answer, (list, tuple)) else [answer]

    async def _execute_tool_with_progress(self, job: Any, progress_token: str | int) -> Any:
        with self._ended_with_its_client(job):
            return await super()._execute_tool_with_progress(job, progress_token)

    @contextmanager
    def _ended_with_its_client(self, job: Any) -> Iterator[None]:
        try:
            yield
        except asyncio.CancelledError:
            # Not by `job.cancel`: to Gradio all clients of the tools are one visitor, and it would
            # end the run of another one while this waits behind it.
            asyncio.get_running_loop().create_task(self._end(job.communicator.event_id))
            raise

    async def _end(self, event_id: str | None) -> None:
        queue = self.blocks._queue
        if event := queue.event_ids_to_events.get(str(event_id)):
            queue.send_message(event, ProcessCompletedMessage(output={}, success=False))
            await queue.clean_events(event_id=event._id)


def offer() -> None:
    """From now on a page that is launched with MCP offers these."""
    gradio.mcp.GradioMCPServer = Tools
