"""Heartbeats of a process with active runs; each states when the next one is due."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial

from mlops_workbench.capture.kernel.threads import start_daemon
from mlops_workbench.core.ids import now_ms
from mlops_workbench.core.records import Heartbeat

#: Seconds between two heartbeats.
BEAT_SECONDS = 5.0
#: Longest time to the next heartbeat, in milliseconds; then the process counts as dead.
DUE_MS = 20_000


class HeartbeatThread:
    """Records heartbeats in a thread while a run is active.

    Parameters
    ----------
    write : callable
        Records a heartbeat.
    needed : callable
        Returns whether a run is active.
    """

    def __init__(self, write: Callable[[Heartbeat], None], needed: Callable[[], bool]) -> None:
        self._write = write
        self._needed = needed
        self._lock = threading.RLock()
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()

    def beat(self) -> None:
        """Record a heartbeat now, and start the thread if it does not run."""
        self._write_beat()
        with self._lock:
            if self._thread is None:
                self._thread = start_daemon("mlops-heartbeat", partial(self._beat_on, self._stopping))

    def stop(self) -> None:
        """Record no more heartbeats until `beat` is called again."""
        with self._lock:
            self._stopping.set()
            self._stopping = threading.Event()
            self._thread = None

    def after_fork(self) -> None:
        """Reset in a forked child, which has no thread."""
        self._lock = threading.RLock()
        self._stopping = threading.Event()
        self._thread = None

    def _write_beat(self) -> None:
        now = now_ms()
        self._write(Heartbeat(now, now + DUE_MS))

    def _beat_on(self, stopping: threading.Event) -> None:
        while not stopping.wait(BEAT_SECONDS):
            with self._lock:
                if not self._needed():
                    if self._stopping is stopping:
                        self._thread = None
                    return
            self._write_beat()
