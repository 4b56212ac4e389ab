"""Signs of life of a process that has runs: each promises when the next one is due."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial

from mlops_workbench.capture.kernel.threads import start_daemon
from mlops_workbench.core.ids import now_ms
from mlops_workbench.core.records import Heartbeat

#: Seconds between two signs of life.
BEAT_SECONDS = 5.0
#: A sign of life promises the next one within this many milliseconds.
DUE_MS = 20_000


class HeartbeatThread:
    """Beats in a thread of its own, as long as there is something to beat for.

    Parameters
    ----------
    write : callable
        Records a sign of life.
    needed : callable
        Whether a run is active.
    """

    def __init__(self, write: Callable[[Heartbeat], None], needed: Callable[[], bool]) -> None:
        self._write = write
        self._needed = needed
        self._lock = threading.RLock()
        self._thread: threading.Thread | None = None
        self._rest = threading.Event()

    def beat(self) -> None:
        """Give a sign of life now, and go on giving some."""
        self._give()
        with self._lock:
            if self._thread is None:
                self._thread = start_daemon("mlops-heartbeat", partial(self._beat_on, self._rest))

    def rest(self) -> None:
        """Give no more signs until `beat` is called again."""
        with self._lock:
            self._rest.set()
            self._rest = threading.Event()
            self._thread = None

    def after_fork(self) -> None:
        """In a forked child: the thread is the parent's."""
        self._lock = threading.RLock()
        self._rest = threading.Event()
        self._thread = None

    def _give(self) -> None:
        now = now_ms()
        self._write(Heartbeat(now, now + DUE_MS))

    def _beat_on(self, rest: threading.Event) -> None:
        while not rest.wait(BEAT_SECONDS):
            with self._lock:
                if not self._needed():
                    if self._rest is rest:
                        self._thread = None
                    return
            self._give()
