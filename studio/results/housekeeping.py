"""What is too old or too much goes by itself, also while nobody is there."""

from __future__ import annotations

import logging
import threading
import time

from .outputs import Outputs

log = logging.getLogger(__name__)

EVERY_SECONDS = 10 * 60  # well within `shelf.SPARE_SECONDS`


def keep_tidy(outputs: Outputs, every: float = EVERY_SECONDS) -> threading.Thread:
    """Tidy now and from time to time, in a thread that ends with the process."""

    def work() -> None:
        while True:
            try:
                outputs.renew()
                outputs.tidy()
            except OSError as error:  # such as a network disk that is away; the next time, then
                log.warning("old results could not be looked for: %s", error.strerror)
            time.sleep(every)

    thread = threading.Thread(target=work, name="tidy up", daemon=True)
    thread.start()
    return thread
