"""Many pictures put into words: several at a time, in their order, none lost to another's fault.

```python
describer = make_describer("http://localhost:8000/v1")
items = ((path, partial(read, path)) for path in paths)
for path, found in describe_many(describer, items):
    ...  # a Description or an XPSRError
```
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TypeVar

from PIL import Image

from xpsr.errors import XPSRError
from xpsr.prompts.describer import Describer, held, stream
from xpsr.prompts.description import DescriberUnavailableError, Description

Name = TypeVar("Name")
Picture = Image.Image | Callable[[], Image.Image]
logger = logging.getLogger(__name__)


def describe_many(
    describer: Describer,
    items: Iterable[tuple[Name, Picture]],
    concurrency: int | None = None,
) -> Iterator[tuple[Name, Description | XPSRError]]:
    """Describe pictures, `concurrency` at a time; the model stays loaded meanwhile.

    Items are taken only as they are needed, so there may be millions of them. Closing the iterator
    stops those in flight.

    Args:
        describer: from `make_describer`.
        items: pairs of any name and a picture, or a function that opens it (called when its turn
            comes, in one of several threads).
        concurrency: pictures in flight; None for what suits the describer: 4 for a server, 1 else.

    Yields:
        (name, description), or (name, error) for a picture without one, in the order of `items`.
        After a `DescriberUnavailableError` nobody is asked any more: it stands for all the others.
    """
    at_once = concurrency or getattr(describer, "concurrency", 1)
    if concurrency and hasattr(describer, "concurrency"):
        describer.concurrency = concurrency
    lost: list[DescriberUnavailableError] = []
    ended = threading.Event()

    def work(picture: Picture) -> Description | XPSRError:
        if lost:
            return lost[0]
        found = _described(describer, picture, ended)
        if isinstance(found, DescriberUnavailableError):
            lost.append(found)
        return found

    waiting: deque = deque()
    with held(describer), ThreadPoolExecutor(at_once, "describe") as pool:
        try:
            for name, picture in items:
                waiting.append((name, pool.submit(work, picture)))
                # More than are in flight, so that one slow answer does not leave the others idle.
                if len(waiting) > 2 * at_once:
                    first, future = waiting.popleft()
                    yield first, future.result()
            while waiting:
                first, future = waiting.popleft()
                yield first, future.result()
        finally:
            ended.set()
            for _, future in waiting:
                future.cancel()


def _described(
    describer: Describer, picture: Picture, ended: threading.Event
) -> Description | XPSRError:
    found = Description("", "", describer.name)
    try:
        image = picture() if callable(picture) else picture
        with closing(stream(describer, image)) as texts:
            for text in texts:
                found = text
                if ended.is_set():
                    return XPSRError("Stopped.")  # nobody is listening any more
    except XPSRError as error:
        return error
    except Exception as error:  # a defect of ours: the other pictures are described all the same
        logger.exception("unexpected error")
        return XPSRError(f"Something unexpected went wrong: {type(error).__name__}.")
    if not (found.high.strip() and found.low.strip()):
        return XPSRError(f"{describer.name} gave an empty description; ask again.")
    return found
