"""Datatypes of the Open Inference Protocol, and those that a column takes."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlops_workbench.serving.rows.signature import ColumnType

_BITS = (8, 16, 32, 64)
#: Smallest and largest value of each datatype of integers.
INTEGERS: dict[str, tuple[int, int]] = {
    **{f"INT{bits}": (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for bits in _BITS},
    **{f"UINT{bits}": (0, 2**bits - 1) for bits in _BITS},
}
FLOATS = frozenset({"FP16", "FP32", "FP64"})
#: NumPy types of numbers and booleans as raw bytes, which are little-endian.
RAW: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype("u1"),
    **{f"INT{bits}": np.dtype(f"<i{bits // 8}") for bits in _BITS},
    **{f"UINT{bits}": np.dtype(f"<u{bits // 8}") for bits in _BITS},
    **{f"FP{bits}": np.dtype(f"<f{bits // 8}") for bits in _BITS[1:]},
}
DATATYPES = frozenset({*RAW, "BYTES"})

# Integers of tables with missing values are floats; fractions are rejected by value.
_NUMBERS = frozenset(INTEGERS) | FLOATS
ACCEPTED: dict[ColumnType, frozenset[str]] = {
    "boolean": frozenset({"BOOL"}),
    "integer": _NUMBERS,
    "long": _NUMBERS,
    "float": _NUMBERS,
    "double": _NUMBERS,
    "string": frozenset({"BYTES"}),
    "datetime": frozenset({"BYTES", "INT64"}),
}


def output_datatype(dtype: np.dtype[Any]) -> str:
    """Datatype of an array; ``BYTES`` for anything but numbers and booleans."""
    bits = dtype.itemsize * 8
    match dtype.kind:
        case "b":
            return "BOOL"
        case "i":
            return f"INT{bits}"
        case "u":
            return f"UINT{bits}"
        case "f":
            return "FP32" if bits == 32 else "FP64"
    return "BYTES"
