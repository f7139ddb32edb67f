"""The endpoints as MCP tools, which is Gradio's work but for one mend."""

from __future__ import annotations

from typing import Any

import gradio.mcp


class Tools(gradio.mcp.GradioMCPServer):
    """Gradio 6.31 packs an answer of several parts into one, unless a client asks for progress.

    The restored picture would then arrive as the text of its path, and not as a picture.
    """

    async def _execute_tool_without_progress(self, job: Any) -> list[Any]:
        parts = await super()._execute_tool_without_progress(job)
        if len(parts) == 1 and isinstance(parts[0], (list, tuple)):
            return list(parts[0])
        return parts


def offer() -> None:
    """From now on a page that is launched with MCP offers these."""
    gradio.mcp.GradioMCPServer = Tools
