"""What a command says: results as JSON lines on stdout, everything else on stderr."""

from __future__ import annotations

import errno
import json
import logging
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import typer

from xpsr.errors import DiskFullError, XPSRError, is_out_of_memory
from xpsr.stopping import exit_code, minding_sigterm

if TYPE_CHECKING:
    from xpsr.metrics import Score

SOME_FAILED = 1
BAD_USAGE = 2

Emit = Callable[[dict[str, Any] | str], None]
# All control characters but tab and line feed.
_STEERING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
logger = logging.getLogger(__name__)


class CannotBeginError(XPSRError):
    """What every picture needs is not to be had, such as the model: there is no use in going on."""


class _ReaderGoneError(Exception):
    """Nobody reads the results any more, as in `… | head -1`."""


@contextmanager
def results_only() -> Iterator[Emit]:
    """Give a command the only way to stdout, and turn what goes wrong into exit codes.

    Libraries print, in Python and in C. So descriptor 1 itself points to stderr meanwhile, and
    what is emitted goes to a copy of the real one.

    Yields:
        a function that writes one line to stdout, at once: a record, or a text as it is.

    Raises:
        typer.Exit: bad usage or a full disk (2), Ctrl-C (130), SIGTERM (143) or a reader that
            went away (1).
    """
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    if sys.stdout is None:  # closed, as by `>&-`
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.stdout = os.fdopen(1, "w")
    sys.stdout.flush()
    lines = os.fdopen(os.dup(1), "w", encoding="utf-8")
    python_stdout, sys.stdout = sys.stdout, sys.stderr
    os.dup2(2, 1)

    def emit(result: dict[str, Any] | str) -> None:
        try:
            line = result if isinstance(result, str) else to_line(result)
            print(line, file=lines, flush=True)
        except OSError as error:
            os.dup2(os.open(os.devnull, os.O_WRONLY), lines.fileno())  # for the flush on closing
            if isinstance(error, BrokenPipeError):
                raise _ReaderGoneError from None
            raise XPSRError(f"The lines of results cannot be written: {error.strerror}.") from None

    try:
        with minding_sigterm():
            yield emit
    except XPSRError as error:
        say(str(error))
        raise typer.Exit(BAD_USAGE) from None
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:  # no command asks that of every name
            raise
        say(f"{str(error.filename)[:60]}… cannot be looked for: {error.strerror}.")
        raise typer.Exit(BAD_USAGE) from None
    except KeyboardInterrupt as stop:
        say("Stopped. What was finished before is complete.")
        raise typer.Exit(exit_code(stop)) from None
    except _ReaderGoneError:
        raise typer.Exit(SOME_FAILED) from None
    finally:
        os.dup2(lines.fileno(), 1)
        sys.stdout = python_stdout
        lines.close()


def say(sentence: str) -> None:
    """Tell the user something that is no result.

    Names of files and recipes come from strangers: what would steer the terminal is spelled out.
    """
    with suppress(BrokenPipeError):
        typer.echo(_STEERING.sub(lambda found: f"\\x{ord(found[0]):02x}", sentence), err=True)


def to_line(record: dict[str, Any]) -> str:
    """A record as one line of JSON, in ASCII: any terminal and any file name can take it."""
    return json.dumps(record, ensure_ascii=True, allow_nan=False)


def score_entries(scores: Mapping[str, Score]) -> dict[str, Any]:
    """What a record says of scores: figures or null, and beside them why some are null."""
    from xpsr.metrics import reasons, to_json

    missing = reasons(scores)
    return {"scores": to_json(scores), **({"score_reasons": missing} if missing else {})}


def each(
    inputs: list[str],
    work: Callable[[str], dict[str, Any]],
    emit: Callable[[dict[str, Any]], None],
) -> bool:
    """Work on every input and emit its record, or `{"input", "error"}` where that fails.

    Returns:
        True if all went well: no record has an "error".

    Raises:
        CannotBeginError, DescriberUnavailableError, DiskFullError: from `work`; nothing more is
            done then.
    """
    from xpsr.prompts.describer import DescriberUnavailableError

    failures = 0
    for name in inputs:
        try:
            record = work(name)
        except (CannotBeginError, DescriberUnavailableError, DiskFullError):
            raise
        except Exception as error:
            record = {"input": name, "error": _sentence(error)}
        if "error" in record:
            failures += 1
            say(f"{name}: {record['error']}")
        emit(record)
    return failures == 0


def _sentence(error: Exception) -> str:
    if isinstance(error, XPSRError):
        return str(error)
    if is_out_of_memory(error):
        return "The memory is not enough for this picture; choose a smaller --tile-size."
    # A defect of ours or a broken disk: the other pictures are done all the same.
    logger.exception("unexpected error")
    return f"Something unexpected went wrong: {type(error).__name__}: {error}"
