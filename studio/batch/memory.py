"""What the browser keeps of a batch, so that it is found again after a reload. No pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from xpsr.errors import XPSRError

from ..incoming import picture_path
from ..results.outputs import Outputs
from . import words
from .batch import MAX_PICTURES, Batch, Item

STORAGE_KEY = "xpsr-studio-batch"

Name = Annotated[str, Field(max_length=200)]


class KeptItem(BaseModel):
    """One line of the table. `run`: its result; `path`: the upload, where one may be made yet."""

    model_config = ConfigDict(extra="forbid")

    name: Name
    run: Annotated[str, Field(max_length=80)] | None = None
    path: Annotated[str, Field(max_length=1000)] | None = None
    size: tuple[int, int] | None = None
    failed: Annotated[str, Field(max_length=1000)] = ""


class KeptBatch(BaseModel):
    """A whole batch. `running`: it was at work when it was kept last."""

    model_config = ConfigDict(extra="forbid")

    version: Literal[1] = 1
    items: Annotated[list[KeptItem], Field(max_length=MAX_PICTURES)]
    running: bool = False


def to_keep(batch: Batch) -> dict[str, Any]:
    """What the browser is given; foreign from then on."""
    kept = KeptBatch(items=[_kept(item) for item in batch.items], running=batch.at_work)
    return kept.model_dump()


def _kept(item: Item) -> KeptItem:
    path = item.payload.get("path")
    return KeptItem(
        name=item.name,
        run=item.run.id if item.run else None,
        path=path if item.run is None and (item.state != "failed" or item.may_retry) else None,
        size=item.size,
        failed=item.note[:1000] if item.state == "failed" else "",
    )


def recalled(stored: Any, batch: Batch, outputs: Outputs) -> str | None:
    """Fill an empty batch with what a browser kept; the sentence about it, or None."""
    if batch.items or not stored:
        return None
    try:
        kept = KeptBatch.model_validate(stored)
    except ValidationError:  # of another version, or nothing of ours
        return None
    batch.items = [_item(one, outputs) for one in kept.items]
    batch.begun = any(item.run for item in batch.items)
    if not batch.items or not (batch.begun or batch.left):
        batch.items = []
        return None
    done, lost = batch.count("done"), _lost(batch.items)
    return words.found_again(done, batch.left, lost, kept.running, batch.button)


def _item(kept: KeptItem, outputs: Outputs) -> Item:
    item = Item({"path": kept.path, "orig_name": kept.name}, kept.name, kept.size)
    there = _is_there(item)
    if not there:
        item.payload["path"] = None
    if kept.run is not None:
        item.run = outputs.get(kept.run)
        if item.run:
            item.state = "done"
        else:
            item.fail(words.RESULT_GONE)
    elif kept.failed:
        item.state, item.note = "failed", kept.failed
    elif there:
        item.wait()
    else:
        item.fail(words.UPLOAD_GONE)
    return item


def _is_there(item: Item) -> bool:
    """Whether its upload can still be read, which a restart of the server ends."""
    try:
        return picture_path(item.payload).is_file()
    except XPSRError:
        return False


def _lost(items: Sequence[Item]) -> int:
    return sum(item.note == words.failed(words.UPLOAD_GONE) for item in items)
