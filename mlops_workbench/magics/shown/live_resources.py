"""CPU and memory of the kernel for the live view; `capture.resources` records them."""

from __future__ import annotations

import os
import time
from pathlib import Path

from mlops_workbench.core.shown.formats import share


class ProcessGauge:
    """Measures CPU and memory of this process between two calls of :meth:`text`."""

    def __init__(self) -> None:
        self._wall = time.perf_counter()
        self._cpu = time.process_time()

    def text(self) -> str:
        """``CPU 98 %, 1.2 GB``."""
        wall, cpu = time.perf_counter(), time.process_time()
        took = wall - self._wall
        words = [f"CPU {share((cpu - self._cpu) / took)}"] if took > 0 else []
        self._wall, self._cpu = wall, cpu
        if memory := resident_bytes():
            words.append(f"{memory / 1e9:.2g} GB" if memory >= 1e9 else f"{memory / 1e6:.0f} MB")
        return ", ".join(words)


def resident_bytes() -> int:
    """Memory of this process in bytes; 0 on systems without ``/proc``."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0
