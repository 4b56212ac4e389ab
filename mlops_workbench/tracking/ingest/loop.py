"""A step of ingest, repeated in a thread, and the pause after a failed one."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

_log = logging.getLogger(__name__)

#: Seconds to pause after a failure: doubled by each failure in a row, up to the second number.
PAUSE, _LONGEST_PAUSE = 0.5, 15.0


class RetryPause:
    """The pause before a failed delivery is tried again."""

    def __init__(self) -> None:
        self._seconds = PAUSE
        self._until = 0.0

    def active(self) -> bool:
        """Whether it is too early to try again."""
        return time.monotonic() < self._until

    def extend(self) -> None:
        """Pause after a failure."""
        self._until = time.monotonic() + self._seconds
        self._seconds = min(self._seconds * 2, _LONGEST_PAUSE)

    def clear(self) -> None:
        """End the pause after a success."""
        self._seconds, self._until = PAUSE, 0.0


def repeat(
    step: Callable[[], bool], stop: threading.Event, seconds: float, on_error: Callable[[Exception], None]
) -> None:
    """Call `step` until `stop` is set; wait `seconds` after a call that returned False."""
    while not stop.is_set():
        try:
            moved = step()
        except Exception as error:  # noqa: BLE001 - the outermost loop of a thread that must not die
            on_error(error)
            _log.exception("a step of ingest failed; ingest continues")
            stop.wait(PAUSE)
            moved = False
        if not moved:
            stop.wait(seconds)
