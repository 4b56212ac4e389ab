"""Identity of a process: ids are reused, the pair of id and start time is not."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import msgspec

_kept: dict[str, str] = {}


class ProcessIdentity(msgspec.Struct, frozen=True):
    """Id and start time, which distinguish a process from a later one with the same id.

    Attributes
    ----------
    pid : int
        Process id.
    started : float
        Start time: clock ticks since boot on Linux, seconds since the epoch elsewhere.
    """

    pid: int
    started: float

    @classmethod
    def of(cls, pid: int | None = None) -> ProcessIdentity | None:
        """Return the identity of process `pid` (default: this process), None if it has ended."""
        number = os.getpid() if pid is None else pid
        started = _start_time(number)
        return None if started is None else cls(number, started)

    def alive(self) -> bool:
        """Return whether the process runs; a zombie whose threads have ended does not."""
        return _start_time(self.pid) == self.started

    def stop(self, *, grace: float = 5.0) -> bool:
        """Send SIGTERM, and SIGKILL after `grace` seconds; return whether the process has ended."""
        for number, seconds in ((signal.SIGTERM, grace), (signal.SIGKILL, 2.0)):
            if not self.alive():
                return True
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:
                return True
            deadline = time.monotonic() + seconds
            while time.monotonic() < deadline:
                if not self.alive():
                    return True
                time.sleep(0.02)
        return not self.alive()


def keep_environment() -> None:
    """Note the environment variables that this process was started with, before libraries add their own."""
    _kept.update(os.environ)


def inherited_environment() -> dict[str, str]:
    """Return the variables for a process that is started on behalf of a user: those kept, else the present ones."""
    return dict(_kept or os.environ)


def leave(code: int, last: Callable[[], object] | None = None) -> NoReturn:
    """End this process as the interpreter does, but for the objects of the modules: to free them takes tens of ms.

    Parameters
    ----------
    code : int
        Exit code.
    last : callable, optional
        Called after the exit handlers.
    """
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    if last is not None:
        last()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    os._exit(code)


def parent_of(pid: int) -> int:
    """Return the id of the parent of process `pid`, 0 if unknown."""
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
    # The first thread may end before others, which still hold files and locks: for a moment also after SIGKILL.
    ended = fields[0] in "ZX" and int(fields[17]) <= 1
    return None if ended else float(fields[19])


def _stat_fields(pid: int) -> list[str]:
    """Return the fields of ``/proc/PID/stat`` after the command: state, parent and so on."""
    text = Path(f"/proc/{pid}/stat").read_text()
    # The command may contain spaces and brackets; no later field does.
    return text[text.rindex(")") + 2 :].split()


def _start_time_elsewhere(pid: int) -> float | None:
    # Imported here because only systems without /proc need it, and the import takes 20 ms.
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.Error:
        return None
