"""Passes over the columns of a table that read each cache line once, also if columns are interleaved in a block."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from mlops_workbench.data.content.columns import TILE_ROWS


@dataclass
class Extremes:
    """Smallest and largest value of a column without NaN, None when it has none; and the number of NaN values."""

    low: Any = None
    high: Any = None
    missing: int = 0


def tiles(arrays: Sequence[Any]) -> Iterator[tuple[int, Any]]:
    """Yield columns in contiguous pieces: the same rows of all columns, then the next rows.

    Parameters
    ----------
    arrays : sequence of ndarray of shape (rows,)
        Columns, of any stride.

    Yields
    ------
    number : int
        Index of the column.
    piece : ndarray
        Some of its rows.
    """
    numpy: Any = sys.modules["numpy"]
    longest = max((len(array) for array in arrays), default=0)
    for start in range(0, longest, TILE_ROWS):
        for number, array in enumerate(arrays):
            yield number, numpy.ascontiguousarray(array[start : start + TILE_ROWS])


def extremes_of(arrays: Sequence[Any]) -> list[Extremes]:
    """Return the extremes of columns of numbers."""
    found = [Extremes() for _ in arrays]
    for number, piece in _pieces(arrays):
        _extend(found[number], piece)
    return found


def have_gaps(arrays: Sequence[Any]) -> list[bool]:
    """Return for each column of floats whether it contains NaN."""
    found = [False] * len(arrays)
    for number, piece in _pieces(arrays):
        found[number] |= len(piece) > 0 and _has_nan(piece)
    return found


def _pieces(arrays: Sequence[Any]) -> Iterator[tuple[int, Any]]:
    """Yield contiguous columns whole, and the others in tiles."""
    strided = []
    for number, array in enumerate(arrays):
        if array.flags.c_contiguous:
            yield number, array
        else:
            strided.append(number)
    for place, piece in tiles([arrays[number] for number in strided]):
        yield strided[place], piece


def _extend(known: Extremes, piece: Any) -> None:
    numpy: Any = sys.modules["numpy"]
    if not len(piece):
        return
    low, high = piece.min(), piece.max()
    if low != low:
        # The minimum of values with NaN is NaN: compute it without.
        known.missing += int(numpy.isnan(piece).sum())
        low, high = numpy.fmin.reduce(piece), numpy.fmax.reduce(piece)
        if low != low:
            return
    known.low = low if known.low is None else min(known.low, low)
    known.high = high if known.high is None else max(known.high, high)


def _has_nan(piece: Any) -> bool:
    low = piece.min()
    return bool(low != low)
