"""Numbers that JSON has no word for, in one form wherever they pass through JSON: REST, ``--json``, files, tags.

NaN and the infinities are the texts ``NaN``, ``Infinity`` and ``-Infinity``; an integer beyond the range of a double is
the text of its digits. A missing value is null, which none of them is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

#: A number in JSON.
JsonNumber = float | str

_NUMBERS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
#: Largest integer that every reader of JSON takes; `_DECIMAL_BITS` is the most that Python writes in digits.
_MAX_INT, _DECIMAL_BITS = 2**63 - 1, 14_000
#: Bits of an integer that no double holds.
_DOUBLE_BITS = 1024


def json_number(value: float) -> JsonNumber:
    """A float or int as it is written to JSON."""
    if isinstance(value, float):
        if math.isfinite(value):
            return value
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value if value.bit_length() < _DOUBLE_BITS else _digits(value)


def real_number(value: JsonNumber) -> float:
    """The number that :func:`json_number` wrote; an int for digits.

    Raises
    ------
    ValueError
        The text is none of those.
    """
    if not isinstance(value, str):
        return value
    return _NUMBERS[value] if value in _NUMBERS else int(value, 0)


def finite_number(value: JsonNumber | None) -> float | None:
    """The number as a float; None if it is missing, infinite, NaN or beyond the range of a double."""
    if value is None or isinstance(value, str):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def json_value(value: Any) -> Any:
    """A plain value, in which every number can be written to JSON, and every text too."""
    if isinstance(value, float):
        # A number of NumPy becomes Python's.
        return float(value) if math.isfinite(value) else json_number(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value if -_MAX_INT <= value <= _MAX_INT else _digits(value)
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, Mapping):
        return {json_value(str(name)): json_value(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_value(item) for item in value]
    return value


def _digits(value: int) -> str:
    return str(value) if value.bit_length() <= _DECIMAL_BITS else hex(value)
