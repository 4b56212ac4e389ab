"""Usage of GPUs, read with NVIDIA's library or its program."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import time
from dataclasses import dataclass
from typing import Any

_FIELDS = "utilization.gpu,memory.used,memory.total,power.draw"
_PROGRAM_SECONDS = 5.0  # between two calls of the program, each of which takes a tenth of a second


@dataclass(frozen=True)
class GpuUsage:
    """Usage of a GPU: percent, megabytes, watts; 0 where it is not supported."""

    utilization: float
    memory_used: float
    memory_total: float
    watts: float


class Gpus:
    """The GPUs of this machine, found at the first `read`."""

    def __init__(self) -> None:
        self._library: Any = None
        self._handles: list[Any] = []
        self._program: str | None = None
        self._searched = False
        self._known: list[GpuUsage] = []
        self._read_at = float("-inf")

    def read(self) -> list[GpuUsage]:
        """Return the usage of each GPU."""
        if not self._searched:
            self._searched = True
            self._search()
        if self._library is not None:
            return [self._usage_of(handle) for handle in self._handles]
        if self._program is not None and time.monotonic() - self._read_at >= _PROGRAM_SECONDS:
            self._read_at = time.monotonic()
            self._known = parse_usage(query_nvidia(self._program, _FIELDS, _PROGRAM_SECONDS))
        return self._known

    def _search(self) -> None:
        try:
            import pynvml

            pynvml.nvmlInit()
            self._handles = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
            self._library = pynvml
        except Exception:  # noqa: BLE001 bindings and drivers fail in ways of their own; nvidia-smi may work all the same
            self._program = shutil.which("nvidia-smi")

    def _usage_of(self, handle: Any) -> GpuUsage:
        nvml = self._library
        memory = nvml.nvmlDeviceGetMemoryInfo(handle)
        utilization = watts = 0.0
        with contextlib.suppress(nvml.NVMLError):
            utilization = float(nvml.nvmlDeviceGetUtilizationRates(handle).gpu)
        with contextlib.suppress(nvml.NVMLError):
            watts = nvml.nvmlDeviceGetPowerUsage(handle) / 1000
        return GpuUsage(utilization, memory.used / 1e6, memory.total / 1e6, watts)


def query_nvidia(program: str, fields: str, seconds: float) -> str:
    """Return a line of comma-separated values for each GPU; empty when nvidia-smi fails or takes too long."""
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
    """Parse a CSV listing of percent, MiB used, MiB in total and watts; unsupported values are 0."""
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
