"""A full disk leaves nothing half behind and is told in a sentence."""

import errno
import os

import pytest

from train.disk import writing
from xpsr.errors import XPSRError

# As Python, safetensors and torch say it.
FULL = [
    OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
    Exception("Error while serializing: I/O error: No space left on device (os error 28)"),
    RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0"),
]


@pytest.mark.parametrize("error", FULL, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("folder", [True, False])
def test_a_full_disk_is_told_and_cleared(error, folder, tmp_path):
    part = tmp_path / "part"
    told = pytest.raises(XPSRError, match="make room and run the same command again")
    with told, writing(part, "The checkpoint of step 3"):
        if folder:
            part.mkdir()
        (part / "half" if folder else part).write_text("half")
        raise error
    assert not part.exists()


def test_other_errors_stay_what_they_are(tmp_path):
    with pytest.raises(KeyError), writing(tmp_path / "part", "A file"):
        raise KeyError("weight")
