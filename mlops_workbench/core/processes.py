"""Who a process is: its id alone is reused, id and start time together are not."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import msgspec


class ProcessIdentity(msgspec.Struct, frozen=True):
    """A process that can be told from a later one with the same id.

    Attributes
    ----------
    pid : int
        Process id.
    started : float
        Start time in the unit the system keeps (clock ticks since boot on Linux, seconds elsewhere).
    """

    pid: int
    started: float

    @classmethod
    def of(cls, pid: int | None = None) -> ProcessIdentity | None:
        """Identity of process `pid` (this process without one), None if it is gone."""
        number = os.getpid() if pid is None else pid
        started = _start_time(number)
        return None if started is None else cls(number, started)

    def alive(self) -> bool:
        """Whether this very process still runs (a zombie does not)."""
        return _start_time(self.pid) == self.started

    def stop(self, *, grace: float = 5.0) -> bool:
        """Ask the process to end, insist after `grace` seconds; True once it is gone."""
        for number, patience in ((signal.SIGTERM, grace), (signal.SIGKILL, 2.0)):
            if not self.alive():
                return True
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:
                return True
            deadline = time.monotonic() + patience
            while time.monotonic() < deadline:
                if not self.alive():
                    return True
                time.sleep(0.02)
        return not self.alive()


def parent_of(pid: int) -> int:
    """Id of the parent of process `pid`; 0 when it has none or the system does not tell."""
    if pid == os.getpid():
        return os.getppid()
    try:
        return int(_stat_fields(pid)[1])
    except OSError:
        return 0


def _start_time(pid: int) -> float | None:
    try:
        fields = _stat_fields(pid)
    except FileNotFoundError:
        return None if Path("/proc/self/stat").exists() else _start_time_elsewhere(pid)
    except (ProcessLookupError, PermissionError):
        return None
    return None if fields[0] in "ZX" else float(fields[19])


def _stat_fields(pid: int) -> list[str]:
    """State, parent and the rest of what Linux tells of a process in one line."""
    text = Path(f"/proc/{pid}/stat").read_text()
    # The command may hold spaces and brackets; the fields after the last bracket are fixed.
    return text[text.rindex(")") + 2 :].split()


def _start_time_elsewhere(pid: int) -> float | None:
    # psutil is only needed where there is no /proc, and costs 20 ms to import.
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.Error:
        return None
