"""Which model a studio uses: who may change that, and what was chosen last time."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

from xpsr.errors import XPSRError
from xpsr.whole import whole

from . import words

log = logging.getLogger(__name__)
ALLOW = "XPSR_ALLOW_MODEL_CHANGE"
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
# What tunnels and reverse proxies add; the host alone does not tell, since many pass theirs on.
_PASSED_ON = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")


@dataclass(frozen=True)
class ModelChoice:
    """What `xpsr.load` is told.

    Attributes:
        model: "mini", a folder or a hub id.
        base: folder or hub id of the base, for official checkpoints.
    """

    model: str = "mini"
    base: str | None = None

    @classmethod
    def typed(cls, model: str, base: str | None = None) -> ModelChoice:
        """From what somebody typed; empty fields are left out.

        Raises:
            XPSRError: no model is named.
        """
        model, base = model.strip().strip('"'), (base or "").strip().strip('"')
        if not model:
            raise XPSRError(words.NO_MODEL_NAMED)
        if len(model) > 1000 or len(base) > 1000:
            raise XPSRError(words.NAME_TOO_LONG)
        return cls(model, base or None)


@dataclass(frozen=True)
class Permission:
    """Whether visitors may change the model and name folders of this machine.

    The model is everybody's, and a folder's name tells what lies on a disk. So only a page that
    nobody else can reach allows it by itself. A tunnel or a reverse proxy makes others reach a page
    that is served to this machine alone, so each request is looked at as well.

    Attributes:
        granted: the page offers it.
        to_all: the owner allows it to whoever asks.
    """

    granted: bool
    to_all: bool = False

    @classmethod
    def for_page(cls, host: str, share: bool, asked: bool) -> Permission:
        """For a page on `host`; `asked`: the owner allows it wherever it is."""
        if asked or os.environ.get(ALLOW, "").lower() in ("1", "true", "yes"):
            return cls(granted=True, to_all=True)
        return cls(host in _LOOPBACK and not share and "SPACE_ID" not in os.environ)

    def check(self, headers: Mapping[str, str] | None = None) -> None:
        """Raises XPSRError where it is not allowed.

        Args:
            headers: of the request, by their names in small letters; None: nobody else's.
        """
        if not self.granted:
            raise XPSRError(words.NOT_ALLOWED)
        if not self.to_all and headers is not None and not _from_here(headers):
            raise XPSRError(words.NOT_ALLOWED_FROM_AFAR)


def _from_here(headers: Mapping[str, str]) -> bool:
    """Whether a browser on this machine asked this page directly, by its own name."""
    if any(name in headers for name in _PASSED_ON):
        return False
    try:
        return urlsplit(f"//{headers.get('host', '')}").hostname in _LOOPBACK
    except ValueError:
        return False


NOT_ALLOWED = Permission(granted=False)


class LastChoice:
    """The model chosen on the page, kept in a small file for the next start."""

    def __init__(self, folder: str | Path) -> None:
        self.path = Path(folder).expanduser() / "model.json"

    def read(self) -> ModelChoice | None:
        """The choice, or None if there is none that can be read."""
        try:
            found = json.loads(self.path.read_text(encoding="utf-8"))
            choice = ModelChoice(**found)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError):
            log.warning("%s", words.LAST_UNREADABLE.format(path=self.path))
            return None
        texts = isinstance(choice.model, str) and isinstance(choice.base, str | None)
        return choice if texts else None

    def write(self, choice: ModelChoice) -> None:
        """Keep a choice; the built-in model needs no file.

        Raises:
            XPSRError: it cannot be written.
        """
        try:
            if choice == ModelChoice():
                self.path.unlink(missing_ok=True)
                return
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with whole(self.path) as part:
                part.write_text(json.dumps(asdict(choice)), encoding="utf-8")
        except OSError as error:
            raise XPSRError(words.LAST_UNWRITABLE.format(path=self.path)) from error
