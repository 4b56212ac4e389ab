"""Display formats of numbers, shares, durations and times, the same as in the lab extension.

The tests of both languages read the same examples, `tests/core/shown/formats.json`.
"""

from __future__ import annotations

import math
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from decimal import Decimal

#: Shown for an unknown value.
NOTHING = "–"
_DIGITS = 4


def number(value: float | int | None, digits: int = _DIGITS) -> str:
    """Format a number: four significant digits, whole numbers in full, very large and small ones with an exponent.

    ``0.9778``, ``12,346``, ``1``, ``3.2e−5``; an en dash for None.
    """
    if value is None:
        return NOTHING
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "∞" if value > 0 else "−∞"
    size = abs(value)
    if value == int(value) and size < 1e15:
        text = f"{int(value):,}"
    elif 1e-4 <= size < 1e9:
        decimals = max(0, digits - 1 - math.floor(math.log10(size)))
        text = _without_zeros(f"{_rounded(value, decimals):,f}")
    else:
        mantissa, _, exponent = f"{_rounded(value, digits - 1 - _exponent(value)):e}".partition("e")
        text = f"{_without_zeros(mantissa)}e{int(exponent)}"
    return text.replace("-", "−")


def pair(first: float, second: float) -> tuple[str, str]:
    """Format two numbers with enough digits to distinguish them."""
    digits = next((d for d in range(_DIGITS, 18) if number(first, d) != number(second, d)), _DIGITS)
    return number(first, digits), number(second, digits)


def change(value: float | None) -> str:
    """Format a difference with its sign: ``+0.012``, ``−3``, ``0``."""
    return f"+{number(value)}" if value is not None and value > 0 else number(value)


def share(value: float | None, digits: int = 0) -> str:
    """Format a share (0 to 1) in per cent with `digits` decimals: ``82 %``."""
    if value is None:
        return NOTHING
    if not abs(100 * value) < 1e15:
        return f"{number(100 * value)} %"
    return f"{_rounded(100 * value, digits) + 0} %".replace("-", "−")


def duration(seconds: float | None) -> str:
    """Format seconds: ``840 ms``, ``2.3 s``, ``12 s``, ``4 min 5 s``, ``2 h 10 min``, ``3 d 4 h``."""
    if seconds is None:
        return NOTHING
    if seconds < 0.9995:
        return f"{_rounded(seconds * 1000, 0)} ms"
    if seconds < 9.95:
        return f"{_rounded(seconds, 1)} s"
    whole, minutes, hours = (math.floor(seconds / unit + 0.5) for unit in (1, 60, 3600))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{minutes // 60} h {minutes % 60} min" if minutes < 1440 else f"{hours // 24} d {hours % 24} h"


def moment(at_ms: int) -> str:
    """Format milliseconds since the epoch as local date and time; an en dash for 0."""
    return datetime.fromtimestamp(at_ms / 1000).strftime("%Y-%m-%d %H:%M:%S") if at_ms else NOTHING


def _rounded(value: float, decimals: int) -> Decimal:
    """Round the exact value, halves away from zero, as JavaScript does."""
    # Imported here, because most kernels show no number.
    from decimal import ROUND_HALF_UP, Decimal

    return Decimal(value).quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP)


def _exponent(value: float) -> int:
    from decimal import Decimal

    return Decimal(value).adjusted()


def _without_zeros(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text
