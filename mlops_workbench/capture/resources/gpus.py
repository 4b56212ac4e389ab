"""What GPUs do, by NVIDIA's library or its program."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import time
from dataclasses import dataclass
from typing import Any

_FIELDS = "utilization.gpu,memory.used,memory.total,power.draw"
_PROGRAM_SECONDS = 5.0  # between two calls of the program, which takes a tenth of a second each time


@dataclass(frozen=True)
class GpuUsage:
    """A GPU at one moment: percent, megabytes, watts (0 where it does not tell)."""

    utilization: float
    memory_used: float
    memory_total: float
    watts: float


class Gpus:
    """The GPUs of this machine; looked for once, at the first `read`."""

    def __init__(self) -> None:
        self._library: Any = None
        self._handles: list[Any] = []
        self._program: str | None = None
        self._looked = False
        self._known: list[GpuUsage] = []
        self._read_at = float("-inf")

    def read(self) -> list[GpuUsage]:
        """Usage of each GPU; empty without any."""
        if not self._looked:
            self._looked = True
            self._look()
        if self._library is not None:
            return [self._of(handle) for handle in self._handles]
        if self._program is not None and time.monotonic() - self._read_at >= _PROGRAM_SECONDS:
            self._read_at = time.monotonic()
            self._known = self._ask()
        return self._known

    def _look(self) -> None:
        # Any part of a driver may be missing; then there is no GPU to speak of.
        with contextlib.suppress(Exception):
            import pynvml

            pynvml.nvmlInit()
            self._handles = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
            self._library = pynvml
            return
        self._program = shutil.which("nvidia-smi")

    def _of(self, handle: Any) -> GpuUsage:
        memory = self._library.nvmlDeviceGetMemoryInfo(handle)
        utilization = watts = 0.0
        with contextlib.suppress(Exception):
            utilization = float(self._library.nvmlDeviceGetUtilizationRates(handle).gpu)
        with contextlib.suppress(Exception):
            watts = self._library.nvmlDeviceGetPowerUsage(handle) / 1000
        return GpuUsage(utilization, memory.used / 1e6, memory.total / 1e6, watts)

    def _ask(self) -> list[GpuUsage]:
        return parse_usage(ask_nvidia(str(self._program), _FIELDS, _PROGRAM_SECONDS))


def ask_nvidia(program: str, fields: str, seconds: float) -> str:
    """A line of comma-separated values for each GPU; empty when the driver's program fails or takes too long."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        return subprocess.run(
            [program, f"--query-gpu={fields}", "--format=csv,noheader,nounits"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            start_new_session=True,
            check=True,
        ).stdout
    return ""


def parse_usage(listing: str) -> list[GpuUsage]:
    """GPUs of a CSV listing of percent, MiB used, MiB in all and watts; what is not supported counts as 0."""
    found = []
    for line in listing.splitlines():
        parts = line.split(",")
        if len(parts) == 4:
            percent, used, total, watts = (_number(part) for part in parts)
            found.append(GpuUsage(percent, used * 1.048576, total * 1.048576, watts))
    return found


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
