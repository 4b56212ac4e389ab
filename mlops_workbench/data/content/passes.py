"""Passes over the columns of a table that read every cache line once, also where columns lie interleaved in a block."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from mlops_workbench.data.content.columns import TILE_ROWS


@dataclass
class Extremes:
    """Least and largest value of a column, NaN left out, and how many are NaN; None where there is no value."""

    low: Any = None
    high: Any = None
    missing: int = 0


def tiles(arrays: Sequence[Any]) -> Iterator[tuple[int, Any]]:
    """Columns in contiguous pieces: the same rows of all columns, then the next rows.

    Parameters
    ----------
    arrays : sequence of ndarray of shape (rows,)
        Columns, of any stride.

    Yields
    ------
    number : int
        Which column.
    piece : ndarray
        Some of its rows.
    """
    numpy: Any = sys.modules["numpy"]
    longest = max((len(array) for array in arrays), default=0)
    for start in range(0, longest, TILE_ROWS):
        for number, array in enumerate(arrays):
            yield number, numpy.ascontiguousarray(array[start : start + TILE_ROWS])


def extremes_of(arrays: Sequence[Any]) -> list[Extremes]:
    """Extremes of columns of numbers."""
    found = [Extremes() for _ in arrays]
    beside = [number for number, array in enumerate(arrays) if not array.flags.c_contiguous]
    for number, array in enumerate(arrays):
        if array.flags.c_contiguous:
            _take_in(found[number], array)
    for place, piece in tiles([arrays[number] for number in beside]):
        _take_in(found[beside[place]], piece)
    return found


def have_gaps(arrays: Sequence[Any]) -> list[bool]:
    """Whether columns of floats hold a NaN."""
    found = [False] * len(arrays)
    beside = []
    for number, array in enumerate(arrays):
        if not array.flags.c_contiguous:
            beside.append(number)
        elif len(array):
            found[number] = _has_nan(array)
    for place, piece in tiles([arrays[number] for number in beside]):
        found[beside[place]] |= len(piece) > 0 and _has_nan(piece)
    return found


def _take_in(known: Extremes, piece: Any) -> None:
    numpy: Any = sys.modules["numpy"]
    if not len(piece):
        return
    low, high = piece.min(), piece.max()
    if low != low:
        # The least of values with a NaN among them is NaN: look again without it.
        known.missing += int(numpy.isnan(piece).sum())
        low, high = numpy.fmin.reduce(piece), numpy.fmax.reduce(piece)
        if low != low:
            return
    known.low = low if known.low is None else min(known.low, low)
    known.high = high if known.high is None else max(known.high, high)


def _has_nan(piece: Any) -> bool:
    least = piece.min()
    return bool(least != least)
