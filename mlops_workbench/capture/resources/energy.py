"""Measured energy of processors and GPUs."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from mlops_workbench.capture.resources.gpus import GpuUsage

_POWERCAP = Path("/sys/class/powercap")


class EnergyCounter:
    """Counts the joules used since its creation.

    The register of the processors overflows after some kilojoules, so it must be read more often than that. GPUs
    report their power, which is assumed to be constant until the next reading.

    Parameters
    ----------
    folder : Path
        The system's power zones.
    """

    def __init__(self, folder: Path = _POWERCAP) -> None:
        self._zones = _readable_zones(folder)
        self._lock = threading.Lock()
        self._last = [_counter(zone) for zone in self._zones]
        self._processors = 0.0
        self._gpus = 0.0
        self._gpus_at: float | None = None

    @property
    def counts_processors(self) -> bool:
        """Whether this machine measures the energy of its processors."""
        return bool(self._zones)

    def processors(self) -> float:
        """Return the joules of the processors for all processes of the machine; 0 where they are not measured."""
        with self._lock:
            for i, zone in enumerate(self._zones):
                now = _counter(zone)
                if now is None:
                    continue
                last, self._last[i] = self._last[i], now
                if last is not None:
                    self._processors += (now - last if now >= last else now + _range(zone) - last) / 1e6
            return self._processors

    def gpus(self) -> float:
        """Return the joules of the GPUs."""
        return self._gpus

    def add_gpus(self, gpus: Sequence[GpuUsage]) -> None:
        """Add the energy of the GPUs since the last call."""
        now = time.monotonic()
        if self._gpus_at is not None:
            self._gpus += sum(gpu.watts for gpu in gpus) * (now - self._gpus_at)
        self._gpus_at = now


def _readable_zones(folder: Path) -> list[Path]:
    """Return the zones of packages and memory, without cores and caches, which are parts of a package."""
    with contextlib.suppress(OSError):
        zones = [zone for zone in sorted(folder.glob("intel-rapl:*")) if zone.name.count(":") == 1]
        return [zone for zone in zones if _counter(zone) is not None]
    return []


def _counter(zone: Path) -> int | None:
    with contextlib.suppress(OSError, ValueError):
        return int((zone / "energy_uj").read_text())
    return None


def _range(zone: Path) -> int:
    with contextlib.suppress(OSError, ValueError):
        return int((zone / "max_energy_range_uj").read_text())
    return 0
