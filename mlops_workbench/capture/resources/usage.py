"""Usage of the process with its children, and of the machine."""

from __future__ import annotations

import contextlib
import os
import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from mlops_workbench.capture.kernel.threads import OWN_THREADS

_LINUX = Path("/proc/self/stat").exists()
_TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
_MAX_CHILDREN = 64


@dataclass(frozen=True)
class ProcessUsage:
    """Usage of a process with its living children.

    Attributes
    ----------
    cpu_seconds : float
        Processor time, including that of ended children.
    resident : int
        Bytes of memory.
    peak : int
        Largest number of bytes that the process, without children, ever had.
    own_seconds : float
        Processor time of the process without children.
    """

    cpu_seconds: float
    resident: int
    peak: int
    own_seconds: float

    def since(self, before: ProcessUsage) -> float:
        """Processor seconds since an earlier usage.

        At least those of the process itself: what a descendant has used is no longer known when its parent, which has
        not waited for it, ends.
        """
        return max(self.cpu_seconds - before.cpu_seconds, self.own_seconds - before.own_seconds)


@dataclass(frozen=True)
class SystemUsage:
    """Busy and total processor seconds, bytes of memory, bytes received and sent without loopback."""

    busy: float
    total: float
    memory_used: int
    memory: int
    received: int
    sent: int


def process_usage() -> ProcessUsage:
    """Return the usage of this process and its children."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    # os.times has a resolution of a hundredth of a second, too coarse for a cell.
    own = time.process_time()
    cpu = own + ended.ru_utime + ended.ru_stime
    if not _LINUX:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        return ProcessUsage(cpu, _resident_elsewhere(), peak, own)
    resident, peak = _memory()
    for pid in _children():
        seconds, pages = _stat(pid)
        cpu += seconds
        resident += pages * _PAGE
    return ProcessUsage(cpu, resident, peak, own)


def system_usage() -> SystemUsage | None:
    """Return the usage of the machine; None where it is unknown."""
    if not _LINUX:
        return _system_elsewhere()
    with contextlib.suppress(OSError, ValueError, IndexError):
        fields = [int(field) for field in _read("/proc/stat").split("\n", 1)[0].split()[1:9]]
        memory = dict(_sizes(_read("/proc/meminfo")))
        total = memory["MemTotal"]
        received = sent = 0
        for line in _read("/proc/net/dev").split("\n")[2:]:
            name, _, counters = line.partition(":")
            if counters and name.strip() != "lo":
                columns = counters.split()
                received, sent = received + int(columns[0]), sent + int(columns[8])
        # Fields 3 and 4 are the times idle and waiting for a disk.
        busy = sum(fields) - fields[3] - fields[4]
        return SystemUsage(
            busy / _TICKS, sum(fields) / _TICKS, total - memory.get("MemAvailable", total), total, received, sent
        )
    return None


def disk_bytes() -> tuple[int, int]:
    """Return the bytes that this process read from and wrote to disks; zeros where they are unknown."""
    with contextlib.suppress(OSError, ValueError):
        values = dict(line.split(": ") for line in _read("/proc/self/io").splitlines())
        return int(values.get("read_bytes", 0)), int(values.get("write_bytes", 0))
    return 0, 0


def _memory() -> tuple[int, int]:
    with contextlib.suppress(OSError):
        sizes = dict(_sizes(_status.read(), only=("VmHWM", "VmRSS")))
        return sizes.get("VmRSS", 0), sizes.get("VmHWM", 0)
    return 0, 0


class _Status:
    """``/proc/self/status``, kept open: each system call releases the interpreter's lock and delays the end of runs."""

    def __init__(self) -> None:
        self._pid = 0
        self._file = -1

    def read(self) -> str:
        """Return the current content."""
        if self._pid == os.getpid():
            # Other code may have closed the file and opened another one with its descriptor.
            with contextlib.suppress(OSError):
                text = os.pread(self._file, 1 << 16, 0).decode("utf-8", "replace")
                if f"\nPid:\t{self._pid}\n" in text:
                    return text
        # At first use; in a forked child, the file is that of the parent.
        self._pid, self._file = os.getpid(), os.open("/proc/self/status", os.O_RDONLY | os.O_CLOEXEC)
        return os.pread(self._file, 1 << 16, 0).decode("utf-8", "replace")


_status = _Status()


def _sizes(text: str, only: tuple[str, ...] = ("MemTotal", "MemAvailable")) -> list[tuple[str, int]]:
    found = []
    for name in only:
        start = text.find(f"{name}:")
        if start >= 0:
            found.append((name, int(text[start + len(name) + 1 : text.find("kB", start)]) << 10))
    return found


def _children() -> list[int]:
    """Return at most 64 living descendants; the system lists children per thread."""
    found: list[int] = []
    if not _has_children():
        return found
    waiting = [os.getpid()]
    while waiting and len(found) < _MAX_CHILDREN:
        pid = waiting.pop()
        with contextlib.suppress(OSError, ValueError):
            for thread in {entry.name for entry in os.scandir(f"/proc/{pid}/task")} - OWN_THREADS:
                # The thread may have ended.
                with contextlib.suppress(OSError):
                    children = [int(child) for child in _read(f"/proc/{pid}/task/{thread}/children").split()]
                    found += children
                    waiting += children
    return found[:_MAX_CHILDREN]


def _has_children() -> bool:
    """Whether this process has children, found without reading the list of each thread."""
    try:
        # WNOWAIT leaves an ended child to the code that waits for it.
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def _stat(pid: int) -> tuple[float, int]:
    with contextlib.suppress(OSError, ValueError, IndexError):
        text = _read(f"/proc/{pid}/stat")
        fields = text[text.rindex(")") + 2 :].split()
        return sum(int(field) for field in fields[11:15]) / _TICKS, int(fields[21])
    return 0.0, 0


def _read(path: str) -> str:
    with open(path, "rb", buffering=0) as file:
        return file.read(1 << 16).decode("utf-8", "replace")


def _resident_elsewhere() -> int:
    # Only the sampling thread imports psutil, so that cells do not wait for the import.
    psutil = sys.modules.get("psutil")
    return int(psutil.Process().memory_info().rss) if psutil is not None else 0


def _system_elsewhere() -> SystemUsage | None:
    try:
        import psutil
    except ImportError:
        return None
    times, memory = psutil.cpu_times(), psutil.virtual_memory()
    total = float(sum(times))
    network = [counters for name, counters in psutil.net_io_counters(pernic=True).items() if not name.startswith("lo")]
    return SystemUsage(
        total - times.idle,
        total,
        memory.total - memory.available,
        memory.total,
        sum(counters.bytes_recv for counters in network),
        sum(counters.bytes_sent for counters in network),
    )
