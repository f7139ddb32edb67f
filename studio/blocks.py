"""The page's `gr.Blocks`: whatever is sent that cannot be taken is answered in a sentence."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import gradio as gr
from gradio.utils import get_upload_folder, is_in_or_equal

from . import words

log = logging.getLogger(__name__)
# Where Gradio serves what was uploaded: the address that an MCP client gets for its own file.
SERVED = re.compile(r"https?://[^/]+(?:/.*)?/gradio_api/file=(?P<path>.+)")


class StudioBlocks(gr.Blocks):
    """Gradio looks at what is sent before any handler of ours does, and says `null` of a mistake.

    That is: values that are missing or of a wrong kind, files that nobody has uploaded, addresses
    that cannot be fetched.
    """

    async def preprocess_data(
        self, block_fn: Any, inputs: list[Any], state: Any, explicit_call: bool = False
    ) -> list[Any]:
        try:
            known = [_upload(value) for value in inputs]
            return await super().preprocess_data(block_fn, known, state, explicit_call)
        except gr.Error:
            raise
        except Exception as error:
            log.info("not taken: %s", error)
            said = words.NOT_FETCHED if any(map(_is_address, inputs)) else words.NOT_TAKEN
            raise gr.Error(said, print_exception=False) from error


def _upload(value: Any) -> Any:
    """A file that was uploaded here, where it is named by the address that it has here.

    Gradio fetches addresses, but none of this machine itself. Whoever knows this one could have
    the file anyway.
    """
    if not _is_address(value) or not (served := SERVED.fullmatch(value["path"])):
        return value
    path = unquote(served["path"])
    here = "\0" not in path and is_in_or_equal(path, get_upload_folder()) and Path(path).is_file()
    return {**value, "path": path, "url": None} if here else value


def _is_address(value: Any) -> bool:
    path = value.get("path") if isinstance(value, dict) else None
    return isinstance(path, str) and path.startswith(("http://", "https://"))
