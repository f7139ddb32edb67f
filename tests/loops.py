"""Asynchronous code in tests: in a thread of its own."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any


def in_a_loop(work: Coroutine[Any, Any, Any]) -> Any:
    """The result of `work`. Where a browser is open already, this thread's loop is taken."""
    with ThreadPoolExecutor(1) as alone:
        return alone.submit(asyncio.run, work).result()


async def all_of(items: AsyncIterator[Any]) -> list[Any]:
    return [item async for item in items]
