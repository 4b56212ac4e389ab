"""Floating-point numbers with one kind of NaN."""

from __future__ import annotations

import sys
from typing import Any

#: Numbers that fit into the cache.
_CACHED = 32_768


def one_nan(array: Any) -> Any:
    """Return a contiguous array, or a copy in which each NaN has the same bits.

    Those of a NaN that was computed depend on the operation and on the processor, and most formats of files have one.
    A caller ignores NumPy's warnings of invalid values, which signaling NaNs cause.
    """
    if array.dtype.kind not in "fc" or not array.size or not _has_nan(array):
        return array
    numpy: Any = sys.modules["numpy"]
    parts = _parts(array).copy()
    parts[numpy.isnan(parts)] = numpy.nan
    return parts.view(array.dtype).reshape(array.shape)


def update_floats(state: Any, array: Any) -> None:
    """Add a contiguous array in pieces, which stay in the processor's cache."""
    flat = array.reshape(-1)
    for start in range(0, len(flat), _CACHED):
        state.update(one_nan(flat[start : start + _CACHED]))


def _has_nan(array: Any) -> bool:
    dtype = array.dtype
    if dtype.itemsize == 2 and dtype.isnative:
        # NumPy compares halves one by one.
        return bool(((array.reshape(-1).view("u2") & 0x7FFF) > 0x7C00).any())
    low = (array if dtype.kind == "f" else _parts(array)).min()
    return bool(low != low)


def _parts(array: Any) -> Any:
    """The numbers of an array: of complex ones, both parts."""
    return array.reshape(-1).view(array.real.dtype)
