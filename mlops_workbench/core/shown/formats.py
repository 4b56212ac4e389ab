"""Numbers, durations and moments as a person reads them."""

from __future__ import annotations

import math
from datetime import datetime


def number(value: float | int | None) -> str:
    """Four significant digits, no exponent for ordinary sizes; a dash for nothing."""
    if value is None:
        return "–"
    if isinstance(value, int):
        return str(value)
    if not math.isfinite(value):
        return str(value)
    if value == 0:
        return "0"
    if 1e-4 <= abs(value) < 1e7:
        digits = max(0, 3 - math.floor(math.log10(abs(value))))
        return f"{value:,.{min(digits, 6)}f}"
    return f"{value:.3e}"


def duration(seconds: float | None) -> str:
    """``840 ms``, ``12.3 s``, ``4 min 05 s``, ``2 h 10 min``."""
    if seconds is None:
        return "–"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        return f"{int(seconds // 60)} min {int(seconds % 60):02d} s"
    return f"{int(seconds // 3600)} h {int(seconds % 3600 // 60):02d} min"


def moment(at_ms: int) -> str:
    """Local date and time to the second; a dash for 0."""
    return datetime.fromtimestamp(at_ms / 1000).strftime("%Y-%m-%d %H:%M:%S") if at_ms else "–"
