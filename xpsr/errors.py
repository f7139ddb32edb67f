"""The one error that a user is meant to read, and what tells that memory or disk ran out."""

import errno


class XPSRError(Exception):
    """Something the user can mend, told in one plain sentence that says what to do.

    Bad pictures, settings out of range and unusable checkpoints raise it. The page, the API and the
    command line show its text as it is; every other exception is a defect of ours.
    """


class NotEnoughMemoryError(XPSRError):
    """A device or the machine ran out of memory: the same with less to hold at once may work."""


class DiskFullError(XPSRError):
    """There is no room for a file: whatever comes after it could not be kept either."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that a device or the machine ran out of memory.

    Told by its words: torch's own `OutOfMemoryError` has them as well, and the allocators of CPU
    and MPS raise nothing but a plain `RuntimeError`.
    """
    if not isinstance(error, (RuntimeError, OSError)):
        return isinstance(error, MemoryError)
    told = ("allocate memory", "not enough memory", "out of memory")
    return any(words in str(error).lower() for words in told)


def is_disk_full(error: BaseException) -> bool:
    """Whether an error means that the disk has no room; libraries in Rust only say so in words."""
    numbers = (errno.ENOSPC, errno.EDQUOT)
    return getattr(error, "errno", None) in numbers or "No space left on device" in str(error)
